"""The contract of template.yaml, for the combinations of its parameters.

The variables OPTIONS (a file with the program's options as JSON) and SAM name what the tests need.
"""

import itertools
import json
import os
import pathlib
import re
import subprocess
import unittest

from stack import ROOT, Rejected, Stack, as_list, template

TOKEN = "0123456789abcdef0123456789abcdef"
READ_TOKEN = "r" * 32
WRITE_TOKEN = "w" * 32
ADMIN_TOKEN = "a" * 32
USERS = "prometheus:$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
BEARER = {"Authentication": "bearer", "BearerToken": TOKEN}
NETWORK = {"VpcId": "vpc-1", "SubnetIds": "subnet-1,subnet-2"}
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d-0000-0000-0000-000000000000"
CELLS = NETWORK | {"IngestCell": "ingest-cell1", "QueryCell": "query-cell2"}
# Without a meaning in Lambda.
STANDALONE_ONLY = re.compile("web_(?!cors_origin).*|connectors_file")
# AWS has no narrower form for these.
WITHOUT_RESOURCE = {
    "timestream:DescribeEndpoints",
    "timestream:CancelQuery",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
}


def every(choices):
    """Every combination of the choices for each parameter that makes a stack."""
    for values in itertools.product(*choices.values()):
        try:
            yield Stack(**dict(zip(choices, values)))
        except Rejected:
            pass


def stacks():
    """Stacks with everything that changes permissions, on and off."""
    yield from every(
        {
            "Authentication": ["bearer", "iam"],
            "BearerToken": [TOKEN],
            "Databases": ["", "one,two.x", "*"],
            "DefaultDatabase": ["", "prometheus"],
            "PrometheusDatabaseLabel": ["", "PrometheusDatabaseLabel"],
            "DeadLetters": ["false", "true"],
            "DeadLetterReplay": ["false", "true"],
            "Tracing": ["false", "true"],
            "Connectors": ["false", "true"],
            "HaTracking": ["false", "true"],
            "ScrapeEndpoint": ["", "http://node:9100/metrics"],
            "DefaultTable": ["samples"],
            "VpcId": ["", "vpc-1"],
            "SubnetIds": ["subnet-1"],
            "KmsKeyArn": ["", KEY],
        }
    )


class Validation(unittest.TestCase):
    def test_sam_finds_nothing_to_say(self):
        command = [os.environ["SAM"], "validate", "--lint", "--region", "eu-west-1"]
        environment = os.environ | {"SAM_CLI_TELEMETRY": "0"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("is a valid SAM Template", done.stdout)

    def test_every_parameter_is_in_a_group_and_described(self):
        parameters = template()["Parameters"]
        groups = template()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
        grouped = [name for group in groups for name in group["Parameters"]]
        self.assertCountEqual(grouped, parameters)
        for name, parameter in parameters.items():
            self.assertIn("Default", parameter, name)
            self.assertTrue(parameter.get("Description"), name)


class Options(unittest.TestCase):
    def setUp(self):
        options = json.loads(pathlib.Path(os.environ["OPTIONS"]).read_text())
        self.options = {
            option["variable"]: option["default"]
            for option in options
            if not STANDALONE_ONLY.fullmatch(option["variable"])
        }

    def test_every_option_reaches_the_function_as_its_variable(self):
        self.assertGreater(len(self.options), 20)
        missing = self.options.keys() - Stack(**BEARER).variables().keys()
        self.assertFalse(missing, "options without a parameter in template.yaml")

    def test_a_parameter_is_what_its_variable_is_made_from(self):
        switched = {"basic_auth_users": {"Authentication": "basic"}}
        made = {
            "dead_letter": ({"DeadLetters": "true"}, "sqs:<DeadLetterQueue>"),
            "state_store": ({"Connectors": "true"}, "dynamodb:<ConnectorTable.Arn>"),
        }
        for variable in self.options:
            with self.subTest(variable):
                if variable in made:
                    parameters, value = made[variable]
                    self.assertEqual(Stack(**BEARER, **parameters).variables()[variable], value)
                    continue
                name = self.parameter_of(variable)
                value = self.another_value(name)
                stack = Stack(**(BEARER | switched.get(variable, {}) | {"Databases": "*", name: value}))
                self.assertEqual(stack.variables()[variable], value)

    def test_defaults_are_those_of_the_program(self):
        for variable, value in Stack(**BEARER, DefaultDatabase="db1", DefaultTable="t1x").variables().items():
            if variable in self.options and variable not in ("bearer_token", "default_database", "default_table"):
                self.assertIn(value, ("", self.options[variable]), variable)

    @staticmethod
    def parameter_of(variable):
        named = {
            "database_label": "PrometheusDatabaseLabel",
            "table_label": "PrometheusTableLabel",
            # Stacks have a value by this name.
            "throttled_write_status": "ThrottlingStatus",
        }
        return named.get(variable) or "".join(word.capitalize() for word in variable.split("_"))

    @staticmethod
    def another_value(name):
        """One that is allowed and is not the default."""
        parameter = template()["Parameters"][name]
        if "AllowedValues" in parameter:
            return next(value for value in parameter["AllowedValues"] if value != parameter["Default"])
        candidates = ["7", "value", "https://custom.example", "eu-north-1", TOKEN[::-1], USERS]
        pattern = parameter.get("AllowedPattern", "")
        return next(value for value in candidates if re.search(pattern, value))


class Authentication(unittest.TestCase):
    def test_no_route_is_open_whatever_the_parameters(self):
        seen = set()
        choices = {
            "Authentication": ["bearer", "basic", "iam"],
            "BearerToken": ["", TOKEN],
            "ReadBearerToken": ["", READ_TOKEN],
            "WriteBearerToken": ["", WRITE_TOKEN],
            "AdminBearerToken": ["", ADMIN_TOKEN],
            "BasicAuthUsers": ["", USERS],
            "DeadLetters": ["false", "true"],
            "Connectors": ["false", "true"],
            "AccessLogs": ["false", "true"],
            "VpcId": ["", "vpc-1"],
            "SubnetIds": ["subnet-1"],
        }
        for stack in every(choices):
            mode = stack.parameters["Authentication"]
            seen.add(mode)
            variables = stack.variables()
            tokens = {"bearer_token", "read_bearer_token", "write_bearer_token", "admin_bearer_token"}
            methods = {name for name in tokens | {"basic_auth_users"} if variables[name]}
            routes = stack.of_type("AWS::ApiGatewayV2::Route").values()
            keys = {"POST /write", "POST /read", "POST /v1/metrics", "GET /query"}
            keys |= {f"{method} /api/v1/{{proxy+}}" for method in ("GET", "POST", "OPTIONS")}
            if stack.parameters["Connectors"] == "true":
                keys |= {"ANY /v1/connectors", "ANY /v1/connectors/{proxy+}"}
            self.assertEqual({route["RouteKey"] for route in routes}, keys)
            for route in routes:
                self.assertTrue(route["AuthorizationType"] == "AWS_IAM" or methods, stack.parameters)
            if mode == "bearer":
                self.assertTrue(methods - {"admin_bearer_token"} and methods <= tokens, stack.parameters)
            else:
                self.assertEqual(methods, {"basic": {"basic_auth_users"}, "iam": set()}[mode])
        self.assertEqual(seen, {"bearer", "basic", "iam"})

    def test_nothing_but_the_routes_reaches_the_function(self):
        kinds = {resource["Type"] for resource in template()["Resources"].values()}
        for kind in ("AWS::Lambda::Url", "AWS::Serverless::Api", "AWS::Serverless::HttpApi", "AWS::ApiGateway::RestApi"):
            self.assertNotIn(kind, kinds)
        prefix = "arn:aws:execute-api:eu-west-1:123456789012:<Api>/$default/"
        always = ["POST/write", "POST/read", "POST/v1/metrics", "GET/query"]
        always += [f"{method}/api/v1/{{proxy+}}" for method in ("GET", "POST", "OPTIONS")]
        connectors = ["*/v1/connectors", "*/v1/connectors/{proxy+}"]
        for parameters, paths in (({}, always), ({"Connectors": "true"}, always + connectors)):
            permissions = Stack(**BEARER, **parameters).of_type("AWS::Lambda::Permission").values()
            self.assertEqual(
                {(permission["Principal"], permission["SourceArn"]) for permission in permissions},
                {("apigateway.amazonaws.com", prefix + path) for path in paths},
            )

    def test_missing_and_weak_credentials_are_refused(self):
        for parameters in (
            {},
            {"Authentication": "bearer"},
            {"Authentication": "basic"},
            {"Authentication": "basic", "BearerToken": TOKEN},
            {"Authentication": "basic", "ReadBearerToken": READ_TOKEN, "WriteBearerToken": WRITE_TOKEN},
            {"AdminBearerToken": ADMIN_TOKEN},
            {"BearerToken": TOKEN, "AdminBearerToken": "short"},
            {"BearerToken": TOKEN, "AdminBearerToken": TOKEN},
            {"WriteBearerToken": TOKEN, "AdminBearerToken": TOKEN},
            {"BearerToken": READ_TOKEN, "ReadBearerToken": TOKEN, "AdminBearerToken": TOKEN},
            {"ReadBearerToken": "short"},
            {"WriteBearerToken": "short"},
            {"BearerToken": TOKEN, "ReadBearerToken": TOKEN},
            {"BearerToken": TOKEN, "WriteBearerToken": TOKEN},
            {"ReadBearerToken": TOKEN, "WriteBearerToken": TOKEN},
            {"Authentication": "bearer", "BasicAuthUsers": USERS},
            {"BearerToken": "short"},
            {"BearerToken": " " * 40},
            {"Authentication": "basic", "BasicAuthUsers": "prometheus:plain"},
            {"Authentication": "none", "BearerToken": TOKEN},
        ):
            with self.subTest(parameters), self.assertRaises(Rejected):
                Stack(**parameters)

    def test_secrets_manager_can_have_every_credential(self):
        arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prometheus/token-a1b2c3"
        of_users = {"Authentication": "basic", "BasicAuthUsersSecret": arn}
        self.assertEqual(Stack(**of_users).variables()["basic_auth_users"], f"{{{{resolve:secretsmanager:{arn}}}}}")
        parameters = {
            "BearerToken": "bearer_token",
            "ReadBearerToken": "read_bearer_token",
            "WriteBearerToken": "write_bearer_token",
            "AdminBearerToken": "admin_bearer_token",
        }
        for name, variable in parameters.items():
            with self.subTest(name):
                # One value of a secret, of one version.
                secret = f"{name}/of-prod:SecretString:token::v1"
                other = {} if name != "AdminBearerToken" else BEARER
                variables = Stack(**other, **{f"{name}Secret": secret}).variables()
                self.assertEqual(variables[variable], f"{{{{resolve:secretsmanager:{secret}}}}}")
                for rest in parameters.values():
                    if rest != variable and not (other and rest == "bearer_token"):
                        self.assertEqual(variables[rest], "")
                with self.assertRaisesRegex(Rejected, "^CredentialsAreGivenOnce: .*pass the other one empty"):
                    Stack(**BEARER | {name: TOKEN[::-1], f"{name}Secret": secret})
                with self.assertRaises(Rejected):
                    Stack(**BEARER, **{f"{name}Secret": "a}} b"})
        with self.assertRaisesRegex(Rejected, "^TokensDiffer: "):
            Stack(ReadBearerTokenSecret="one", WriteBearerTokenSecret="one")
        with self.assertRaisesRegex(Rejected, "^TokenIsGiven: "):
            Stack(AdminBearerTokenSecret="one")
        with self.assertRaisesRegex(Rejected, "^UsersAreGiven: "):
            Stack(Authentication="basic", BearerTokenSecret="one")

    def test_secrets_are_not_echoed(self):
        for name in ("BearerToken", "ReadBearerToken", "WriteBearerToken", "AdminBearerToken", "BasicAuthUsers"):
            self.assertIs(template()["Parameters"][name]["NoEcho"], True, name)
        tokens = {"ReadBearerToken": READ_TOKEN, "WriteBearerToken": WRITE_TOKEN, "AdminBearerToken": ADMIN_TOKEN}
        for output in Stack(**BEARER, **tokens).outputs.values():
            for token in (TOKEN, *tokens.values()):
                self.assertNotIn(token, output)


class Permissions(unittest.TestCase):
    def test_no_wildcard_that_aws_does_not_demand(self):
        count = 0
        for stack in stacks():
            count += 1
            every_database = stack.parameters["Databases"] == "*"
            for statement in stack.statements():
                self.assertEqual(statement["Effect"], "Allow")
                actions = as_list(statement["Action"])
                for resource in as_list(statement["Resource"]):
                    if resource == "*":
                        self.assertLessEqual(set(actions), WITHOUT_RESOURCE)
                        continue
                    if actions == ["execute-api:Invoke"]:
                        # Every method of one API's routes.
                        resource = re.sub(r"/\*/v1/connectors(/\*)?$", "", resource)
                        resource = re.sub(r"/(GET|POST)/api/v1/\*$", "", resource)
                    narrowed = resource.removesuffix("/table/*")
                    if every_database:
                        narrowed = narrowed.removesuffix(":database/*")
                    self.assertNotIn("*", narrowed, resource)
                self.assertFalse([action for action in actions if "*" in action])
        self.assertGreater(count, 100)

    def test_the_databases_are_those_that_were_named(self):
        def granted(**parameters):
            arns = Stack(**BEARER, **parameters).granted("timestream:WriteRecords")
            prefix = "arn:aws:timestream:{}:123456789012:database/"
            region = parameters.get("Region") or "eu-west-1"
            for arn in arns:
                self.assertTrue(arn.startswith(prefix.format(region)), arn)
                self.assertTrue(arn.endswith("/table/*"), arn)
            return [arn.split("database/")[1].removesuffix("/table/*") for arn in arns]

        eight = [f"db{n}" for n in range(8)]
        label = {"PrometheusDatabaseLabel": "PrometheusDatabaseLabel"}
        self.assertEqual(granted(), ["prometheus"])
        self.assertEqual(granted(Databases="one,two", Region="us-west-2"), ["prometheus", "one", "two"])
        self.assertEqual(granted(DefaultDatabase="", Databases=",".join(eight), **label), eight)
        self.assertEqual(granted(Databases="*", **label), ["prometheus", "*"])
        for invalid in ("one, two", "one,", "one,*", "a", ",".join([*eight, "db8"])):
            with self.subTest(invalid), self.assertRaises(Rejected):
                granted(Databases=invalid)

    def test_everything_that_the_program_calls_is_allowed(self):
        stack = Stack(**BEARER, Connectors="true", DeadLetters="true", DeadLetterReplay="true", Tracing="true", **CELLS)
        on_tables = "WriteRecords Select ListMeasures DescribeTable"
        for action in on_tables.split():
            self.assertEqual(stack.granted(f"timestream:{action}"), stack.granted("timestream:Select"))
        for action in "DescribeEndpoints CancelQuery".split():
            self.assertEqual(stack.granted(f"timestream:{action}"), ["*"])
        for action in "SendMessage ReceiveMessage DeleteMessage GetQueueAttributes".split():
            self.assertEqual(stack.granted(f"sqs:{action}"), ["<DeadLetterQueue.Arn>"])
        for action in "GetItem PutItem DeleteItem Query".split():
            self.assertEqual(stack.granted(f"dynamodb:{action}"), ["<ConnectorTable.Arn>"])
            elected = Stack(**BEARER, HaTracking="true")
            self.assertEqual(elected.granted(f"dynamodb:{action}"), ["<ConnectorTable.Arn>"])
            self.assertEqual(elected.variables()["state_store"], "dynamodb:<ConnectorTable.Arn>")
        self.assertEqual(stack.granted("logs:PutLogEvents"), ["<LogGroup.Arn>"])
        self.assertEqual(stack.granted("xray:PutTraceSegments"), ["*"])
        self.assertEqual(stack.granted("ec2:CreateNetworkInterface"), ["*"])

    def test_a_key_is_used_for_what_has_it_alone(self):
        def services(**parameters):
            return {
                (action, tuple(statement.get("Condition", {}).get("StringEquals", {}).values()))
                for statement in Stack(**BEARER, KmsKeyArn=KEY, **parameters).statements()
                for action in as_list(statement["Action"])
                if statement["Resource"] == KEY
            }

        variables = {("kms:Decrypt", ())}
        queue = {(f"kms:{action}", ("sqs.eu-west-1.amazonaws.com",)) for action in ("Decrypt", "GenerateDataKey")}
        self.assertEqual(services(), variables)
        self.assertEqual(services(DeadLetters="true"), variables | queue)
        for parameter in ("Connectors", "HaTracking"):
            state = services(**{parameter: "true"}) - variables
            self.assertEqual({via for _, via in state}, {("dynamodb.eu-west-1.amazonaws.com",)})
            self.assertIn("kms:Decrypt", {action for action, _ in state})

    def test_tables_are_created_and_dropped_only_where_that_is_said(self):
        on = Stack(**BEARER, ConnectorsManageTables="true")
        for action in "timestream:CreateTable timestream:DeleteTable".split():
            self.assertEqual(on.granted(action), on.granted("timestream:WriteRecords"))
            self.assertEqual(Stack(**BEARER).granted(action), [])

    def test_what_is_off_is_not_allowed(self):
        actions = {action for statement in Stack(**BEARER).statements() for action in as_list(statement["Action"])}
        self.assertEqual({action.split(":")[0] for action in actions}, {"logs", "timestream"})


class Rules(unittest.TestCase):
    def test_parameters_that_contradict_each_other_are_refused(self):
        for said, parameters in (
            ("DatabasesAreNamed", {"PrometheusDatabaseLabel": "PrometheusDatabaseLabel"}),
            ("SamplesHaveADestination", {"DefaultDatabase": ""}),
            ("SamplesHaveADestination", {"DefaultTable": ""}),
            ("NetworkIsComplete", {"VpcId": "vpc-1"}),
            ("CellsNeedAVpc", {"IngestCell": "ingest-cell1", "QueryCell": "query-cell1"}),
            ("CellsNeedAVpc", NETWORK | {"IngestCell": "ingest-cell1"}),
            ("CellsNeedAVpc", CELLS | {"WriteBaseEndpoint": "https://x.example"}),
            ("LimitsAreComplete", {"ThrottlingRateLimit": 10}),
            ("LimitsAreComplete", {"ThrottlingBurstLimit": 10}),
            ("ReplayNeedsAQueue", {"DeadLetterReplay": "true"}),
            ("ScrapeNeedsATable", {"ScrapeEndpoint": "http://x/", "DefaultTable": "", "PrometheusTableLabel": "x"}),
            ("CopiesNeedATable", {"SyncFrom": "http://x/", "Connectors": "true", "DefaultTable": "", "PrometheusTableLabel": "x"}),
            ("CopiesNeedATable", {"SyncFrom": "http://x/"}),
            ("CopiesNeedATable", {"SinkTo": "http://x/"}),
            ("MetadataHasATableOfItsOwn", {"DefaultTable": "metrics"}),
            ("CreatedTableHasAName", {"CreateTable": "true", "DefaultTable": "", "PrometheusTableLabel": "x"}),
            ("CreatedInTheRegionOfTheStack", {"CreateDatabase": "true", "Region": "us-east-1"}),
        ):
            with self.subTest(said, **parameters), self.assertRaisesRegex(Rejected, f"^{said}: "):
                Stack(**BEARER, **parameters)


class Parts(unittest.TestCase):
    def test_the_table_is_created_on_request_and_outlives_the_stack(self):
        self.assertFalse(Stack(**BEARER).of_type("AWS::Timestream::Table"))
        stack = Stack(**BEARER, CreateDatabase="true", CreateTable="true", MagneticStoreWrites="true")
        table, metadata = stack.of_type("AWS::Timestream::Table").values()
        self.assertEqual((table["DatabaseName"], table["TableName"]), ("<TimestreamDatabase>", "samples"))
        self.assertEqual((metadata["DatabaseName"], metadata["TableName"]), ("<TimestreamDatabase>", "metrics"))
        stack = Stack(**BEARER, CreateTable="true", MetadataTable="off")
        self.assertEqual(len(stack.of_type("AWS::Timestream::Table")), 1)
        stack = Stack(**BEARER, CreateDatabase="true", CreateTable="true", MagneticStoreWrites="true")
        self.assertEqual(table["MagneticStoreWriteProperties"], {"EnableMagneticStoreWrites": "true"})
        for name in ("TimestreamDatabase", "TimestreamTable"):
            self.assertEqual(stack.resources[name]["DeletionPolicy"], "RetainExceptOnCreate")

    def test_the_retention_is_that_of_the_documents(self):
        stack = Stack(**BEARER, CreateTable="true")
        for table in stack.of_type("AWS::Timestream::Table").values():
            retention = table["RetentionProperties"]
            # Prometheus sends samples up to two hours late; each hour more costs as much as the first.
            self.assertEqual(int(retention["MemoryStoreRetentionPeriodInHours"]), 2)
        self.assertEqual(stack.parameters["MagneticStoreWrites"], "true")
        by_hand = (ROOT / "docs/lambda-by-hand.md").read_text()
        text = ",".join(f"{name}={value}" for name, value in retention.items())
        self.assertIn(f"--retention-properties {text} ", by_hand)

    def test_a_key_encrypts_everything_that_lasts(self):
        everything = {"DeadLetters": "true", "Connectors": "true", "AccessLogs": "true", "CreateDatabase": "true"}
        keys = {
            "AWS::Lambda::Function": lambda it: it.get("KmsKeyArn"),
            "AWS::Logs::LogGroup": lambda it: it.get("KmsKeyId"),
            "AWS::SQS::Queue": lambda it: it.get("KmsMasterKeyId"),
            "AWS::DynamoDB::Table": lambda it: it["SSESpecification"].get("KMSMasterKeyId"),
            "AWS::Timestream::Database": lambda it: it.get("KmsKeyId"),
        }
        for key in ("", KEY):
            stack = Stack(**BEARER, **everything, KmsKeyArn=key)
            for kind, key_of in keys.items():
                found = stack.of_type(kind)
                self.assertTrue(found, kind)
                for name, resource in found.items():
                    self.assertEqual(key_of(resource), key or None, name)
            # Two kinds of encryption at once are rejected by SQS.
            for queue in stack.of_type("AWS::SQS::Queue").values():
                self.assertNotEqual("SqsManagedSseEnabled" in queue, "KmsMasterKeyId" in queue)
        for invalid in ("alias/key", "arn:aws:kms:eu-west-1:123456789012:alias/key"):
            with self.subTest(invalid), self.assertRaises(Rejected):
                Stack(**BEARER, KmsKeyArn=invalid)

    def test_dead_letters_are_replayed_only_on_request(self):
        self.assertFalse(Stack(**BEARER).of_type("AWS::SQS::Queue"))
        stored = Stack(**BEARER, DeadLetters="true")
        self.assertEqual(stored.variables()["dead_letter"], "sqs:<DeadLetterQueue>")
        self.assertFalse(stored.of_type("AWS::Lambda::EventSourceMapping"))
        self.assertNotIn("RedrivePolicy", stored.of_type("AWS::SQS::Queue")["DeadLetterQueue"])

        replayed = Stack(**BEARER, DeadLetters="true", DeadLetterReplay="true")
        (trigger,) = replayed.of_type("AWS::Lambda::EventSourceMapping").values()
        self.assertEqual(trigger["FunctionResponseTypes"], ["ReportBatchItemFailures"])
        queue = replayed.of_type("AWS::SQS::Queue")["DeadLetterQueue"]
        self.assertEqual(queue["RedrivePolicy"]["deadLetterTargetArn"], "<UnreplayableQueue.Arn>")
        (function,) = replayed.of_type("AWS::Lambda::Function").values()
        self.assertGreaterEqual(queue["VisibilityTimeout"], 6 * function["Timeout"])

    def test_connectors_are_stored_only_on_request(self):
        self.assertFalse(Stack(**BEARER).of_type("AWS::DynamoDB::Table"))
        stack = Stack(**BEARER, Connectors="true")
        (table,) = stack.of_type("AWS::DynamoDB::Table").values()
        keys = [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]]
        self.assertEqual(keys, [("collection", "HASH"), ("name", "RANGE")])
        self.assertEqual(table["TimeToLiveSpecification"], {"AttributeName": "expires_at", "Enabled": True})
        self.assertEqual(stack.resources["ConnectorTable"]["DeletionPolicy"], "RetainExceptOnCreate")
        self.assertFalse(stack.of_type("AWS::IAM::ManagedPolicy"))
        signed = Stack(Authentication="iam", Connectors="true")
        self.assertEqual(signed.of_type("AWS::IAM::ManagedPolicy").keys(), {"InvokePolicy", "ConnectorsPolicy"})

    def test_a_schedule_brings_its_definition(self):
        self.assertFalse(Stack(**BEARER).of_type("AWS::Scheduler::Schedule"))
        endpoint = "https://node.example:9100/metrics?a=b&c=%20"
        stack = Stack(**BEARER, ScrapeEndpoint=endpoint)
        (schedule,) = stack.of_type("AWS::Scheduler::Schedule").values()
        target = schedule["Target"]
        self.assertEqual(target["Arn"], "<Function.Arn>")
        self.assertEqual(stack.granted("lambda:InvokeFunction"), ["<Function.Arn>"])
        definition = json.loads(target["Input"])
        self.assertEqual(definition["config"], {"endpoint": endpoint})
        self.assertEqual(definition["schedule_ms"], 60_000)
        destination = (definition["target_database"], definition["target_table"])
        self.assertEqual(destination, ("prometheus", "samples"))
        for broken in ('http://x/"', "http://x/\\", "ftp://x/", "http://x/ y"):
            with self.subTest(broken), self.assertRaises(Rejected):
                Stack(**BEARER, ScrapeEndpoint=broken)

    def test_the_other_types_have_schedules_too(self):
        stack = Stack(**BEARER, Connectors="true", SyncFrom="http://prometheus:9090", SinkTo="http://mimir/push")
        schedules = stack.of_type("AWS::Scheduler::Schedule")
        self.assertEqual(schedules.keys(), {"SyncSchedule", "SinkSchedule"})
        sync, sink = (json.loads(schedules[name]["Target"]["Input"]) for name in ("SyncSchedule", "SinkSchedule"))
        self.assertEqual((sync["type"], sink["type"]), ("prometheus_api", "prometheus_sink"))
        self.assertEqual(sync["config"], {"prometheus_url": "http://prometheus:9090", "create_tables": False})
        source = {"database": "prometheus", "table": "samples"}
        self.assertEqual(sink["config"], {"url": "http://mimir/push", "source": source})
        self.assertEqual(stack.granted("lambda:InvokeFunction"), ["<Function.Arn>"])

    def test_a_run_that_fails_is_not_repeated_by_lambda(self):
        # Lambda has two retries and an age of six hours of its own, whatever a schedule says.
        for parameters in ({}, {"ScrapeEndpoint": "http://node:9100/metrics"}):
            (config,) = Stack(**BEARER, **parameters).of_type("AWS::Lambda::EventInvokeConfig").values()
            self.assertEqual(config["FunctionName"], "<Function>")
            self.assertEqual(config["Qualifier"], "$LATEST")
            self.assertEqual(config["MaximumRetryAttempts"], 0)
            self.assertEqual(config["MaximumEventAgeInSeconds"], 300)
        copies = {"Connectors": "true", "SyncFrom": "http://p:9090", "SinkTo": "http://m/push"}
        stack = Stack(**BEARER, ScrapeEndpoint="http://node:9100", **copies)
        for name, schedule in stack.of_type("AWS::Scheduler::Schedule").items():
            policy = schedule["Target"]["RetryPolicy"]
            self.assertEqual(policy["MaximumRetryAttempts"], 0, name)
            self.assertLessEqual(policy["MaximumEventAgeInSeconds"], config["MaximumEventAgeInSeconds"], name)

    def test_only_connectors_call_any_port(self):
        def ports(**parameters):
            (group,) = Stack(**BEARER, **NETWORK, **parameters).of_type("AWS::EC2::SecurityGroup").values()
            return [(rule["FromPort"], rule["ToPort"]) for rule in group["SecurityGroupEgress"]]

        aws, everything = (443, 443), (1, 65535)
        self.assertEqual(ports(), [aws])
        self.assertEqual(ports(Connectors="true"), [aws, everything])
        self.assertEqual(ports(ScrapeEndpoint="http://node:9100/metrics"), [aws, everything])

    def test_private_endpoints_are_those_that_the_function_calls(self):
        stack = Stack(**BEARER, DeadLetters="true", **CELLS)
        services = {endpoint["ServiceName"] for endpoint in stack.of_type("AWS::EC2::VPCEndpoint").values()}
        prefix = "com.amazonaws.eu-west-1"
        expected = {f"{prefix}.timestream.ingest-cell1", f"{prefix}.timestream.query-cell2", f"{prefix}.sqs"}
        self.assertEqual(services, expected)
        host = "https://{}.timestream.eu-west-1.amazonaws.com"
        self.assertEqual(stack.variables()["write_base_endpoint"], host.format("ingest-cell1"))
        self.assertEqual(stack.variables()["query_base_endpoint"], host.format("query-cell2"))
        (function,) = stack.of_type("AWS::Lambda::Function").values()
        self.assertEqual(function["VpcConfig"]["SubnetIds"], ["subnet-1", "subnet-2"])
        self.assertNotIn("VpcConfig", *Stack(**BEARER).of_type("AWS::Lambda::Function").values())

    def test_private_endpoints_open_the_tables_of_the_function_alone(self):
        for databases in ("", "one,two", ",".join(f"db{n}" for n in range(8)), "*"):
            for manages in ("false", "true"):
                parameters = {"Databases": databases, "ConnectorsManageTables": manages, "DeadLetters": "true"}
                stack = Stack(**BEARER, **CELLS, **parameters)
                endpoints = stack.of_type("AWS::EC2::VPCEndpoint")
                opened = set()
                for name, endpoint in endpoints.items():
                    for statement in endpoint["PolicyDocument"]["Statement"]:
                        account = {"StringEquals": {"aws:PrincipalAccount": "123456789012"}}
                        self.assertEqual(statement["Condition"], account)
                        if name == "QueueEndpoint":
                            self.assertEqual(statement["Resource"], "arn:aws:sqs:eu-west-1:123456789012:*")
                            continue
                        for action in as_list(statement["Action"]):
                            opened.add(action)
                            self.assertEqual(as_list(statement["Resource"]), stack.granted(action), (name, action))
                calls = {action for it in stack.statements() for action in as_list(it["Action"])}
                self.assertEqual(opened, {action for action in calls if action.startswith("timestream:")})

    def test_switches_of_the_function(self):
        (plain,) = Stack(**BEARER).of_type("AWS::Lambda::Function").values()
        self.assertEqual(plain["Runtime"], "provided.al2023")
        self.assertEqual(plain["Architectures"], ["arm64"])
        self.assertNotIn("ReservedConcurrentExecutions", plain)
        changed = Stack(**BEARER, Architecture="x86_64", ReservedConcurrency=5, Tracing="true", AccessLogs="true")
        (function,) = changed.of_type("AWS::Lambda::Function").values()
        self.assertEqual(function["Architectures"], ["x86_64"])
        self.assertEqual(function["ReservedConcurrentExecutions"], "5")
        self.assertEqual(function["TracingConfig"], {"Mode": "Active"})
        (stage,) = changed.of_type("AWS::ApiGatewayV2::Stage").values()
        self.assertNotIn("DefaultRouteSettings", stage)
        limited = Stack(**BEARER, ThrottlingRateLimit=100, ThrottlingBurstLimit=20)
        (slow,) = limited.of_type("AWS::ApiGatewayV2::Stage").values()
        settings = {"ThrottlingRateLimit": "100", "ThrottlingBurstLimit": "20"}
        self.assertEqual(slow["DefaultRouteSettings"], settings)
        self.assertIn("requestId", json.loads(stage["AccessLogSettings"]["Format"]))


class Observing(unittest.TestCase):
    def test_alarms_tell_the_topic(self):
        topic = "arn:aws:sns:eu-west-1:123456789012:oncall"
        alarms = Stack(**BEARER, DeadLetters="true", AlarmTopic=topic).of_type("AWS::CloudWatch::Alarm")
        names = {"Errors", "Throttles", "IgnoredSamples", "RejectedSamples", "QueryErrors", "SlowQueries", "DeadLetters"}
        self.assertEqual(alarms.keys(), {f"{name}Alarm" for name in names})
        for alarm in alarms.values():
            self.assertEqual(alarm["AlarmActions"], [topic])
        for alarm in Stack(**BEARER).of_type("AWS::CloudWatch::Alarm").values():
            self.assertNotIn("AlarmActions", alarm)

    def test_the_dashboard_queries_metrics_of_this_function(self):
        (board,) = Stack(**BEARER).of_type("AWS::CloudWatch::Dashboard").values()
        widgets = json.loads(board["DashboardBody"])["widgets"]
        for widget in widgets:
            for namespace, _, dimension, value, *_ in widget["properties"]["metrics"]:
                whose = {"AWS/ApiGateway": ("ApiId", "<Api>")}.get(namespace, ("FunctionName", "<Function>"))
                self.assertEqual((dimension, value), whose)
        places = [(widget["x"], widget["y"]) for widget in widgets]
        self.assertEqual(len(set(places)), len(places))

    def test_every_queried_metric_is_one_that_the_function_prints(self):
        printed = set(os.environ["PRINTED_METRICS"].split(","))
        stack = Stack(**BEARER)
        (board,) = stack.of_type("AWS::CloudWatch::Dashboard").values()
        queried = {
            metric[1]
            for widget in json.loads(board["DashboardBody"])["widgets"]
            for metric in widget["properties"]["metrics"]
            if metric[0] == "TimestreamConnector"
        } | {
            alarm["MetricName"]
            for alarm in stack.of_type("AWS::CloudWatch::Alarm").values()
            if alarm.get("Namespace") == "TimestreamConnector"
        }
        self.assertGreater(len(queried), 10)
        self.assertFalse(queried - printed)


class Outputs(unittest.TestCase):
    def test_the_addresses(self):
        outputs = Stack(**BEARER).outputs
        self.assertEqual(outputs["WriteUrl"], "https://<Api>.execute-api.eu-west-1.amazonaws.com/write")
        self.assertEqual(outputs["ReadUrl"], "https://<Api>.execute-api.eu-west-1.amazonaws.com/read")
        self.assertEqual(outputs["QueryUrl"], "https://<Api>.execute-api.eu-west-1.amazonaws.com")

    def test_every_output_fits_into_the_table_of_sam(self):
        # SAM wraps values in its table, which leaves no YAML and no JSON of them.
        for parameters in (BEARER, {"Authentication": "iam", "Connectors": "true", "DeadLetters": "true"}):
            for name, value in Stack(**parameters).outputs.items():
                self.assertRegex(value, r"^\S{1,100}$", name)


if __name__ == "__main__":
    unittest.main()
