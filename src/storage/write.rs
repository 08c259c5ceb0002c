//! Samples to records, and records to calls.
//!
//! `labels` and [`stored`] hold labels and series in their stored form, [`route`] decides where a series goes,
//! [`series`], [`exemplar`] and [`metadata`] make records of [`value`]s, [`batch`] makes calls of records, [`body`] writes a call as JSON.
//! [`sql_layout`] makes records for tables that are queried with SQL, [`test_series`] the one by which a table is checked.

pub mod batch;
pub mod body;
pub mod exemplar;
mod json;
mod labels;
pub mod metadata;
pub mod route;
pub mod series;
pub mod sql_layout;
pub mod stored;
pub mod test_series;
pub mod value;
