//! Bytes that are read from the front.

/// What is left of some bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(pub &'a [u8]);

/// Most bytes of a number in base 128.
const VARINT_BYTES_MAX: usize = 10;

/// Why there is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoVarint {
    Truncated,
    TooLong,
}

impl<'a> Cursor<'a> {
    /// An unsigned number in base 128, low digits first.
    pub fn varint(&mut self) -> Result<u64, NoVarint> {
        let mut value = 0u64;
        for (index, byte) in self.0.iter().take(VARINT_BYTES_MAX).enumerate() {
            let digit = u64::from(byte & 0x7f);
            if index == VARINT_BYTES_MAX - 1 && *byte > 1 {
                return Err(NoVarint::TooLong);
            }
            value |= digit << (7 * index);
            if byte & 0x80 == 0 {
                self.0 = &self.0[index + 1..];
                return Ok(value);
            }
        }
        if self.0.len() < VARINT_BYTES_MAX {
            Err(NoVarint::Truncated)
        } else {
            Err(NoVarint::TooLong)
        }
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let count = usize::try_from(count).ok()?;
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// True at the end.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next field of a protocol buffer: its number and value.
    pub fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let key = self.varint().ok()?;
        let value = match key & 7 {
            0 => Field::Number(self.varint().ok()?),
            2 => {
                let length = self.varint().ok()?;
                Field::Bytes(self.take(length)?)
            }
            1 => Field::Fixed(self.take(8)?),
            5 => Field::Fixed(self.take(4)?),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

/// A value of a protocol buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes; nothing here has such fields.
    Fixed(#[allow(dead_code)] &'a [u8]),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (bytes, expected) in [
            (&[0][..], Ok(0)),
            (&[0x7f], Ok(127)),
            (&[0x80, 0x01], Ok(128)),
            (&[0xff; 9], Err(NoVarint::Truncated)),
            (&[], Err(NoVarint::Truncated)),
            (&[0xff; 11], Err(NoVarint::TooLong)),
        ] {
            assert_eq!(Cursor(bytes).varint(), expected, "{bytes:?}");
        }
        let mut most = [0xff; 10];
        most[9] = 1;
        assert_eq!(Cursor(&most).varint(), Ok(u64::MAX));
        most[9] = 2;
        assert_eq!(Cursor(&most).varint(), Err(NoVarint::TooLong));
    }
}
