#![no_main]
use beth_protocol::{HashKind, ItemHash, hash};

// Item hashes: the strict classifier never takes what the loose one refuses,
// and a digest goes there and back.
libfuzzer_sys::fuzz_target!(|text: &str| {
    let loose = hash::classify_loosely(text);
    let Ok(strict) = ItemHash::parse(text) else {
        return;
    };
    assert_eq!(loose, Some(strict.kind()));
    assert_eq!(strict.as_str(), text);
    match strict.kind() {
        HashKind::Storage => {
            let digest = strict.digest().expect("64 hexadecimal digits");
            assert_eq!(ItemHash::of_digest(digest), strict);
        }
        HashKind::Ipfs => assert_eq!(strict.digest(), None),
    }
});
