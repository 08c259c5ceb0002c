//! The emulator as a client sees it: through the AWS SDK, or through raw HTTP where the SDK would
//! not send what is tested.

mod catalog;
mod faults;
mod paging;
mod persistence;
mod query;
mod sql;
mod strangers;
mod support;
mod wire;
mod write;
