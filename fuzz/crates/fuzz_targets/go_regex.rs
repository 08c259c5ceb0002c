#![no_main]

#[path = "../../checks/go_regex.rs"]
mod go_regex;

libfuzzer_sys::fuzz_target!(|input: &[u8]| go_regex::check(input));
