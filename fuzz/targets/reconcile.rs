#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| beth_fuzz::reconcile::check(data));
