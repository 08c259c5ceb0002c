#![no_main]

#[path = "../checks/web_file.rs"]
mod web_file;

libfuzzer_sys::fuzz_target!(|input: &[u8]| web_file::check(input));
