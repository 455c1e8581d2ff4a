//! Base58 with Bitcoin's alphabet, plain and with a checksum.

use sha2::{Digest, Sha256};

/// Length of the checksum of [`decode_checked`], in bytes.
const CHECKSUM_BYTES: usize = 4;

/// Why a text is no base58.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Base58Error {
    /// Longer than anything of the expected size.
    #[error("too long")]
    TooLong,
    /// A character outside the alphabet.
    #[error("Invalid character '{0}'")]
    Character(char),
    /// The checksum is another.
    #[error("Invalid checksum")]
    Checksum,
}

/// Decodes at most `bytes_max` bytes. White space at the end is ignored.
pub fn decode(text: &str, bytes_max: usize) -> Result<Vec<u8>, Base58Error> {
    let text = text.trim_end();
    // log(256) / log(58) is 1.37 characters a byte; the work grows with the square.
    if text.len() > bytes_max * 7 / 5 + 1 {
        return Err(Base58Error::TooLong);
    }
    if let Some(stranger) = text.chars().find(|&c| !is_digit(c)) {
        return Err(Base58Error::Character(stranger));
    }
    let bytes = bs58::decode(text)
        .into_vec()
        .map_err(|_| Base58Error::TooLong)?;
    if bytes.len() > bytes_max {
        return Err(Base58Error::TooLong);
    }
    Ok(bytes)
}

/// Decodes exactly `N` bytes.
pub fn decode_exactly<const N: usize>(text: &str) -> Option<[u8; N]> {
    decode(text, N).ok()?.try_into().ok()
}

/// Decodes at most `bytes_max` bytes that are followed by the first four bytes
/// of their double SHA-256.
pub fn decode_checked(text: &str, bytes_max: usize) -> Result<Vec<u8>, Base58Error> {
    let mut bytes = decode(text, bytes_max + CHECKSUM_BYTES)?;
    let checksum = bytes.split_off(bytes.len().saturating_sub(CHECKSUM_BYTES));
    if checksum != checksum_of(&bytes) {
        return Err(Base58Error::Checksum);
    }
    Ok(bytes)
}

/// Encodes bytes.
pub fn encode(bytes: &[u8]) -> String {
    bs58::encode(bytes).into_string()
}

/// Encodes a prefix, bytes and their checksum.
pub fn encode_checked(prefix: &[u8], bytes: &[u8]) -> String {
    let mut whole = [prefix, bytes].concat();
    whole.extend(checksum_of(&whole));
    encode(&whole)
}

/// True for the 58 characters.
pub fn is_digit(character: char) -> bool {
    character.is_ascii_alphanumeric() && !matches!(character, '0' | 'O' | 'I' | 'l')
}

fn checksum_of(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(Sha256::digest(bytes)));
    [a, b, c, d]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_checked() {
        assert_eq!(decode("2NEpo7TZRRrLZSi2U", 16).unwrap(), b"Hello World!");
        assert_eq!(decode("2NEpo7TZRRrLZSi2U \n", 12).unwrap(), b"Hello World!");
        assert_eq!(decode("2NEpo7TZRRrLZSi2U", 11), Err(Base58Error::TooLong));
        assert_eq!(decode("1l", 16), Err(Base58Error::Character('l')));
        assert_eq!(
            decode(&"z".repeat(1_000_000), 64),
            Err(Base58Error::TooLong)
        );
        let text = encode_checked(&[6, 161, 159], &[7; 20]);
        assert_eq!(decode_checked(&text, 23).unwrap()[3..], [7; 20]);
        let other = text.replace(&text[10..11], if &text[10..11] == "z" { "y" } else { "z" });
        assert_eq!(decode_checked(&other, 23), Err(Base58Error::Checksum));
        for short in ["", "1", "zz"] {
            assert!(decode_checked(short, 23).is_err(), "{short}");
        }
    }
}
