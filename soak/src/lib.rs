//! The real programs together, under faults, and every sample compared afterwards.
//!
//! A Prometheus scrapes synthetic [`targets`] and remote-writes through the connector into the
//! emulator while [`phases`] order faults and kill processes; then [`run()`] lets the queue drain
//! and compares Prometheus' own storage with the contents of Timestream. [`connectors`] does the
//! same with scrapes, syncs and a sink, with a [`proxy`] before each server and [`ticks`] to
//! scrape. [`programs`] are the processes ([`process`]: the resources they use); the tests and
//! benches of the connector use them too.
//!
//! An error that spoils a run panics with the reason, as in a test.

pub mod connectors;
pub mod http;
pub mod phases;
pub mod process;
pub mod programs;
pub mod prometheus;
pub mod proxy;
pub mod run;
pub mod samples;
pub mod setup;
pub mod shop;
pub mod targets;
pub mod ticks;

pub use run::{Plan, Summary, run};
pub use setup::Setup;
