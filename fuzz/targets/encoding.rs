#![no_main]
use beth_protocol::encoding::{base32, base58, base64, bech32, hexadecimal};

// What decodes encodes back; where the network's decoders are lenient, what
// was decoded is said once more and then reads the same.
libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Some(bytes) = base32::decode(text) {
        assert_eq!(base32::encode(&bytes), text);
    }
    if let Ok(bytes) = base58::decode(text, 128) {
        assert!(bytes.len() <= 128);
        assert_eq!(base58::encode(&bytes), text.trim_end());
    }
    if let Ok(bytes) = base58::decode_checked(text, 128) {
        assert_eq!(base58::encode_checked(&[], &bytes), text.trim_end());
    }
    if let Ok(bytes) = base64::decode(text) {
        assert_eq!(base64::decode(&base64::encode(&bytes)).as_ref(), Ok(&bytes));
    }
    if let Ok(bytes) = hexadecimal::decode(text) {
        assert_eq!(
            hexadecimal::decode(&const_hex::encode(&bytes)).as_ref(),
            Ok(&bytes)
        );
    }
    let (hrp, rest) = text.split_at(text.find(['1', '\n']).unwrap_or(0));
    assert!(bech32::encode(hrp, rest.as_bytes()).starts_with(hrp));
});
