#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| beth_fuzz::judgement::check(data));
beth_fuzz::json_mutator!();
