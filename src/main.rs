//! `bootstrap`: serves remote write and remote read over Amazon Timestream.

fn main() {}
