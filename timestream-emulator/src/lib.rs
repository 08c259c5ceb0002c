//! A strict emulator of Amazon Timestream for LiveAnalytics.
//!
//! It speaks the service's wire protocol (AWS JSON 1.0 over plain HTTP, signed requests) and stores
//! its data in SQLite, so any AWS SDK or the AWS command line works against it. It judges writes by
//! the service's limits, names, versions and retention windows, and runs the part of its SQL that a
//! client or a person exploring the data uses; it rejects anything it does not know. Where the
//! service's behaviour is not established it follows the stricter reading.
//!
//! A test starts one in its own process:
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use timestream_emulator::{Config, Emulator, Fault, FaultKind, TableSpec};
//!
//! let config = Config { tables: vec![TableSpec::new("db", "t")], ..Config::default() };
//! let emulator = Emulator::start(config).await.unwrap();
//! emulator.order_fault(Fault::next("WriteRecords", 1, FaultKind::Throttle));
//! // ... point an SDK at emulator.url(), with credentials local / local ...
//! assert!(emulator.points("db", "t").is_empty());
//! emulator.stop().await;
//! # });
//! ```

mod clock;
mod config;
mod counters;
mod emulator;
mod error;
mod faults;
mod ids;
pub mod inspect;
mod limits;
mod metering;
mod names;
mod operations;
mod protocol;
mod query;
mod server;
mod sigv4;
mod store;
mod write;

pub use self::{
    clock::Clock,
    config::{ColumnCase, Config, TableSpec, TableSpecError},
    counters::Counters,
    emulator::{Emulator, StartError},
    faults::{Fault, FaultKind, When},
    server::cells::NoSuchCell,
    store::{StoreError, snapshot::Point, value::Value},
};
