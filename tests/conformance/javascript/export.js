// Records metrics of all kinds and exports what was collected to several servers, in JSON and in protobuf.
//
// Arguments: a URL and an authorization, or "", for each server.

import { OTLPMetricExporter as JsonExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPMetricExporter as ProtobufExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { AggregationTemporality, AggregationType, MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";

class Reader extends MetricReader {
  async onForceFlush() {}
  async onShutdown() {}
  selectAggregationTemporality() {
    return AggregationTemporality.CUMULATIVE;
  }
}

const servers = [];
for (let at = 2; at < process.argv.length; at += 2) {
  const authorization = process.argv[at + 1];
  servers.push({ url: process.argv[at], headers: authorization ? { authorization } : {} });
}

function exported(exporter, metrics) {
  return new Promise((resolve, reject) => {
    exporter.export(metrics, (result) => (result.code === 0 ? resolve() : reject(result.error)));
  });
}

for (const [encoding, Exporter] of [["json", JsonExporter], ["protobuf", ProtobufExporter]]) {
  const reader = new Reader();
  const provider = new MeterProvider({
    resource: resourceFromAttributes({ "service.name": encoding, "service.instance.id": "i-1", zone: "a" }),
    readers: [reader],
    views: [{ instrumentName: "payload.size", aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
  });
  const meter = provider.getMeter("shop", "1.2");
  const orders = meter.createCounter("orders", { unit: "{order}", description: "Orders" });
  const queue = meter.createUpDownCounter("queue.length");
  const latency = meter.createHistogram("http.server.request.duration", { unit: "s" });
  const size = meter.createHistogram("payload.size", { unit: "By" });
  meter.createObservableGauge("load", { unit: "1" }).addCallback((result) => result.observe(0.25, { cpu: 1 }));
  for (let round = 1; round <= 3; round++) {
    for (const route of ["/", "/cart", "/ä b"]) {
      orders.add(round, { "http.route": route, rushed: round % 2 === 0 });
      queue.add(-round, { priority: round });
      for (let step = 0; step < 20; step++) {
        latency.record((0.0017 * 1.7 ** step) / round, { "http.route": route });
        size.record(1.37 ** step * (step % 7), { "http.route": route });
      }
    }
    const { resourceMetrics } = await reader.collect();
    for (const server of servers) {
      await exported(new Exporter(server), resourceMetrics);
    }
  }
}
