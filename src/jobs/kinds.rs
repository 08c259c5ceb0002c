//! The types of jobs.

pub mod scrape;
pub mod sink;
pub mod sync;
