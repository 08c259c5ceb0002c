//! Our PromQL engine and Prometheus' own, side by side: random queries over random data, and the comparison of the
//! results, bit by bit.
//!
//! Everything follows from a seed, so a difference can be seen again. A differing expression is made smaller until
//! each further step would hide the difference.

pub mod api;
pub mod compare;
pub mod data;
pub mod engine;
pub mod expression;
pub mod generator;
pub mod judge;
pub mod over_http;
pub mod prometheus;
pub mod query;
pub mod random;
pub mod response;
pub mod result;
pub mod run;
mod wire;
