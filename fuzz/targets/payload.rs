#![no_main]
use beth_fuzz::payload::{decode_candidates, encode_payload};

// What is published is read back, first or second.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let candidates = decode_candidates(data);
    assert!(candidates.len() <= 2);
    for text in candidates {
        assert!(decode_candidates(&encode_payload(&text)).contains(&text));
    }
});
