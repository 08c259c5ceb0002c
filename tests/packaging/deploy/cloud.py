"""A small AWS for `make deploy`: CloudFormation, Lambda, S3 and STS, and the gateway with the function of the stack.

Stacks are resolved by template/stack.py, which checks patterns, rules and conditions; moto knows neither SAM's
transformation nor most resources of the template. The function is the real program, as a server with the variables
that the template gives it, in front of a Timestream emulator. The gateway has the routes of the template.
"""

import contextlib
import http.client
import http.server
import json
import pathlib
import re
import socket
import subprocess
import threading
import time
import urllib.parse
from xml.sax.saxutils import escape

import boto3
from stack import PSEUDO, Rejected, Stack
from samcli.yamlhelper import yaml_parse

REGION = PSEUDO["AWS::Region"]
NOW = "2026-01-01T00:00:00Z"


class Server(http.server.BaseHTTPRequestHandler):
    """What both servers need of one request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def reply(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


class Cloud:
    """Its `url` is for AWS_ENDPOINT_URL."""

    def __init__(self, emulator, bootstrap, folder):
        self.emulator, self.bootstrap, self.folder = emulator, bootstrap, pathlib.Path(folder)
        self.objects, self.stacks, self.closers = {}, {}, []
        # Command lines of all processes while a change set is created.
        self.command_lines = ""
        server, self.url = serve(type("Handler", (Aws,), {"cloud": self}))
        self.closers += [server.server_close, server.shutdown]

    def close(self):
        for closer in reversed(self.closers):
            closer()

    def call(self, action, form):
        return getattr(self, f"on_{action}")(form)

    # Lambda.

    def invoke(self, event):
        """The command of the program makes the checks, with the variables of the last function."""
        assert event == {"doctor": {}}, event
        variables = [stack.variables for stack in self.stacks.values() if stack.process][-1]
        command = [self.bootstrap, "doctor", "--json"]
        return subprocess.run(command, env=variables, stdout=subprocess.PIPE, check=True).stdout

    # STS.

    def on_GetCallerIdentity(self, _):
        return f"<Account>{PSEUDO['AWS::AccountId']}</Account><UserId>u</UserId><Arn>arn:aws:iam::1:user/u</Arn>"

    # CloudFormation.

    def on_DescribeStacks(self, form):
        return f"<Stacks><member>{self.found(form).describe()}</member></Stacks>"

    def on_GetTemplateSummary(self, form):
        declared = yaml_parse(self.found(form).text)["Parameters"]
        members = "".join(f"<member><ParameterKey>{name}</ParameterKey></member>" for name in declared)
        return f"<Parameters>{members}</Parameters>"

    def on_CreateChangeSet(self, form):
        lines = [path.read_bytes() for path in pathlib.Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
        self.command_lines += b"\n".join(lines).replace(b"\0", b" ").decode(errors="replace")
        name = form["StackName"]
        text = form.get("TemplateBody") or self.objects[urllib.parse.urlsplit(form["TemplateURL"]).path].decode()
        before = self.stacks.get(name)
        parameters = dict(before.parameters) if before else {}
        index = 1
        while key := form.get(f"Parameters.member.{index}.ParameterKey"):
            if form.get(f"Parameters.member.{index}.UsePreviousValue") != "true":
                parameters[key] = form[f"Parameters.member.{index}.ParameterValue"]
            index += 1
        self.stacks[name] = Deployed(name, text, parameters, before)
        return f"<Id>arn:change-set/{name}</Id><StackId>arn:stack/{name}</StackId>"

    def on_DescribeChangeSet(self, form):
        stack = self.found(form)
        change = "<ResourceChange><Action>Add</Action><LogicalResourceId>x</LogicalResourceId><ResourceType>x</ResourceType></ResourceChange>"
        return (
            f"<ChangeSetId>arn:change-set/{stack.name}</ChangeSetId><StackName>{stack.name}</StackName>"
            f"<Status>CREATE_COMPLETE</Status><ExecutionStatus>AVAILABLE</ExecutionStatus>"
            f"<Changes><member><Type>Resource</Type>{change}</member></Changes>"
        )

    def on_ExecuteChangeSet(self, form):
        self.found(form).execute(self)
        return ""

    def on_DescribeStackEvents(self, form):
        stack = self.found(form)
        return (
            f"<StackEvents><member><EventId>{time.time_ns()}</EventId><StackName>{stack.name}</StackName><StackId>arn:stack/{stack.name}</StackId><PhysicalResourceId>arn:stack/{stack.name}</PhysicalResourceId>"
            f"<LogicalResourceId>{stack.name}</LogicalResourceId><ResourceType>AWS::CloudFormation::Stack</ResourceType>"
            f"<ResourceStatus>{stack.status}</ResourceStatus><Timestamp>{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + 9))}</Timestamp></member></StackEvents>"
        )

    def on_DeleteStack(self, form):
        del self.stacks[form["StackName"]]
        return ""

    def found(self, form):
        stack = self.stacks.get(form["StackName"].removeprefix("arn:stack/"))
        if stack is None:
            raise Rejected(f"Stack with id {form['StackName']} does not exist")
        return stack


class Deployed:
    """A stack, from its change set on."""

    def __init__(self, name, text, parameters, before):
        self.name, self.text, self.parameters = name, text, parameters
        self.status = before.status if before else "REVIEW_IN_PROGRESS"
        self.url = self.process = None
        self.outputs = {}
        if before:
            before.stop()

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def describe(self):
        members = lambda pairs, a, b: "".join(
            f"<member><{a}>{key}</{a}><{b}>{escape(str(value))}</{b}></member>" for key, value in pairs
        )
        declared = yaml_parse(self.text)["Parameters"] if self.parameters else {}
        shown = [
            (name, "****" if one.get("NoEcho") else self.parameters.get(name, one.get("Default")))
            for name, one in declared.items()
        ]
        return (
            f"<StackName>{self.name}</StackName><StackId>arn:stack/{self.name}</StackId><CreationTime>{NOW}</CreationTime>"
            f"<StackStatus>{self.status}</StackStatus>"
            f"<Tags>{members([('ManagedStackSource', 'AwsSamCli')], 'Key', 'Value')}</Tags>"
            f"<Parameters>{members(shown, 'ParameterKey', 'ParameterValue')}</Parameters>"
            f"<Outputs>{members(self.outputs.items(), 'OutputKey', 'OutputValue')}</Outputs>"
        )

    def execute(self, cloud):
        is_new = self.status == "REVIEW_IN_PROGRESS"
        if "AWS::S3::Bucket" in self.text:
            self.outputs = {"SourceBucket": "bucket-of-sam"}
        else:
            try:
                resolved = Stack(self.text, **self.parameters)
            except Rejected as error:
                self.status, self.reason = "ROLLBACK_COMPLETE", str(error)
                return
            self.create_tables(cloud, resolved)
            (function,) = resolved.of_type("AWS::Lambda::Function").values()
            code = function["Code"]
            assert cloud.objects[f"/{code['S3Bucket']}/{code['S3Key']}"], "the archive was uploaded"
            self.start(cloud, resolved)
            public = f"https://<Api>.execute-api.{REGION}.{PSEUDO['AWS::URLSuffix']}"
            self.outputs = {name: value.replace(public, self.url) for name, value in resolved.outputs.items()}
        self.status = "CREATE_COMPLETE" if is_new else "UPDATE_COMPLETE"

    @staticmethod
    def create_tables(cloud, resolved):
        timestream = boto3.client("timestream-write", endpoint_url=cloud.emulator, region_name=REGION)
        for database in resolved.of_type("AWS::Timestream::Database").values():
            try:
                timestream.create_database(DatabaseName=database["DatabaseName"])
            except timestream.exceptions.ConflictException:
                pass
        for table in resolved.of_type("AWS::Timestream::Table").values():
            # A reference to the database is its name.
            names = {"<TimestreamDatabase>": resolved.parameters["DefaultDatabase"]}
            database = names.get(table["DatabaseName"], table["DatabaseName"])
            try:
                timestream.create_table(DatabaseName=database, TableName=table["TableName"])
            except timestream.exceptions.ConflictException:
                pass

    def start(self, cloud, resolved):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        variables = resolved.variables() | {
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_ENDPOINT_URL": cloud.emulator,
            "region": REGION,
            "web_listen_address": f"127.0.0.1:{port}",
            "endpoint_discovery": "off",
        }
        self.variables = variables
        with (cloud.folder / f"{self.name}.log").open("w") as log:
            self.process = subprocess.Popen([cloud.bootstrap], env=variables, stdout=log, stderr=log)
        cloud.closers.append(self.stop)
        for _ in range(600):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        routes = resolved.of_type("AWS::ApiGatewayV2::Route").values()
        server, self.url = serve(type("Handler", (Gateway,), {"routes": list(routes), "port": port}))
        cloud.closers += [server.server_close, server.shutdown]


class Aws(Server):
    """Lambda by POST to a function, CloudFormation and STS by POST with a form, S3 otherwise."""

    def do_POST(self):
        if "/functions/" in self.path:
            return self.reply(200, self.cloud.invoke(json.loads(self.body())))
        form = dict(urllib.parse.parse_qsl(self.body().decode()))
        action = form["Action"]
        try:
            result = self.cloud.call(action, form)
        except Rejected as error:
            text = f"<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>{escape(str(error))}</Message></Error></ErrorResponse>"
            return self.reply(400, text.encode(), [("Content-Type", "text/xml")])
        text = f"<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"
        self.reply(200, text.encode(), [("Content-Type", "text/xml")])

    def do_PUT(self):
        self.cloud.objects[urllib.parse.urlsplit(self.path).path] = self.body()
        self.reply(200, headers=[("ETag", '"x"')])

    def do_HEAD(self):
        self.reply(200 if urllib.parse.urlsplit(self.path).path in self.cloud.objects else 404)

    def do_GET(self):
        self.reply(200, b"<LocationConstraint/>")


class Gateway(Server):
    """The routes of the template, in front of the function."""

    def do_POST(self):
        body = self.body()
        path = urllib.parse.urlsplit(self.path).path
        for route in self.routes:
            method, pattern = route["RouteKey"].split(" ")
            pattern = re.escape(pattern).replace(re.escape("{proxy+}"), ".+")
            if method in ("ANY", self.command) and re.fullmatch(pattern, path):
                break
        else:
            return self.reply(404, b'{"message":"Not Found"}')
        if route["AuthorizationType"] == "AWS_IAM":
            scope = f"/{REGION}/execute-api/aws4_request"
            given = self.headers.get("Authorization", "")
            if not (given.startswith("AWS4-HMAC-SHA256 ") and scope in given):
                return self.reply(403, b'{"message":"Forbidden"}')
        wanted = ("content-type", "content-encoding", "authorization")
        headers = {name: value for name, value in self.headers.items() if name.lower() in wanted}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port)) as connection:
            connection.request(self.command, self.path, body or None, headers)
            response = connection.getresponse()
            self.reply(response.status, response.read(), [("Content-Type", response.getheader("Content-Type", ""))])

    do_GET = do_POST
