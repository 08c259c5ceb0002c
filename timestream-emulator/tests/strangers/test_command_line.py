"""The AWS command line, which carries a botocore of its own."""

import json

from emulator import NEW, OLD, T0, TestCase, aws, now_ms, sample

WHERE = ("--database-name", "db", "--table-name", OLD)


class CommandLine(TestCase):
    def run_aws(self, *arguments, **variables):
        status, output, errors = aws(*arguments, **variables)
        self.assertEqual((status, errors), (0, ""), arguments)
        return json.loads(output) if output else None

    def aws(self, *arguments):
        return self.run_aws(*arguments, "--endpoint-url", self.emulator.url)

    def aws_refused(self, code, operation, message, *arguments, **variables):
        """Checks the one line the command line prints of an error."""
        endpoint = ("--endpoint-url", self.emulator.url)
        status, output, errors = aws(*arguments, *endpoint, AWS_MAX_ATTEMPTS="1", **variables)
        self.assertEqual((status, output), (255, ""), errors)
        said = f"An error occurred ({code}) when calling the {operation} operation"
        self.assertRegex(errors, r"(?s)\A\s*(aws: \[ERROR\]: )?An error occurred")
        self.assertIn(said, errors)
        self.assertIn(message, errors)

    def test_databases_and_tables(self):
        database = ("--database-name", "cli")
        self.aws("timestream-write", "create-database", *database)
        listed = self.aws("timestream-write", "list-databases")["Databases"]
        self.assertEqual([each["DatabaseName"] for each in listed], ["cli", "db"])
        table = (*database, "--table-name", "t")
        created = self.aws(
            "timestream-write",
            "create-table",
            *table,
            "--retention-properties",
            "MemoryStoreRetentionPeriodInHours=24,MagneticStoreRetentionPeriodInDays=7",
        )
        self.assertEqual(
            self.aws("timestream-write", "describe-table", *table)["Table"], created["Table"]
        )
        self.aws("timestream-write", "delete-table", *table)
        self.aws("timestream-write", "delete-database", *database)

    def test_write_and_query(self):
        common = {"Dimensions": [{"Name": "job", "Value": "a"}], "MeasureName": "up"}
        records = [{"MeasureValue": str(value), "Time": str(T0 + value)} for value in range(3)]
        response = self.aws(
            "timestream-write",
            "write-records",
            *WHERE,
            "--common-attributes",
            json.dumps(common),
            "--records",
            json.dumps(records),
        )
        self.assertEqual(response["RecordsIngested"]["Total"], 3)
        sql = "SELECT time, measure_value::double FROM db.old ORDER BY time"
        response = self.aws("timestream-query", "query", "--query-string", sql, "--page-size", "2")
        values = [row["Data"][1]["ScalarValue"] for row in response["Rows"]]
        self.assertEqual(values, ["0.0", "1.0", "2.0"], "the command line joins the pages")
        response = self.aws("timestream-query", "query", "--query-string", sql, "--max-items", "1")
        self.assertEqual(len(response["Rows"]), 1)
        self.assertIn("NextToken", response)

    def test_the_endpoint_by_variable(self):
        before = self.emulator.calls("DescribeEndpoints")
        by_variable = {"AWS_ENDPOINT_URL": self.emulator.url}
        self.run_aws(
            "timestream-write",
            "write-records",
            *WHERE,
            "--records",
            json.dumps([sample("2.5")]),
            **by_variable,
        )
        sql = "SELECT measure_value::double FROM db.old"
        response = self.run_aws("timestream-query", "query", "--query-string", sql, **by_variable)
        self.assertEqual(response["Rows"], [{"Data": [{"ScalarValue": "2.5"}]}])
        self.assertEqual(self.emulator.calls("DescribeEndpoints") - before, 2)

    def test_the_endpoint_itself(self):
        for service in ("timestream-write", "timestream-query"):
            self.assertEqual(
                self.aws(service, "describe-endpoints")["Endpoints"],
                [{"Address": self.emulator.url, "CachePeriodInMinutes": 1440}],
            )

    def test_rejected_writes(self):
        write = ("timestream-write", "write-records")
        self.aws_refused(
            "ValidationException",
            "WriteRecords",
            "At least one dimension is required for a record.",
            *write,
            *WHERE,
            "--records",
            json.dumps([sample(Dimensions=[])]),
        )
        self.aws_refused(
            "RejectedRecordsException",
            "WriteRecords",
            "One or more records have been rejected. See RejectedRecords for details.",
            *write,
            *WHERE,
            "--records",
            json.dumps([sample(time_ms=now_ms() + 3_600_000)]),
        )
        self.aws_refused(
            "ResourceNotFoundException",
            "WriteRecords",
            "The table none does not exist.",
            *write,
            *WHERE[:3],
            "none",
            "--records",
            json.dumps([sample()]),
        )

    def test_rejected_calls(self):
        create = ("timestream-write", "create-table", *WHERE[:3], NEW)
        self.aws_refused("ConflictException", "CreateTable", "The table new already exists.", *create)
        query = ("timestream-query", "query", "--query-string")
        self.aws_refused(
            "ValidationException",
            "Query",
            "line 1:8: Column 'nothing' does not exist",
            *query,
            "SELECT nothing FROM db.old",
        )
        self.aws_refused(
            "InvalidSignatureException",
            "Query",
            "The request signature we calculated does not match the signature you provided.",
            *query,
            "SELECT 1",
            AWS_SECRET_ACCESS_KEY="other",
        )
        for kind, code in [
            ("throttle", "ThrottlingException"),
            ("internal_server", "InternalServerException"),
            ("access_denied", "AccessDeniedException"),
            ("invalid_endpoint", "InvalidEndpointException"),
        ]:
            self.emulator.order("Query", kind)
            self.aws_refused(code, "Query", "", *query, "SELECT 1")

    def test_a_cancelled_query(self):
        sql = "SELECT 1"
        query_id = self.aws("timestream-query", "query", "--query-string", sql)["QueryId"]
        cancel = ("timestream-query", "cancel-query", "--query-id", query_id)
        self.aws(*cancel)
        self.assertIn("CancellationMessage", self.aws(*cancel))
