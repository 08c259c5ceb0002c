//! The form in which Prometheus data lies in Timestream: pure functions over values, no I/O.
//!
//! [`mod@write`] makes records of samples, [`read`] makes queries of selections and series of rows. What both need:
//! [`names`], [`limits`], [`routing`], and the stored form of a native [`histogram`].

pub mod destination;
pub mod histogram;
pub mod limits;
pub mod names;
pub mod read;
pub mod routing;
pub mod write;
