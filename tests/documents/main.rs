//! Every command and every configuration in the documents works: blocks are taken from the text, and real programs
//! judge them.
//!
//! Each block of a shell, of YAML and of JSON has a mark that says how it is checked; `docs/testing.md` lists the kinds.

mod blocks;
mod commands;
mod configurations;
mod marks;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../it/moto.rs"]
mod moto;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../it/programs.rs"]
mod programs;
mod scene;
mod tools;
