"""Errors that do not depend on parameters of a call: faults on order, signatures, operations."""

import re

from botocore import UNSIGNED
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from emulator import DATABASE, OLD, TestCase, sample

SIGNATURE = re.compile(
    "^The request signature we calculated does not match the signature you provided."
)


class Faults(TestCase):
    CASES = [
        (
            "throttle",
            429,
            "ThrottlingException",
            "Request is throttled due to too many requests.",
        ),
        (
            "internal_server",
            500,
            "InternalServerException",
            "The service has encountered an internal error.",
        ),
        (
            "invalid_endpoint",
            421,
            "InvalidEndpointException",
            "The requested endpoint was not valid.",
        ),
        (
            "access_denied",
            403,
            "AccessDeniedException",
            re.compile(r"^User: arn:aws:iam::\d+:user/local is not authorized to perform: timestream:"),
        ),
        (
            "expired_token",
            403,
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ),
        ({"validation": "as ordered"}, 400, "ValidationException", "as ordered"),
    ]

    def test_each_in_a_write(self):
        for kind, status, code, message in self.CASES:
            self.emulator.order("WriteRecords", kind)
            self.check_error(status, code, message, self.put, records=[sample()])
            self.assertEqual(self.rows("SELECT count(*) FROM db.old"), [["0"]], code)
        self.assertEqual(self.put([sample()]), 1, "each order was for one call")

    def test_each_in_a_query(self):
        for kind, status, code, message in self.CASES:
            self.emulator.order("Query", kind)
            self.check_error(status, code, message, self.query.query, QueryString="SELECT 1")
        self.assertEqual(self.rows("SELECT 1"), [["1"]])

    def test_exceptions_have_their_class(self):
        for kind, _, code, _ in self.CASES[:4]:
            for client, operation, call in (
                (self.write, "WriteRecords", lambda: self.put([sample()])),
                (self.query, "Query", lambda: self.query.query(QueryString="SELECT 1")),
            ):
                self.emulator.order(operation, kind)
                with self.assertRaises(getattr(client.exceptions, code)):
                    call()

    def test_the_sdk_tries_again(self):
        client = self.emulator.client("timestream-write", retries={"mode": "legacy"})
        self.addCleanup(client.close)
        for kind in ("throttle", "internal_server", "cut_after"):
            before = self.emulator.calls("WriteRecords")
            self.emulator.order("WriteRecords", kind)
            response = client.write_records(
                DatabaseName=DATABASE, TableName=OLD, Records=[sample()]
            )
            self.assertEqual(response["RecordsIngested"]["Total"], 1)
            self.assertEqual(response["ResponseMetadata"]["RetryAttempts"], 1)
            self.assertEqual(self.emulator.calls("WriteRecords") - before, 2)
        self.assertEqual(self.rows("SELECT count(*) FROM db.old"), [["1"]])

    def test_the_sdk_does_not_try_again_what_cannot_succeed(self):
        client = self.emulator.client("timestream-write", retries={"mode": "standard"})
        self.addCleanup(client.close)
        for kind, code in [
            ({"validation": "no"}, "ValidationException"),
            ("access_denied", "AccessDeniedException"),
            ("invalid_endpoint", "InvalidEndpointException"),
        ]:
            before = self.emulator.calls("WriteRecords")
            self.emulator.order("WriteRecords", kind)
            with self.assertRaises(client.exceptions.ClientError) as caught:
                client.write_records(DatabaseName=DATABASE, TableName=OLD, Records=[sample()])
            self.assertEqual(caught.exception.response["Error"]["Code"], code)
            self.assertEqual(self.emulator.calls("WriteRecords") - before, 1)

    def test_cut_connections(self):
        for kind, stored in (("cut_before", "0"), ("cut_after", "1")):
            self.emulator.order("WriteRecords", kind)
            with self.assertRaises(ConnectionClosedError):
                self.put([sample()])
            self.assertEqual(self.rows("SELECT count(*) FROM db.old"), [[stored]])

    def test_a_response_that_takes_too_long(self):
        client = self.emulator.client("timestream-query", read_timeout=0.05)
        self.addCleanup(client.close)
        self.emulator.order("Query", {"latency_ms": 1000})
        with self.assertRaises(ReadTimeoutError):
            client.query(QueryString="SELECT 1")


class Signatures(TestCase):
    def refused_client(self, status, code, message, prepare=None, **settings):
        for service, call in (
            ("timestream-write", lambda client: client.list_databases),
            ("timestream-write", lambda client: client.describe_endpoints),
            ("timestream-query", lambda client: lambda: client.query(QueryString="SELECT 1")),
        ):
            client = self.emulator.client(service, **settings)
            self.addCleanup(client.close)
            if prepare:
                prepare(client.meta.events)
            self.check_error(status, code, message, call(client))

    def test_another_secret(self):
        self.refused_client(403, "InvalidSignatureException", SIGNATURE, secret="other")

    def test_another_key(self):
        self.refused_client(
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            key="other",
        )

    def test_a_session_token(self):
        self.refused_client(
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            token="token",
        )

    def test_another_time(self):
        def change(events):
            def old_date(request, **_):
                request.headers["X-Amz-Date"] = "20200913T122640Z"
                scope = request.headers["Authorization"].decode()
                request.headers["Authorization"] = re.sub("/[0-9]{8}/", "/20200913/", scope)

            events.register("before-send", old_date)

        expired = re.compile("^Signature expired: 20200913T122640Z is now earlier than ")
        self.refused_client(403, "InvalidSignatureException", expired, change)

    def test_no_signature(self):
        self.refused_client(
            403,
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
            signature_version=UNSIGNED,
        )

    def test_a_body_changed_on_the_way(self):
        def change(events):
            def append_space(request, **_):
                request.body += b" "
                request.headers["Content-Length"] = str(len(request.body))

            events.register("before-send", append_space)

        self.refused_client(403, "InvalidSignatureException", SIGNATURE, change)

    def test_a_header_changed_on_the_way(self):
        def change(events):
            def other_date(request, **_):
                # The last digit of the seconds: the time stays one that is taken.
                date = request.headers["X-Amz-Date"].decode()
                digit = (int(date[-2]) + 1) % 10
                request.headers["X-Amz-Date"] = f"{date[:-2]}{digit}Z"

            events.register("before-send", other_date)

        self.refused_client(403, "InvalidSignatureException", SIGNATURE, change)

    def test_another_service(self):
        def change(events):
            def sign_for_another(request, **_):
                request.context.setdefault("signing", {})["signing_name"] = "dynamodb"

            events.register("before-sign", sign_for_another)

        self.refused_client(
            403,
            "InvalidSignatureException",
            "Credential should be scoped to correct service: 'timestream'. ",
            change,
        )


class Operations(TestCase):
    def test_an_unknown_operation(self):
        def other_target(request, **_):
            request.headers.replace_header("X-Amz-Target", "Timestream_20181101.DropEverything")

        client = self.emulator.client("timestream-write")
        self.addCleanup(client.close)
        client.meta.events.register("before-sign", other_target)
        self.check_error(404, "UnknownOperationException", re.compile("^"), client.list_databases)

    def test_members_of_another_type(self):
        def other_body(request, **_):
            request.data = b'{"QueryString":1}'

        client = self.emulator.client("timestream-query")
        self.addCleanup(client.close)
        client.meta.events.register("before-sign", other_body)
        self.check_error(
            400, "SerializationException", re.compile("."), client.query, QueryString="SELECT 1"
        )
