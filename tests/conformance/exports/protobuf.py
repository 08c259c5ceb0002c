"""Prints OTLP requests in protobuf, in base64, one a line; reads them in JSON."""

import base64
import sys

import json

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest


def with_base64_ids(value):
    """Returns the value with identifiers as JSON of protobuf has them; OTLP has hexadecimal digits."""
    if isinstance(value, list):
        return [with_base64_ids(it) for it in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64encode(bytes.fromhex(it)).decode() if key in ("traceId", "spanId") else with_base64_ids(it)
        for key, it in value.items()
    }


for line in sys.stdin:
    request = ParseDict(with_base64_ids(json.loads(line)), ExportMetricsServiceRequest())
    print(base64.b64encode(request.SerializeToString()).decode())
