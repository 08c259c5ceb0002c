"""Databases and tables, through boto3."""

import datetime

from emulator import DATABASE, NEW, OLD, TestCase


class Databases(TestCase):
    def test_a_database_from_create_to_delete(self):
        created = self.write.create_database(DatabaseName="a.b-C_1")["Database"]
        self.assertEqual(created["DatabaseName"], "a.b-C_1")
        self.assertEqual(created["TableCount"], 0)
        self.assertTrue(created["Arn"].startswith("arn:aws:timestream:us-east-1:"), created["Arn"])
        self.assertTrue(created["Arn"].endswith(":database/a.b-C_1"), created["Arn"])
        age = datetime.datetime.now(datetime.timezone.utc) - created["CreationTime"]
        self.assertLess(abs(age), datetime.timedelta(minutes=1))
        self.assertEqual(self.write.describe_database(DatabaseName="a.b-C_1")["Database"], created)
        key = "arn:aws:kms:us-east-1:000000000000:key/other"
        updated = self.write.update_database(DatabaseName="a.b-C_1", KmsKeyId=key)["Database"]
        self.assertEqual(updated["KmsKeyId"], key)
        self.assertGreaterEqual(updated["LastUpdatedTime"], created["LastUpdatedTime"])
        names = [each["DatabaseName"] for each in self.write.list_databases()["Databases"]]
        self.assertEqual(sorted(names), ["a.b-C_1", DATABASE])
        self.write.delete_database(DatabaseName="a.b-C_1")
        self.check_error(
            404,
            "ResourceNotFoundException",
            "The database a.b-C_1 does not exist.",
            self.write.describe_database,
            DatabaseName="a.b-C_1",
        )

    def test_what_is_there_cannot_be_created(self):
        self.check_error(
            409,
            "ConflictException",
            "The database db already exists.",
            self.write.create_database,
            DatabaseName=DATABASE,
        )
        self.check_error(
            409,
            "ConflictException",
            "The table new already exists.",
            self.write.create_table,
            DatabaseName=DATABASE,
            TableName=NEW,
        )

    def test_a_database_with_tables_cannot_be_deleted(self):
        self.check_error(
            400,
            "ValidationException",
            "The database db still contains tables. Delete all tables before the database.",
            self.write.delete_database,
            DatabaseName=DATABASE,
        )

    def test_names_have_a_pattern(self):
        for name in ("a b", "ä", "a/b"):
            self.check_error(
                400,
                "ValidationException",
                f"1 validation error detected: Value '{name}' at 'databaseName' failed to satisfy "
                "constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
                self.write.create_database,
                DatabaseName=name,
            )


class Tables(TestCase):
    def test_a_table_from_create_to_delete(self):
        where = {"DatabaseName": DATABASE, "TableName": "t"}
        created = self.write.create_table(
            **where,
            RetentionProperties={
                "MemoryStoreRetentionPeriodInHours": 24,
                "MagneticStoreRetentionPeriodInDays": 7,
            },
            Schema={"CompositePartitionKey": [{"Type": "DIMENSION", "Name": "job", "EnforcementInRecord": "OPTIONAL"}]},
        )["Table"]
        self.assertEqual(created["TableStatus"], "ACTIVE")
        self.assertEqual(created["Schema"]["CompositePartitionKey"][0]["Name"], "job")
        self.assertEqual(self.write.describe_table(**where)["Table"], created)
        retention = {"MemoryStoreRetentionPeriodInHours": 1, "MagneticStoreRetentionPeriodInDays": 2}
        updated = self.write.update_table(**where, RetentionProperties=retention)["Table"]
        self.assertEqual(updated["RetentionProperties"], retention)
        self.assertFalse(updated["MagneticStoreWriteProperties"]["EnableMagneticStoreWrites"])
        self.assertEqual(
            self.write.describe_database(DatabaseName=DATABASE)["Database"]["TableCount"], 3
        )
        self.write.delete_table(**where)
        self.check_error(
            404,
            "ResourceNotFoundException",
            "The table t does not exist.",
            self.write.describe_table,
            **where,
        )

    def test_defaults(self):
        table = self.write.describe_table(DatabaseName=DATABASE, TableName=NEW)["Table"]
        self.assertEqual(
            table["RetentionProperties"],
            {"MemoryStoreRetentionPeriodInHours": 6, "MagneticStoreRetentionPeriodInDays": 73000},
        )
        self.assertEqual(table["Schema"], {"CompositePartitionKey": [{"Type": "MEASURE"}]})

    def test_lists_come_in_pages(self):
        names = [f"t{number:02}" for number in range(25)]
        for name in names:
            self.write.create_table(DatabaseName=DATABASE, TableName=name)
        listed, token, pages = [], None, 0
        while pages == 0 or token:
            more = {"NextToken": token} if token else {}
            response = self.write.list_tables(DatabaseName=DATABASE, MaxResults=10, **more)
            self.assertLessEqual(len(response["Tables"]), 10)
            listed += [table["TableName"] for table in response["Tables"]]
            token, pages = response.get("NextToken"), pages + 1
        self.assertEqual((sorted(listed), pages), (sorted([*names, NEW, OLD]), 3))
        for name in names:
            self.write.delete_table(DatabaseName=DATABASE, TableName=name)
        self.check_error(
            400,
            "ValidationException",
            "1 validation error detected: Value '21' at 'maxResults' failed to satisfy constraint: "
            "Member must have value less than or equal to 20",
            self.write.list_tables,
            MaxResults=21,
        )

    def test_retention_has_bounds(self):
        self.check_error(
            400,
            "ValidationException",
            "1 validation error detected: Value '8767' at "
            "'retentionProperties.memoryStoreRetentionPeriodInHours' failed to satisfy constraint: "
            "Member must have value less than or equal to 8766",
            self.write.create_table,
            DatabaseName=DATABASE,
            TableName="t",
            RetentionProperties={
                "MemoryStoreRetentionPeriodInHours": 8767,
                "MagneticStoreRetentionPeriodInDays": 1,
            },
        )

    def test_one_partition_key(self):
        self.check_error(
            400,
            "ValidationException",
            "You have specified too many partition keys to be used in your composite partition key. "
            "Only 1 partition keys can be specified.",
            self.write.create_table,
            DatabaseName=DATABASE,
            TableName="t",
            Schema={"CompositePartitionKey": [{"Type": "MEASURE"}, {"Type": "MEASURE"}]},
        )
