//! The protobuf messages of remote write 1.0 and remote read: data only.
//!
//! Generated from `proto/prometheus.proto`; the conversions live in [`crate::convert`].

#![allow(missing_docs)] // the messages and fields are documented in the .proto file

include!(concat!(env!("OUT_DIR"), "/prometheus.rs"));
