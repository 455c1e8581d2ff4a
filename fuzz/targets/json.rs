#![no_main]
use beth_protocol::json;

// What is read can be written, and reads the same; keys come out sorted once
// and for all.
libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(value) = json::parse_content(text) else {
        return;
    };
    let sorted = json::to_sorted_string(&value);
    if !sorted.contains("\\u0000") {
        let again = json::parse_content(&sorted).expect("what we write is JSON");
        assert_eq!(again, value);
        assert_eq!(json::to_sorted_string(&again), sorted);
    }
});
beth_fuzz::json_mutator!();
