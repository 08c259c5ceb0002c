#![no_main]

#[path = "../../checks/model.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|input: &[u8]| model::check(input));
