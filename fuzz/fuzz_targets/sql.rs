#![no_main]

#[path = "../checks/sql.rs"]
mod sql;

libfuzzer_sys::fuzz_target!(|input: &[u8]| sql::check(input));
