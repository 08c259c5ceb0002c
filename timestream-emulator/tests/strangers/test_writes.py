"""WriteRecords, through boto3."""

import re

from emulator import DATABASE, NEW, OLD, T0, TestCase, now_ms, sample

SAME_VERSION = (
    "A record already exists with the same time, dimensions, measure name, and record version. A "
    "higher record version must be specified in order to update the measure value. Specifying "
    "record version is supported by the latest SDKs."
)


class Writes(TestCase):
    def test_a_single_record_in_each_type_and_unit(self):
        cases = [
            ("DOUBLE", "0.1", "0.1", "MILLISECONDS", T0),
            ("BIGINT", "9223372036854775807", "9223372036854775807", "SECONDS", T0 // 1000),
            ("BOOLEAN", "true", "true", "MICROSECONDS", T0 * 1000),
            ("VARCHAR", "it's \"ü\"", "it's \"ü\"", "NANOSECONDS", T0 * 1_000_000),
        ]
        for kind, value, read, unit, time in cases:
            record = sample(
                value, time, MeasureName=f"m_{kind}", MeasureValueType=kind, TimeUnit=unit
            )
            self.assertEqual(self.put([record]), 1)
            rows = self.rows(
                f"SELECT time, measure_value::{kind.lower()} FROM db.old "
                f"WHERE measure_name = 'm_{kind}'"
            )
            self.assertEqual(rows, [["2020-09-13 12:26:40.000000000", read]])

    def test_the_response_has_the_stores(self):
        response = self.write.write_records(
            DatabaseName=DATABASE,
            TableName=OLD,
            Records=[sample(time_ms=T0), sample(time_ms=T0 + 1), sample(time_ms=now_ms())],
        )
        self.assertEqual(
            response["RecordsIngested"], {"Total": 3, "MemoryStore": 1, "MagneticStore": 2}
        )

    def test_multi_measure_records(self):
        record = sample(
            None,
            MeasureName="metrics",
            MeasureValueType="MULTI",
            MeasureValues=[
                {"Name": "cpu", "Value": "1.5", "Type": "DOUBLE"},
                {"Name": "count", "Value": "7", "Type": "BIGINT"},
                {"Name": "note", "Value": "x", "Type": "VARCHAR"},
                {"Name": "ok", "Value": "false", "Type": "BOOLEAN"},
                {"Name": "seen", "Value": str(T0), "Type": "TIMESTAMP"},
            ],
        )
        self.assertEqual(self.put([record]), 1)
        self.assertEqual(
            self.rows('SELECT job, measure_name, cpu, "count", note, ok, seen FROM db.old'),
            [["a", "metrics", "1.5", "7", "x", "false", "2020-09-13 12:26:40.000000000"]],
        )

    def test_common_attributes(self):
        common = {
            "Dimensions": [{"Name": "zone", "Value": "z"}],
            "MeasureName": "up",
            "MeasureValueType": "DOUBLE",
            "Time": str(T0),
            "Version": 3,
        }
        own = [
            {"Dimensions": [{"Name": "job", "Value": job}], "MeasureValue": value}
            for job, value in (("a", "1"), ("b", "2"))
        ]
        self.assertEqual(self.put(own, CommonAttributes=common), 2)
        self.assertEqual(
            self.rows("SELECT zone, job, measure_value::double FROM db.old ORDER BY job"),
            [["z", "a", "1.0"], ["z", "b", "2.0"]],
        )
        self.check_error(
            400,
            "ValidationException",
            re.compile("uplicate dimension name 'zone'"),
            self.put,
            records=[sample(Dimensions=[{"Name": "zone", "Value": "y"}])],
            CommonAttributes=common,
        )

    def test_versions(self):
        now = now_ms()

        def put(value, version):
            return self.put([sample(value, now, Version=version)], NEW)

        def stored():
            return self.rows("SELECT measure_value::double FROM db.new")

        self.assertEqual(put("1", 5), 1)
        self.assertEqual(put("1", 5), 1, "a duplicate is taken")
        self.assertEqual(put("2", 6), 1)
        self.assertEqual(stored(), [["2.0"]])
        cases = [
            ("3", 6, SAME_VERSION),
            (
                "3",
                4,
                "The record version 4 is lower than the existing version 6. A higher version is "
                "required to update the measure value.",
            ),
        ]
        for value, version, reason in cases:
            error = self.check_error(
                419,
                "RejectedRecordsException",
                "One or more records have been rejected. See RejectedRecords for details.",
                put,
                value=value,
                version=version,
            )
            self.assertEqual(
                error.response["RejectedRecords"],
                [{"RecordIndex": 0, "Reason": reason, "ExistingVersion": 6}],
            )
        self.assertEqual(stored(), [["2.0"]])

    def test_records_that_are_not_rejected_are_stored(self):
        now = now_ms()
        error = self.check_error(
            419,
            "RejectedRecordsException",
            "One or more records have been rejected. See RejectedRecords for details.",
            self.put,
            records=[sample("1", now), sample("2", T0), sample("3", now + 1), sample("4", now)],
            table=NEW,
        )
        self.assertIsInstance(error, self.write.exceptions.RejectedRecordsException)
        first, second = error.response["RejectedRecords"]
        self.assertEqual((first["RecordIndex"], second["RecordIndex"]), (1, 3))
        iso = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
        self.assertRegex(
            first["Reason"],
            rf"^The record timestamp is outside the time range \[{iso}, {iso}\) of the memory store\.$",
        )
        self.assertNotIn("ExistingVersion", first)
        self.assertEqual((second["Reason"], second["ExistingVersion"]), (SAME_VERSION, 1))
        self.assertEqual(
            self.rows("SELECT measure_value::double FROM db.new ORDER BY time"), [["1.0"], ["3.0"]]
        )

    def test_records_out_of_the_ingestion_window(self):
        error = self.check_error(
            419,
            "RejectedRecordsException",
            "One or more records have been rejected. See RejectedRecords for details.",
            self.put,
            records=[sample(time_ms=now_ms() + 16 * 60_000)],
        )
        self.assertEqual(
            error.response["RejectedRecords"],
            [
                {
                    "RecordIndex": 0,
                    "Reason": "The record timestamp is outside the time range of the data "
                    "ingestion window.",
                }
            ],
        )

    def test_a_measure_keeps_its_type(self):
        self.put([sample()])
        error = self.check_error(
            419,
            "RejectedRecordsException",
            "One or more records have been rejected. See RejectedRecords for details.",
            self.put,
            records=[sample("1", T0 + 1, MeasureValueType="BIGINT")],
        )
        self.assertEqual(error.response["RejectedRecords"][0]["RecordIndex"], 0)
        self.assertNotIn("ExistingVersion", error.response["RejectedRecords"][0])


class Rejections(TestCase):
    def refused_record(self, message, **fields):
        record = sample(fields.pop("value", "1"), fields.pop("time_ms", T0), **fields)
        # The second record is good and must not be stored.
        self.check_error(
            400, "ValidationException", message, self.put, records=[record, sample("5", T0 + 1)]
        )
        self.assertEqual(self.emulator.counters()["points_stored"], 0)

    def test_texts_the_service_was_seen_to_give(self):
        self.refused_record("At least one dimension is required for a record.", Dimensions=[])
        self.refused_record(
            "The dimension name is invalid. Dimension name can only contain alphanumeric "
            "characters and underscores. It can only start with an alphabet and cannot end with an "
            "underscore.",
            Dimensions=[{"Name": "a-b", "Value": "x"}],
        )
        self.refused_record("Invalid time for record.", Time="1.5")
        self.refused_record(
            "TIMESTAMP is an invalid measure value type.",
            MeasureValueType="TIMESTAMP",
            value=str(T0),
        )

    def test_other_breaches_of_a_record(self):
        anything = re.compile(".")
        cases = {
            "NaN": {"value": "NaN"},
            "infinity": {"value": "Infinity"},
            "not a number": {"value": "x"},
            "negative zero": {"value": "-0.0"},
            "not a whole number": {"value": "1.5", "MeasureValueType": "BIGINT"},
            "no measure name": {"MeasureName": None},
            "no time": {"Time": None},
            "version 0": {"Version": 0},
            "reserved name": {"MeasureName": "ts_x"},
            "colon": {"MeasureName": "job:up"},
            "empty dimension value": {"Dimensions": [{"Name": "job", "Value": ""}]},
            "dimension twice": {"Dimensions": [{"Name": "job", "Value": value} for value in "ab"]},
        }
        for name, fields in cases.items():
            with self.subTest(name):
                self.refused_record(anything, **fields)

    def test_breaches_of_the_model(self):
        """The SDK would stop some of these itself; here its validation is off."""
        client = self.emulator.client("timestream-write", parameter_validation=False)
        self.addCleanup(client.close)
        where = {"DatabaseName": DATABASE, "TableName": OLD}
        at = "1 validation error detected: Value {} at '{}' failed to satisfy constraint: {}"
        length = "Member must have length {} than or equal to {}"
        cases = [
            (
                at.format("'[...]'", "records", length.format("less", 100)),
                {**where, "Records": [sample(time_ms=T0 + index) for index in range(101)]},
            ),
            (at.format("'[...]'", "records", length.format("greater", 1)), {**where, "Records": []}),
            (at.format("null", "records", "Member must not be null"), where),
            (
                at.format("null", "tableName", "Member must not be null"),
                {"DatabaseName": DATABASE, "Records": [sample()]},
            ),
            (
                at.format("''", "records.1.member.measureValue", length.format("greater", 1)),
                {**where, "Records": [sample("")]},
            ),
            (
                at.format(
                    "'X'",
                    "records.2.member.dimensions.1.member.dimensionValueType",
                    "Member must satisfy enum value set: [VARCHAR]",
                ),
                {
                    **where,
                    "Records": [
                        sample(),
                        sample(
                            Dimensions=[{"Name": "a", "Value": "b", "DimensionValueType": "X"}]
                        ),
                    ],
                },
            ),
        ]
        for message, request in cases:
            self.check_error(400, "ValidationException", message, client.write_records, **request)

    def test_missing_database_and_table(self):
        for database, table, message in [
            ("none", OLD, "The database none does not exist."),
            (DATABASE, "none", "The table none does not exist."),
            ("DB", OLD, "The database DB does not exist."),
        ]:
            error = self.check_error(
                404,
                "ResourceNotFoundException",
                message,
                self.write.write_records,
                DatabaseName=database,
                TableName=table,
                Records=[sample()],
            )
            self.assertIsInstance(error, self.write.exceptions.ResourceNotFoundException)
