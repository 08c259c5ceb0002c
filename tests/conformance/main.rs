//! Programs of others judge the connector: Prometheus' own test scripts of PromQL over remote read, the
//! senders of `docs/senders.md` with the configurations of that page, a client of remote read, a browser, the OTLP
//! receiver of Prometheus beside ours, and AWS' runtime interface emulator around the function. Helm,
//! Kubernetes' types, systemd and Compose judge the files for deployments.
//!
//! All of them are real processes, most built from pinned Go modules (`scripts/go-tools.sh`), so this target is
//! run by `make conformance` alone. Nothing is skipped: a program that cannot be had fails its test.

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../documents/blocks.rs"]
mod blocks;
mod browser;
mod clients;
mod collector;
mod deployments;
mod documents;
mod exporter;
mod exports;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../it/moto.rs"]
mod moto;
mod otlp;
mod page;
mod promql;
mod query_api;
mod query_page;
mod replicas;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../support/runtime_api.rs"]
mod runtime_api;
mod runtime_emulator;
mod senders;
#[path = "../../events/shapes.rs"]
mod shapes;
mod stage;
mod start_page;
mod sync;
mod systemd;
mod tools;
mod vmctl;
// Wine runs its programs only there.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod windows;
