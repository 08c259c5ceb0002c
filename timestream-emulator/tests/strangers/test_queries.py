"""Query and CancelQuery, through boto3."""

import re

from emulator import DATABASE, OLD, T0, TestCase, sample

ALL = "SELECT job, time, measure_value::double FROM db.old ORDER BY time"


class Queries(TestCase):
    def fill(self, count, **fields):
        records = [sample(str(index), T0 + index, **fields) for index in range(count)]
        for first in range(0, count, 100):
            self.put(records[first : first + 100])

    def test_a_response_in_full(self):
        self.fill(1)
        response = self.query.query(QueryString=ALL)
        self.assertEqual(
            response["ColumnInfo"],
            [
                {"Name": "job", "Type": {"ScalarType": "VARCHAR"}},
                {"Name": "time", "Type": {"ScalarType": "TIMESTAMP"}},
                {"Name": "measure_value::double", "Type": {"ScalarType": "DOUBLE"}},
            ],
        )
        self.assertEqual(
            response["Rows"],
            [
                {
                    "Data": [
                        {"ScalarValue": "a"},
                        {"ScalarValue": "2020-09-13 12:26:40.000000000"},
                        {"ScalarValue": "0.0"},
                    ]
                }
            ],
        )
        self.assertRegex(response["QueryId"], "^[a-zA-Z0-9]{1,64}$")
        self.assertEqual(response["QueryStatus"]["ProgressPercentage"], 100.0)
        self.assertNotIn("NextToken", response)

    def test_time_series_arrays_rows_and_null(self):
        self.fill(2)
        response = self.query.query(
            QueryString="SELECT CREATE_TIME_SERIES(time, measure_value::double) AS s, "
            "array_agg(measure_name) AS a, max(CAST(NULL AS varchar)) AS n FROM db.old GROUP BY job"
        )
        at = "2020-09-13 12:26:40.00{}000000"
        self.assertEqual(
            response["Rows"][0]["Data"],
            [
                {
                    "TimeSeriesValue": [
                        {"Time": at.format(0), "Value": {"ScalarValue": "0.0"}},
                        {"Time": at.format(1), "Value": {"ScalarValue": "1.0"}},
                    ]
                },
                {"ArrayValue": [{"ScalarValue": "up"}, {"ScalarValue": "up"}]},
                {"NullValue": True},
            ],
        )
        self.assertEqual(
            [column["Type"] for column in response["ColumnInfo"]],
            [
                {"TimeSeriesMeasureValueColumnInfo": {"Type": {"ScalarType": "DOUBLE"}}},
                {"ArrayColumnInfo": {"Type": {"ScalarType": "VARCHAR"}}},
                {"ScalarType": "VARCHAR"},
            ],
        )

    def test_what_is_there(self):
        self.fill(1)
        self.assertEqual(self.rows("SHOW DATABASES"), [[DATABASE]])
        self.assertEqual(sorted(self.rows("SHOW TABLES FROM db")), [["new"], ["old"]])
        self.assertEqual(
            self.rows("DESCRIBE db.old"),
            [
                ["job", "varchar", "DIMENSION"],
                ["measure_name", "varchar", "MEASURE_NAME"],
                ["time", "timestamp", "TIMESTAMP"],
                ["measure_value::double", "double", "MEASURE_VALUE"],
            ],
        )
        measures = self.query.query(QueryString="SHOW MEASURES FROM db.old")["Rows"]
        dimension = {"Data": [{"ScalarValue": "job"}, {"ScalarValue": "varchar"}]}
        self.assertEqual(
            [row["Data"] for row in measures],
            [
                [
                    {"ScalarValue": "up"},
                    {"ScalarValue": "double"},
                    {"ArrayValue": [{"RowValue": dimension}]},
                ]
            ],
        )

    def test_the_paginator_reads_to_the_end(self):
        self.fill(25)
        pages = self.query.get_paginator("query").paginate(
            QueryString=ALL, PaginationConfig={"PageSize": 10}
        )
        sizes, values = [], []
        for page in pages:
            sizes.append(len(page["Rows"]))
            values += [row["Data"][2]["ScalarValue"] for row in page["Rows"]]
        self.assertEqual(sizes, [10, 10, 5])
        self.assertEqual(values, [f"{index}.0" for index in range(25)])

    def test_a_large_result_starts_with_an_empty_page(self):
        self.fill(700, Dimensions=[{"Name": "job", "Value": "x" * 1700}])
        pages = list(self.query.get_paginator("query").paginate(QueryString=ALL))
        self.assertEqual(pages[0]["Rows"], [])
        self.assertEqual(len(pages[0]["ColumnInfo"]), 3)
        self.assertGreaterEqual(len(pages), 3)
        self.assertEqual(sum(len(page["Rows"]) for page in pages), 700)
        self.assertNotIn("NextToken", pages[-1])

    def test_tokens(self):
        self.fill(10)
        first = self.query.query(QueryString=ALL, MaxRows=2)
        a = first["NextToken"]
        second = self.query.query(QueryString=ALL, MaxRows=2, NextToken=a)
        again = self.query.query(QueryString=ALL, MaxRows=2, NextToken=a)
        self.assertEqual(second["Rows"], again["Rows"])
        self.assertEqual(second["QueryId"], first["QueryId"])
        for sql, token in (("SELECT 1", second["NextToken"]), (ALL, "nonsense")):
            self.check_error(
                400,
                "ValidationException",
                "Invalid pagination token",
                self.query.query,
                QueryString=sql,
                NextToken=token,
            )

    def test_a_cancelled_query(self):
        self.fill(10)
        first = self.query.query(QueryString=ALL, MaxRows=2)
        cancelled = self.query.cancel_query(QueryId=first["QueryId"])
        self.assertNotIn("CancellationMessage", cancelled)
        self.assertIn("CancellationMessage", self.query.cancel_query(QueryId=first["QueryId"]))
        error = self.check_error(
            409,
            "ConflictException",
            "Unable to poll results for a cancelled query",
            self.query.query,
            QueryString=ALL,
            NextToken=first["NextToken"],
        )
        self.assertIsInstance(error, self.query.exceptions.ConflictException)
        self.check_error(
            400,
            "ValidationException",
            "1 validation error detected: Value 'a-b' at 'queryId' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [a-zA-Z0-9]+",
            self.query.cancel_query,
            QueryId="a-b",
        )

    def test_queries_that_are_refused(self):
        self.fill(1)
        cases = [
            ("SELECT nothing FROM db.old", "line 1:8: Column 'nothing' does not exist"),
            (
                'SELECT time FROM "none"."old"',
                "Requested database 'none' not found for identifier 'none.old' at line 1:18",
            ),
            ("SELECT time FROM db.none", re.compile("none")),
            ("SELEC 1", re.compile(r"line 1:1\b")),
            ("SELECT time FROM db.old WHERE regexp_like(job, '(')", re.compile(".")),
        ]
        for sql, message in cases:
            with self.subTest(sql):
                self.check_error(
                    400, "ValidationException", message, self.query.query, QueryString=sql
                )

    def test_bounds_of_a_request(self):
        at = "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: {}"
        client = self.emulator.client("timestream-query", parameter_validation=False)
        self.addCleanup(client.close)
        than = "Member must have {} than or equal to {}"
        cases = [
            ({"MaxRows": 0}, at.format(0, "maxRows", than.format("value greater", 1))),
            ({"MaxRows": 1001}, at.format(1001, "maxRows", than.format("value less", 1000))),
            ({"QueryString": ""}, at.format("", "queryString", than.format("length greater", 1))),
            ({"ClientToken": "x"}, at.format("x", "clientToken", than.format("length greater", 32))),
        ]
        for fields, message in cases:
            request = {"QueryString": "SELECT 1", **fields}
            self.check_error(400, "ValidationException", message, client.query, **request)
