//! The older route of upstream for contents: base64 in JSON (network.md §5),
//! decoded while it comes.
//!
//! ```text
//!   {"status":"success","hash":"…","engine":"storage","content":"aGVs\nbG8=\n"}
//!                                                       ◀── decoded ──▶
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::limits::ENCODED_HEAD_BYTES_MAX;

/// Finds the content and decodes it.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// What came before the content.
    head: Vec<u8>,
    /// Characters that make no group of four yet.
    rest: Vec<u8>,
    place: Place,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Before,
    Within,
    /// After a backslash.
    Escaped,
    Behind,
}

const KEY: &[u8] = b"\"content\"";

impl Decoder {
    /// Takes the next bytes of the answer; gives those of the content, or `None`
    /// when the answer is none.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.place != Place::Before {
            return self.decode(bytes);
        }
        self.head.extend_from_slice(bytes);
        match begin(&self.head) {
            Some(start) => {
                let content = self.head.split_off(start);
                self.place = Place::Within;
                self.decode(&content)
            }
            None => (self.head.len() <= ENCODED_HEAD_BYTES_MAX).then(Vec::new),
        }
    }

    /// True when the answer held a whole content.
    pub(super) fn is_whole(&self) -> bool {
        self.place == Place::Behind && self.rest.is_empty()
    }

    fn decode(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        for byte in bytes {
            self.place = match (self.place, byte) {
                (Place::Behind, _) => break,
                (Place::Within, b'"') => Place::Behind,
                (Place::Within, b'\\') => Place::Escaped,
                (Place::Within, b'\n' | b'\r' | b' ') => Place::Within,
                // Line breaks of whoever encoded it.
                (Place::Escaped, b'n' | b'r') => Place::Within,
                (Place::Within, byte) | (Place::Escaped, byte @ b'/') => {
                    self.rest.push(*byte);
                    Place::Within
                }
                _ => return None,
            };
        }
        let whole = self.rest.len() / 4 * 4;
        let later = self.rest.split_off(whole);
        let decoded = STANDARD.decode(&self.rest).ok();
        self.rest = later;
        decoded
    }
}

/// Where the text of the content begins.
fn begin(head: &[u8]) -> Option<usize> {
    let key = head.windows(KEY.len()).position(|window| window == KEY)?;
    let behind = head.get(key + KEY.len()..)?;
    let sign = |byte: &u8| !byte.is_ascii_whitespace() && *byte != b':';
    let first = behind.iter().position(sign)?;
    (behind.get(first) == Some(&b'"')).then_some(key + KEY.len() + first + 1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn decode(text: &str, step: usize) -> Option<Vec<u8>> {
        let mut decoder = Decoder::default();
        let mut found = Vec::new();
        for piece in text.as_bytes().chunks(step) {
            found.extend(decoder.feed(piece)?);
        }
        decoder.is_whole().then_some(found)
    }

    #[test]
    fn answers_are_decoded_however_they_are_cut() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text = STANDARD.encode(&bytes);
        let lines: Vec<&str> = (0..text.len())
            .step_by(76)
            .map(|at| &text[at..text.len().min(at + 76)])
            .collect();
        let broken = format!("{}\\n", lines.join("\\n"));
        let escaped = text.replace('/', "\\/");
        for content in [&text, &broken, &escaped] {
            for before in [
                "{\"status\": \"success\", \"content\" : \"",
                "{\"content\":\"",
            ] {
                let answer = format!("{before}{content}\", \"engine\": \"storage\"}}");
                for step in [1, 3, 7, 64, 4_096] {
                    assert_eq!(decode(&answer, step).as_ref(), Some(&bytes), "{step}");
                }
            }
        }
        assert_eq!(decode("{\"content\":\"\"}", 4), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_content_is_refused() {
        for text in [
            "",
            "{}",
            "{\"content\":null}",
            "{\"content\":\"aGVsbG8\"}",
            "{\"content\":\"aGVsbG8=",
            "{\"content\":\"a?==\"}",
            "{\"content\":\"a\\u0047==\"}",
            &"x".repeat(ENCODED_HEAD_BYTES_MAX + 1),
        ] {
            assert_eq!(decode(text, 5), None, "{text}");
        }
    }
}
