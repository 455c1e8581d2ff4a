//! How gossip names a message, so that all nodes see the same duplicates.

use std::hash::{DefaultHasher, Hasher};

/// The gossip name of a payload: SipHash-1-3 with a zero key over the length
/// (64 bits, little endian) and the bytes, in decimal (network.md §2.4).
///
/// Topic, author and sequence number do not count: the same bytes are
/// suppressed for half an hour whoever says them.
pub fn message_id(data: &[u8]) -> String {
    // The standard library does not promise SipHash-1-3; the vectors hold it to that.
    let mut hasher = DefaultHasher::new();
    hasher.write(&(data.len() as u64).to_le_bytes());
    hasher.write(data);
    hasher.finish().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let cases: [(&[u8], &str); 4] = [
            (b"", "13646096770106105413"),
            (b"a", "13743199064115861684"),
            (b"hello", "9754003402134539932"),
            (&[0; 300], "9507568652162644507"),
        ];
        for (data, name) in cases {
            assert_eq!(message_id(data), name);
        }
    }
}
