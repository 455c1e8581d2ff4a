//! Bech32 addresses (the form of 2017, constant 1). Only encoded: an address is
//! checked by making it again from the key and comparing texts.

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATORS: [u32; 5] = [
    0x3b6a_57b2,
    0x2650_8e6d,
    0x1ea1_19fa,
    0x3d42_33dd,
    0x2a14_62b3,
];

/// `hrp`, `1`, the bytes and six characters of checksum. The human-readable
/// part is taken as it is, whatever it holds.
pub fn encode(hrp: &str, bytes: &[u8]) -> String {
    let digits = to_digits(bytes);
    let high = hrp.chars().map(|c| u32::from(c) >> 5);
    let low = hrp.chars().map(|c| u32::from(c) & 31);
    let state = high
        .chain([0])
        .chain(low)
        .chain(digits.iter().map(|&digit| u32::from(digit)))
        .chain([0; 6])
        .fold(1, step)
        ^ 1;
    let checksum = (0..6).map(|place| (state >> (5 * (5 - place)) & 31) as u8);
    let shown = digits
        .iter()
        .copied()
        .chain(checksum)
        .map(|digit| char::from(ALPHABET[usize::from(digit & 31)]));
    hrp.chars().chain(['1']).chain(shown).collect()
}

/// Groups of five bits, zero bits at the end.
fn to_digits(bytes: &[u8]) -> Vec<u8> {
    let (mut group, mut bits) = (0u32, 0);
    let mut digits = Vec::with_capacity(bytes.len().div_ceil(5) * 8);
    for &byte in bytes {
        group = (group << 8 | u32::from(byte)) & 0xfff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            digits.push((group >> bits & 31) as u8);
        }
    }
    if bits > 0 {
        digits.push((group << (5 - bits) & 31) as u8);
    }
    digits
}

fn step(state: u32, value: u32) -> u32 {
    let top = state >> 25;
    let mut state = (state & 0x1ff_ffff) << 5 ^ value;
    for (bit, generator) in GENERATORS.iter().enumerate() {
        if top >> bit & 1 == 1 {
            state ^= generator;
        }
    }
    state
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn known_texts() {
        assert_eq!(encode("a", &[]), "a12uel5l");
        let bytes: [u8; 20] =
            const_hex::decode_to_array("00443214c74254b635cf84653a56d7c675be77df").unwrap();
        assert_eq!(
            encode("abcdef", &bytes),
            "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"
        );
        assert_eq!(encode("", &[]).len(), 7);
        assert!(encode("é\u{10ffff}", &bytes).starts_with('é'));
    }
}
