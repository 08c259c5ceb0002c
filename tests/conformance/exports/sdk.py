"""Records metrics of all kinds and exports what was collected to several servers, some of it compressed.

Arguments: a URL and an authorization, or "", for each server.
"""

import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

servers = list(zip(sys.argv[1::2], sys.argv[2::2]))
reader = InMemoryMetricReader()
provider = MeterProvider(
    [reader],
    Resource.create({"service.name": "shop", "service.namespace": "eu", "service.instance.id": "i-1", "zone": "a"}),
    exemplar_filter=AlwaysOnExemplarFilter(),
    views=[View(instrument_name="payload.size", aggregation=ExponentialBucketHistogramAggregation())],
)
tracer = TracerProvider().get_tracer("shop")
meter = provider.get_meter("shop", "1.2")

orders = meter.create_counter("orders", "{order}", "Orders")
volume = meter.create_counter("volume", "By", "Bytes")
queue = meter.create_up_down_counter("queue.length", "{order}", "Orders that wait")
latency = meter.create_histogram("http.server.request.duration", "s", "Latency")
size = meter.create_histogram("payload.size", "By", "Size")
temperature = meter.create_gauge("temperature", "Cel", "Temperature")
meter.create_observable_gauge(
    "load", [lambda _: [Observation(0.25, {"cpu": str(cpu)}) for cpu in range(4)]], "1", "Load"
)
meter.create_observable_counter("cpu.time", [lambda _: [Observation(12.5, {"cpu.mode": "user"})]], "s", "Time")

for round in range(1, 4):
    for route in ("/", "/cart", "/ä b"):
        with tracer.start_as_current_span("request"):
            orders.add(round, {"http.route": route, "rushed": round % 2 == 0})
            volume.add(0.5 * round, {"http.route": route})
            queue.add(-round, {"priority": round})
            for step in range(20):
                latency.record(0.0017 * 1.7**step / round, {"http.route": route})
                size.record((1 if step % 3 else -1) * 1.37**step * (step % 7), {"http.route": route})
            temperature.set(-3.25 * round, {"sensor.id": route})
    collected = reader.get_metrics_data()
    compression = Compression.Gzip if round == 2 else Compression.NoCompression
    for url, authorization in servers:
        headers = {"authorization": authorization} if authorization else {}
        exporter = OTLPMetricExporter(endpoint=url, headers=headers, compression=compression)
        result = exporter.export(collected)
        if result is not MetricExportResult.SUCCESS:
            sys.exit(f"{url}: {result}")
