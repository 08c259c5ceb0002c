//! The emulator as a client sees it: through the AWS SDK, or through raw HTTP where the SDK would
//! not send what is tested.

mod catalog;
mod cells;
mod concurrency;
mod faults;
mod paging;
mod persistence;
mod process;
mod query;
mod settings;
mod sql;
mod strangers;
mod support;
mod tags;
mod wire;
mod write;
mod write_quotas;
mod write_windows;
