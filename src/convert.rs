//! The conversions between Prometheus and Timestream: pure functions over values, no I/O.
//!
//! In: [`routing`] and [`route`] (where a series goes), `labels` and [`stored`] (labels and series as they are stored),
//! [`series`] (remote write to records, with [`value`]s), [`histogram`], [`exemplar`], [`metadata`]
//! (likewise), [`batch`] (records to calls), [`body`] (a call to JSON). Out: [`matcher`] and [`regex`]
//! (what a query selects), [`schema`] (the columns of a table), [`sql`] (a query to SQL), [`rows`]
//! (result rows to series), [`chunk`] and [`samples`] (samples encoded), [`response`] (series to the
//! answer). Both: [`names`], [`limits`].

pub mod batch;
pub mod body;
pub mod chunk;
pub mod exemplar;
pub mod histogram;
mod json;
mod labels;
pub mod limits;
pub mod long;
pub mod matcher;
pub mod metadata;
pub mod names;
pub mod regex;
pub mod response;
pub mod route;
pub mod routing;
pub mod rows;
pub mod samples;
pub mod schema;
pub mod series;
pub mod sql;
pub mod stored;
pub mod value;
