#![no_main]

#[path = "../../checks/exposition.rs"]
mod exposition;

libfuzzer_sys::fuzz_target!(|input: &[u8]| exposition::check(input));
