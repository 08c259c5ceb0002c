"""The emulator as a process, and clients for it that share nothing with its code.

The variable TIMESTREAM_EMULATOR names the program.
"""

import json
import os
import re
import subprocess
import sys
import time
import unittest
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

DATABASE = "db"
# Takes the last hours, as a new table does.
NEW = "new"
# Takes any time.
OLD = "old"
# 2020-09-13 12:26:40 UTC, in milliseconds.
T0 = 1_600_000_000_000

KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


def environment(**variables):
    """The environment of a stranger: no AWS setting of this machine, and no output in colour."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return own | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_PAGER": "",
        "NO_PROXY": "127.0.0.1",
        **KEYS,
        **variables,
    }


class Emulator:
    """A running emulator on a free port, in memory unless a folder is given."""

    def __init__(self, *flags):
        self.process = subprocess.Popen(
            [os.environ["TIMESTREAM_EMULATOR"], "--listen", "127.0.0.1:0", *flags],
            stdout=subprocess.PIPE,
            text=True,
        )
        greeting = self.process.stdout.readline()
        found = re.search(r"listening on (http://\S+),", greeting)
        if not found:
            self.stop()
            raise AssertionError(f"not a greeting: {greeting!r}")
        self.url = found[1]

    def stop(self):
        self.process.terminate()
        rest, _ = self.process.communicate(timeout=20)
        return self.process.returncode, rest

    def admin(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_emulator/{path}", data, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as response:
            return response.read()

    def order(self, operation, kind, when=None):
        self.admin("POST", "faults", {"operation": operation, "kind": kind, "when": when or {"next": 1}})

    def clear_faults(self):
        self.admin("DELETE", "faults")

    def counters(self):
        return json.loads(self.admin("GET", "counters"))

    def calls(self, operation):
        return self.counters()["calls"].get(operation, 0)

    def client(self, service, key="local", secret="local", token=None, endpoint=True, **config):
        """A boto3 client that does not try again, unless `config` says otherwise."""
        settings = {"retries": {"total_max_attempts": 1}, "proxies": {}, **config}
        return boto3.session.Session().client(
            service,
            region_name="us-east-1",
            endpoint_url=self.url if endpoint else None,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(**settings),
        )


class TestCase(unittest.TestCase):
    """Tests that share one emulator with an empty pair of tables for each."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        # boto3 reads the process' own environment.
        clean = environment()
        os.environ.clear()
        os.environ.update(clean)
        cls.emulator = Emulator()
        cls.addClassCleanup(cls.emulator.process.stdout.close)
        cls.addClassCleanup(cls.emulator.stop)
        cls.write = cls.emulator.client("timestream-write")
        cls.query = cls.emulator.client("timestream-query")
        cls.addClassCleanup(cls.write.close)
        cls.addClassCleanup(cls.query.close)
        cls.write.create_database(DatabaseName=DATABASE)

    def setUp(self):
        self.write.create_table(DatabaseName=DATABASE, TableName=NEW)
        self.write.create_table(
            DatabaseName=DATABASE,
            TableName=OLD,
            MagneticStoreWriteProperties={"EnableMagneticStoreWrites": True},
        )

    def tearDown(self):
        self.emulator.clear_faults()
        for table in (NEW, OLD):
            self.write.delete_table(DatabaseName=DATABASE, TableName=table)

    def put(self, records, table=OLD, **more):
        """Writes records and returns how many were taken."""
        response = self.write.write_records(
            DatabaseName=DATABASE, TableName=table, Records=records, **more
        )
        return response["RecordsIngested"]["Total"]

    def rows(self, sql, client=None):
        """All rows as lists of texts, pages joined."""
        pages = (client or self.query).get_paginator("query").paginate(QueryString=sql)
        return [[scalar(datum) for datum in row["Data"]] for page in pages for row in page["Rows"]]

    def check_error(self, status, code, message, call, **parameters):
        """Checks that a call fails with this status, code and text (a str, or a pattern)."""
        with self.assertRaises(ClientError) as caught:
            call(**parameters)
        response = caught.exception.response
        self.assertEqual(response["Error"]["Code"], code)
        self.assertEqual(response["ResponseMetadata"]["HTTPStatusCode"], status)
        if isinstance(message, str):
            self.assertEqual(response["Error"]["Message"], message)
        else:
            self.assertRegex(response["Error"]["Message"], message)
        self.assertRegex(response["ResponseMetadata"]["RequestId"], "^[A-Z2-7]{26}$")
        return caught.exception


def sample(value="1", time_ms=T0, **fields):
    """A record of the measure `up` and one dimension."""
    record = {
        "Dimensions": [{"Name": "job", "Value": "a"}],
        "MeasureName": "up",
        "MeasureValue": value,
        "MeasureValueType": "DOUBLE",
        "Time": str(time_ms),
    }
    return {name: value for name, value in (record | fields).items() if value is not None}


def now_ms():
    return time.time_ns() // 1_000_000


def scalar(datum):
    if datum.get("NullValue"):
        return None
    return datum["ScalarValue"] if "ScalarValue" in datum else datum


def aws(*arguments, **variables):
    """Runs the AWS command line of this environment; returns status, output and errors."""
    done = subprocess.run(
        [sys.executable, "-m", "awscli", *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr
