//! Queries to SQL, and result rows to series.
//!
//! [`selection`] is what a query selects, [`patterns`] the limits of its regular expressions, [`schema`] the columns of
//! a table, [`sql`] the statements, [`rows`] the series of their results, [`samples`] and [`response`] the results in
//! the encodings of remote read.

pub mod patterns;
pub mod rows;
pub mod samples;
pub mod schema;
pub mod selection;
pub mod sql;

pub use prom_wire::response;
