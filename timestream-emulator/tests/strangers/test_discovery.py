"""How boto3 finds the emulator, and what a data folder keeps from one process to the next."""

import os
import signal
import tempfile
import unittest
from unittest import mock

from emulator import DATABASE, OLD, Emulator, TestCase, environment, sample


class Discovery(TestCase):
    def discovering(self, service, **config):
        """A client that knows the emulator from the variable alone."""
        with mock.patch.dict(os.environ, {"AWS_ENDPOINT_URL": self.emulator.url}):
            client = self.emulator.client(service, endpoint=False, **config)
        self.addCleanup(client.close)
        return client

    def test_an_endpoint_by_argument_is_used_as_it_is(self):
        before = self.emulator.calls("DescribeEndpoints")
        self.put([sample()])
        self.assertEqual(self.rows("SELECT count(*) FROM db.old"), [["1"]])
        self.assertEqual(self.emulator.calls("DescribeEndpoints"), before)

    def test_an_endpoint_by_variable_returns_the_one_to_use(self):
        before = self.emulator.calls("DescribeEndpoints")
        write, query = map(self.discovering, ("timestream-write", "timestream-query"))
        for index in range(2):
            write.write_records(
                DatabaseName=DATABASE, TableName=OLD, Records=[sample(time_ms=index)]
            )
            rows = self.rows("SELECT count(*) FROM db.old", query)
            self.assertEqual(rows, [[str(index + 1)]])
        self.assertEqual(
            self.emulator.calls("DescribeEndpoints") - before, 2, "one call of each client"
        )

    def test_an_endpoint_that_is_not_valid_any_more_is_requested_again(self):
        before = self.emulator.calls("DescribeEndpoints")
        query = self.discovering("timestream-query")
        self.assertEqual(self.rows("SELECT 1", query), [["1"]])
        self.emulator.order("Query", "invalid_endpoint")
        self.assertEqual(self.rows("SELECT 1", query), [["1"]])
        self.assertEqual(self.emulator.calls("DescribeEndpoints") - before, 2)

    def test_the_response_itself(self):
        for client in (self.write, self.query):
            endpoints = client.describe_endpoints()["Endpoints"]
            self.assertEqual(
                endpoints, [{"Address": self.emulator.url, "CachePeriodInMinutes": 1440}]
            )


class Processes(unittest.TestCase):
    def start(self, *flags):
        emulator = Emulator(*flags)
        self.addCleanup(emulator.process.stdout.close)
        self.addCleanup(emulator.process.wait)
        self.addCleanup(emulator.process.kill)
        return emulator

    def setUp(self):
        patched = mock.patch.dict(os.environ, environment(), clear=True)
        patched.start()
        self.addCleanup(patched.stop)

    def client(self, emulator, service, **settings):
        client = emulator.client(service, **settings)
        self.addCleanup(client.close)
        return client

    def test_an_acknowledged_write_survives_a_kill(self):
        with tempfile.TemporaryDirectory() as folder:
            flags = ("--data-dir", folder, "--table", "db/old,magnetic_writes=true")
            emulator = self.start(*flags)
            self.client(emulator, "timestream-write").write_records(
                DatabaseName=DATABASE, TableName=OLD, Records=[sample("2.5")]
            )
            emulator.process.kill()
            self.assertEqual(emulator.process.wait(), -signal.SIGKILL)
            emulator = self.start(*flags)
            query = self.client(emulator, "timestream-query")
            response = query.query(QueryString="SELECT measure_value::double FROM db.old")
            self.assertEqual(response["Rows"], [{"Data": [{"ScalarValue": "2.5"}]}])
            status, rest = emulator.stop()
            self.assertEqual((status, rest), (0, "timestream-emulator: stopped\n"))

    def test_another_key_pair(self):
        emulator = self.start("--access-key", "key", "--secret-key", "secret")
        query = self.client(emulator, "timestream-query", key="key", secret="secret")
        self.assertEqual(len(query.query(QueryString="SELECT 1")["Rows"]), 1)
        query = self.client(emulator, "timestream-query")
        with self.assertRaises(query.exceptions.ClientError) as caught:
            query.query(QueryString="SELECT 1")
        code = caught.exception.response["Error"]["Code"]
        self.assertEqual(code, "UnrecognizedClientException")
