#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| beth_fuzz::alive::check(data));
beth_fuzz::json_mutator!();
