//! Base64, read as leniently as the network's nodes do: characters outside
//! the alphabet are skipped, and what follows the padding is ignored.

use std::fmt::Write;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Why a text is no base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Base64Error {
    /// Not ASCII.
    #[error("string argument should contain only ASCII characters")]
    NotAscii,
    /// One character more than whole bytes need.
    #[error(
        "Invalid base64-encoded string: number of data characters ({0}) cannot be 1 more than a multiple of 4"
    )]
    Length(usize),
    /// The end is missing.
    #[error("Incorrect padding")]
    Padding,
}

/// Decodes a text.
pub fn decode(text: &str) -> Result<Vec<u8>, Base64Error> {
    if !text.is_ascii() {
        return Err(Base64Error::NotAscii);
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut digits, mut pads) = (0u32, 0usize, 0usize);
    for byte in text.bytes() {
        if byte == b'=' {
            if digits % 4 >= 2 {
                pads += 1;
                if digits % 4 + pads >= 4 {
                    return Ok(bytes);
                }
            }
            continue;
        }
        let Some(value) = value(byte) else { continue };
        pads = 0;
        digits += 1;
        group = (group << 6 | u32::from(value)) & 0xff_ffff;
        match digits % 4 {
            2 => bytes.push((group >> 4) as u8),
            3 => bytes.push((group >> 2) as u8),
            0 => bytes.push(group as u8),
            _ => {}
        }
    }
    match digits % 4 {
        0 => Ok(bytes),
        1 => Err(Base64Error::Length(digits)),
        _ => Err(Base64Error::Padding),
    }
}

/// Encodes bytes, with padding.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .chain([&0, &0])
            .take(3)
            .fold(0u32, |group, &byte| group << 8 | u32::from(byte));
        for position in 0..4 {
            let digit = ALPHABET[(group >> (18 - 6 * position) & 63) as usize];
            let shown = if position <= chunk.len() { digit } else { b'=' };
            // Writing to a text cannot fail.
            let _ = text.write_char(char::from(shown));
        }
    }
    text
}

fn value(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn strict_texts_round_trip() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), plain.as_bytes());
        }
        assert_eq!(encode(&[251, 255]), "+/8=");
    }

    #[test]
    fn lenient_as_the_network() {
        assert_eq!(decode("Zm\n9v!").unwrap(), b"foo");
        assert_eq!(decode("Zg==Zm9v").unwrap(), b"f");
        assert_eq!(decode("Zm9v====").unwrap(), b"foo");
        assert_eq!(decode("Zg"), Err(Base64Error::Padding));
        assert_eq!(decode("Zg="), Err(Base64Error::Padding));
        assert_eq!(decode("Zm9vY"), Err(Base64Error::Length(5)));
        assert_eq!(decode("é"), Err(Base64Error::NotAscii));
    }
}
