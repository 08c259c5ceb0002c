//! Artefacts: the archives, SAM's template and build, `make run`, `make watch`,
//! and the files of a release.
//!
//! It builds the program again, twice for release, so it stands apart from the other tests, which
//! would run beside it otherwise.

mod artefacts;
mod deploy;
mod documents;
mod release;
mod run;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../support/runtime_api.rs"]
mod runtime_api;
mod script;
mod support;
mod template;
mod watch;
