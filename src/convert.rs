//! Chunks.

pub mod chunk;
