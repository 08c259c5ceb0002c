"""The calls of AWS, and of the deployed function, that scripts/deploy.sh makes.

    deploy.py account                              account of the credentials
    deploy.py regions                              regions of Timestream
    deploy.py region                               the region of the profile
    deploy.py stack REGION STACK                   the parameters of a stack, NAME=VALUE; nothing if there is none
    deploy.py missing REGION DATABASE TABLE        create, tables or existing
    deploy.py remove-failed REGION STACK           deletes a stack whose creation failed
    deploy.py output REGION STACK NAME             an output of a stack
    deploy.py doctor REGION FUNCTION               the function checks its own role, network and tables
    deploy.py check REGION URL METHOD FILE         writes a sample and queries it; FILE has the token or the password

Runs in the Python of `scripts/python.sh lambda`, which has boto3. Errors are one line, with the remedy.
"""

import base64
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import boto3
import botocore.exceptions
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

# A new API has to appear in DNS, and a new role everywhere.
PATIENCE_SECONDS = float(os.environ.get("CHECK_SECONDS", 90))
METRIC = "timestream_connector_deploy_check"


class Failure(Exception):
    """Ends the program with one line."""


def account():
    try:
        return client("sts", default_region()).get_caller_identity()["Account"]
    except botocore.exceptions.NoCredentialsError:
        raise Failure("there are no AWS credentials; set AWS_PROFILE, or run aws configure or aws sso login") from None


def regions():
    session = boto3.Session()
    partitions = session.get_available_partitions()
    return " ".join(
        region
        for partition in partitions
        for region in session.get_available_regions("timestream-write", partition_name=partition)
    )


def default_region():
    return boto3.Session().region_name or "us-east-1"


def client(service, region):
    return boto3.client(service, region_name=region)


def described(region, stack):
    """The stack, or None."""
    try:
        (found,) = client("cloudformation", region).describe_stacks(StackName=stack)["Stacks"]
    except botocore.exceptions.ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    # A change set that was never executed.
    return None if found["StackStatus"] == "REVIEW_IN_PROGRESS" else found


def parameters(region, name):
    stack = described(region, name)
    if stack is None or stack["StackStatus"] == "ROLLBACK_COMPLETE":
        return ""
    # Of secrets CloudFormation returns asterisks, so that they are never in it.
    pairs = ((one["ParameterKey"], one["ParameterValue"]) for one in stack.get("Parameters", []))
    return "\n".join(f"{key}={value}" for key, value in pairs if set(value) != {"*"})


def missing(region, database, table):
    service = client("timestream-write", region)
    try:
        service.describe_database(DatabaseName=database)
    except service.exceptions.ResourceNotFoundException:
        return "create"
    try:
        service.describe_table(DatabaseName=database, TableName=table)
    except service.exceptions.ResourceNotFoundException:
        return "tables"
    return "existing"


def remove_failed(region, name):
    stack = described(region, name)
    if stack is None or stack["StackStatus"] != "ROLLBACK_COMPLETE":
        return ""
    service = client("cloudformation", region)
    service.delete_stack(StackName=name)
    service.get_waiter("stack_delete_complete").wait(StackName=name)
    return f"Removed stack {name}, whose creation had failed."


def output(region, name, key):
    for one in described(region, name)["Outputs"]:
        if one["OutputKey"] == key:
            return one["OutputValue"]
    raise Failure(f"stack {name} has no output {key}; was it made from another template?")


class Deployment:
    """The deployed function, called with the credential of a sender."""

    def __init__(self, region, url, method, file):
        self.region, self.url, self.method = region, url, method
        self.secret = open(file).read().strip() if file else ""

    def send(self, path, body=None, is_stranger=False):
        """The status and the body of the response; the status is 0 if there is none."""
        url, data = self.url + path, body and json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        if not is_stranger:
            headers |= self.authorization(url, data, headers)
        request = urllib.request.Request(url, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except OSError as error:
            return 0, f"{url}: {error}"

    def authorization(self, url, data, headers):
        if self.method == "bearer":
            return {"Authorization": f"Bearer {self.secret}"}
        if self.method == "basic":
            pair = base64.b64encode(f"prometheus:{self.secret}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        request = AWSRequest("POST" if data else "GET", url, headers, data)
        credentials = boto3.Session().get_credentials().get_frozen_credentials()
        SigV4Auth(credentials, "execute-api", self.region).add_auth(request)
        return dict(request.headers.items())

    def query(self, expression):
        status, text = self.send(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        if status != 200:
            return status, text, None
        return status, text, json.loads(text)["data"]["result"]


def until(attempt):
    """The first result of `attempt` that is not an error; its error, once patience ends."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        error = attempt()
        if error is None:
            return
        if time.monotonic() > end:
            raise Failure(error)
        time.sleep(2)


def doctor(region, function):
    """The function's own checks of its role, its network and its tables, as `bootstrap doctor` makes them."""
    try:
        response = client("lambda", region).invoke(FunctionName=function, Payload=json.dumps({"doctor": {}}))
    except botocore.exceptions.ClientError as error:
        if "AccessDenied" not in error.response["Error"]["Code"]:
            raise
        return f"Not checked from inside: allow lambda:InvokeFunction on {function} for `doctor` ({error})"
    report = json.loads(response["Payload"].read())
    if "FunctionError" in response:
        raise Failure(f"function {function}: {report.get('errorType')}: {report.get('errorMessage')}")
    for check in report["checks"]:
        remedy = f"; {check['remedy']}" if check.get("remedy") else ""
        print(f"{check['result']:>7}  {check['check']}: {check['detail']}{remedy}", flush=True)
    if report["result"] != "ok":
        raise Failure(f"function {function} lacks something; the failed checks above say what to do")
    return f"Function {function} has passed its own checks"


def check(region, url, method, file):
    deployment = Deployment(region, url, method, file)

    def responds():
        status, text, _ = deployment.query("1")
        return None if status == 200 else f"GET {url}/api/v1/query?query=1: {status} {text.strip()}"

    until(responds)
    print(f"{url}/api/v1/query: responds", flush=True)

    for path in ("/api/v1/query?query=1", "/v1/metrics"):
        status, _ = deployment.send(path, {} if path == "/v1/metrics" else None, is_stranger=True)
        if status not in (401, 403):
            raise Failure(f"{url}{path} returns {status} to a request without a credential, and must reject it")
    print("Requests without a credential are rejected", flush=True)

    now = time.time_ns()
    point = {"timeUnixNano": str(now), "asDouble": now // 10**9}
    gauge = {"name": METRIC, "gauge": {"dataPoints": [point]}}
    message = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [gauge]}]}]}

    def is_written():
        status, text = deployment.send("/v1/metrics", message)
        if status == 200 and "partialSuccess" not in text:
            return None
        return f"POST {url}/v1/metrics: {status} {text.strip()}"

    until(is_written)

    def is_returned():
        status, text, result = deployment.query(METRIC)
        values = [float(series["value"][1]) for series in result or []]
        if point["asDouble"] in values:
            return None
        return f"GET {url}/api/v1/query?query={METRIC}: {status} without the written sample: {text.strip()}"

    until(is_returned)
    return f"A sample of {METRIC} is stored and returned"


COMMANDS = {
    "account": account,
    "regions": regions,
    "region": default_region,
    "stack": parameters,
    "missing": missing,
    "remove-failed": remove_failed,
    "output": output,
    "doctor": doctor,
    "check": check,
}

if __name__ == "__main__":
    try:
        result = COMMANDS[sys.argv[1]](*sys.argv[2:])
        if result:
            print(result)
    except (Failure, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        sys.exit(f"make deploy: {error}")
