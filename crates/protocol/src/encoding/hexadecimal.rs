//! Hexadecimal as the network's nodes read it: any case, white space between
//! bytes allowed, and the place of the first fault in the error.

/// A character, counted from zero, is no hexadecimal digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("non-hexadecimal number found in fromhex() arg at position {0}")]
pub struct NotHexadecimal(pub usize);

/// Decodes a text without prefix.
pub fn decode(text: &str) -> Result<Vec<u8>, NotHexadecimal> {
    if let Some(position) = text.chars().position(|c| !c.is_ascii()) {
        return Err(NotHexadecimal(position));
    }
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut rest = text.bytes().enumerate();
    while let Some((position, high)) = rest.next() {
        if high.is_ascii_whitespace() || high == 0x0b {
            continue;
        }
        let high = nibble(high).ok_or(NotHexadecimal(position))?;
        let low = rest.next().and_then(|(_, low)| nibble(low));
        bytes.push(high << 4 | low.ok_or(NotHexadecimal(position + 1))?);
    }
    Ok(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_points_at_the_fault() {
        assert_eq!(decode("00fF aB\n").unwrap(), [0, 255, 171]);
        for (bad, position) in [("BAR", 2), ("abc", 3), ("0x00", 1), ("a b", 1), ("00é", 2)] {
            assert_eq!(decode(bad), Err(NotHexadecimal(position)), "{bad}");
        }
    }
}
