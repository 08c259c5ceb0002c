#![no_main]

#[path = "../checks/read.rs"]
mod read;

libfuzzer_sys::fuzz_target!(|input: &[u8]| read::check(input));
