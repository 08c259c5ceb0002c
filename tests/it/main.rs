//! Every test that needs Timestream, on the emulator and through the real AWS SDK.

mod admission;
mod auth;
mod bad_input;
mod bill;
mod call_price;
mod cancel;
mod compliance;
mod connector_processes;
mod connectors;
mod content;
mod dead_letters;
mod destinations;
mod docs;
mod duplicates;
mod exporter;
#[allow(dead_code, reason = "the benches need more of it")]
#[path = "../support/exporters.rs"]
mod exporters;
mod faults;
mod frames;
mod fuzz;
#[path = "../support/go_connector.rs"]
mod go_connector;
mod go_tables;
mod healthcheck;
mod jobs;
mod kinds;
mod lambda;
mod logs;
mod loss;
mod matchers;
mod metadata;
mod moto;
mod names;
mod observe;
mod original;
mod outgoing;
mod programs;
mod prometheus;
mod prometheus_kinds;
mod promql;
mod queue;
mod read_limits;
mod receiver;
mod round_trip;
mod rows;
#[path = "../support/runtime_api.rs"]
mod runtime_api;
mod schema;
mod scrape;
mod secrets;
mod sender;
mod shared;
mod short_soak;
mod side_by_side;
mod sql;
mod standalone;
mod state;
mod strange_responses;
mod streamed;
mod support;
mod tls;
mod trust;
mod v2;
mod volume;
mod write_v2;
