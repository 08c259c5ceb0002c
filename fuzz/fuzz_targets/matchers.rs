#![no_main]

#[path = "../checks/matchers.rs"]
mod matchers;

libfuzzer_sys::fuzz_target!(|input: &[u8]| matchers::check(input));
