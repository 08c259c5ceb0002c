//! Replicated senders, stored once: of the Prometheus servers that scrape the same targets one is elected for each
//! cluster, and the samples of the others are dropped.
//!
//! [`decision`] is the pure rule. [`Tracker`] applies it: the elected replica of each cluster is in the state, changed
//! by compare-and-set during requests, so it needs no background task. [`Tracker::filter`] is the one use of both: it
//! takes out of a request what is not to be stored.

pub mod decision;
mod filter;
mod outcome;
mod settings;
mod store;
#[cfg(test)]
mod tests;
mod tracker;

pub use filter::MAX_VALUE_BYTES;
pub use outcome::{CallError, ClusterOutcome, Outcome, Undecided};
pub use settings::{MAX_UPDATE, MIN_MARGIN, MIN_UPDATE, Settings};
pub use store::{Store, Stored};
pub use tracker::{Clock, Tracker};
