#![no_main]

#[path = "../../checks/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|input: &[u8]| wire::check(input));
