#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| beth_fuzz::envelope::check(data));

// The hash of an inline content is made right three times in four, or nothing
// behind it would ever be reached.
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    beth_fuzz::mutate::envelope(data, size, max_size, seed)
});
