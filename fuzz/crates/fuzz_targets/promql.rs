#![no_main]

#[path = "../../checks/promql.rs"]
mod promql;

libfuzzer_sys::fuzz_target!(|input: &[u8]| promql::check(input));
