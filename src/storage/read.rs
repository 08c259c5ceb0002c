//! Queries to SQL, and result rows to series.
//!
//! [`selection`] is what a query selects, [`windows`] the samples that it wants of that, [`patterns`] the limits of its
//! regular expressions, [`schema`] the columns of a table, [`sql`] the statements, [`thinning`] the samples that they
//! leave out, [`rows`] the series of their results, [`samples`] the chunks of a series, [`discovery`] the names, metadata
//! and exemplars in results;
//! `prom_wire::response` encodes the results.

pub mod datum;
pub mod discovery;
pub mod patterns;
pub mod rows;
pub mod samples;
pub mod schema;
pub mod selection;
pub mod sql;
pub mod thinning;
pub mod windows;
