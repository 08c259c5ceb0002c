//! Programs of others judge the connector: Prometheus' own test scripts of PromQL over remote read, the
//! senders of `docs/senders.md` with the configurations of that page, a client of remote read, a browser, and the OTLP
//! receiver of Prometheus beside ours.
//!
//! All of them are real processes, most built from pinned Go modules (`scripts/go-tools.sh`), so this target is
//! run by `make conformance` alone. Nothing is skipped: a program that cannot be had fails its test.

mod browser;
mod clients;
mod collector;
mod exporter;
mod exports;
mod otlp;
mod page;
mod promql;
mod query_api;
mod query_page;
mod replicas;
mod senders;
mod stage;
mod sync;
mod tools;
mod vmctl;
