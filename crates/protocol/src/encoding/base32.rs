//! Base32 of RFC 4648 in lower case and without padding, as CIDs use it.

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Decodes a text; `None` for other characters, for impossible lengths and for
/// bits set beyond the last byte.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut group, mut bits) = (0u32, 0);
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    for character in text.bytes() {
        let value = match character {
            b'a'..=b'z' => character - b'a',
            b'2'..=b'7' => character - b'2' + 26,
            _ => return None,
        };
        group = (group << 5 | u32::from(value)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((group >> bits) as u8);
        }
    }
    let rest = group & ((1 << bits) - 1);
    (bits < 5 && rest == 0).then_some(bytes)
}

/// Encodes bytes.
pub fn encode(bytes: &[u8]) -> String {
    let (mut group, mut bits) = (0u32, 0);
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for &byte in bytes {
        group = (group << 8 | u32::from(byte)) & 0xfff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[(group >> bits & 31) as usize]));
        }
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[(group << (5 - bits) & 31) as usize]));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses() {
        for (plain, text) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), plain.as_bytes());
        }
        for bad in ["m", "mz1", "MY", "mzx", "mz=", "é"] {
            assert!(decode(bad).is_none(), "{bad}");
        }
    }
}
