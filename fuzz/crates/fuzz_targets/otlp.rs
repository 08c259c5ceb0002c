#![no_main]

#[path = "../../checks/otlp.rs"]
mod otlp;

libfuzzer_sys::fuzz_target!(|input: &[u8]| otlp::check(input));
