#![no_main]

#[path = "../checks/write.rs"]
mod write;

libfuzzer_sys::fuzz_target!(|input: &[u8]| write::check(input));
