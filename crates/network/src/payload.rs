//! The text of one message on the message topic (network.md §3.3).
//!
//! Upstream receivers percent-decode the whole JSON text before parsing it, so
//! that a `%20` inside a content changes the content and breaks its hash. We
//! say such texts in a form that survives the decoding, and read both forms:
//!
//! ```text
//!   publish   text has %XX ? every % becomes %25 : as it is
//!   receive   1. as it is    2. percent-decoded        the first whose hash fits wins
//! ```
//!
//! Parsing and hashing belong to `protocol`; this module knows only text.

/// The bytes to publish for a serialised message.
pub fn encode_payload(text: &str) -> Vec<u8> {
    if has_escape(text.as_bytes()) {
        text.replace('%', "%25").into_bytes()
    } else {
        text.as_bytes().to_vec()
    }
}

/// The texts that received bytes may stand for, most likely first: none when
/// they are not UTF-8, one when they hold no `%XX`, else two.
pub fn decode_candidates(data: &[u8]) -> Vec<String> {
    let Ok(raw) = std::str::from_utf8(data) else {
        return Vec::new();
    };
    let mut candidates = vec![raw.to_owned()];
    if has_escape(data) {
        candidates.push(percent_decode(data));
    }
    candidates
}

fn has_escape(bytes: &[u8]) -> bool {
    bytes.windows(3).any(|window| escaped(window).is_some())
}

/// The byte that a text starting with `%XX` stands for.
fn escaped(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else {
        return None;
    };
    let high = char::from(*high).to_digit(16)?;
    let low = char::from(*low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// Invalid escapes and `+` are kept; decoded bytes that are not UTF-8 become
/// U+FFFD, one per maximal invalid part.
fn percent_decode(bytes: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        match escaped(rest) {
            Some(byte) => {
                decoded.push(byte);
                rest = &rest[3..];
            }
            None => {
                decoded.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publication_survives_the_decoding_of_receivers() {
        let texts = [
            "{}", "100%", "%", "%2", "%zz", "a%20b", "%25", "%2525", "%é%41", "é%C3%A9", "%%41",
        ];
        for text in texts {
            let published = encode_payload(text);
            assert_eq!(percent_decode(&published), text, "published {text}");
            assert!(
                decode_candidates(&published).contains(&text.to_owned()),
                "read {text}"
            );
        }
    }

    #[test]
    fn candidates() {
        let none: Vec<String> = Vec::new();
        assert_eq!(decode_candidates(b"\xff"), none);
        assert_eq!(decode_candidates(b"100%"), ["100%"]);
        assert_eq!(decode_candidates(b"a%20b"), ["a%20b", "a b"]);
        assert_eq!(decode_candidates(b"%E9"), ["%E9", "\u{fffd}"]);
    }
}
