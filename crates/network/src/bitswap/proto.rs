//! The encoding of messages: Protocol Buffers, as much of it as bitswap uses.

/// Input that is not what it claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a bitswap message")]
pub(super) struct Nonsense;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a fixed width, which bitswap has none of.
    Other,
}

/// The fields of a message, one after the other.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Nonsense>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Nonsense))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = varint(&mut self.0)?;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut self.0)?),
            1 => self.skip(8)?,
            2 => {
                let length = usize::try_from(varint(&mut self.0)?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            5 => self.skip(4)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn skip(&mut self, bytes: usize) -> Option<Value<'a>> {
        self.0 = self.0.get(bytes..)?;
        Some(Value::Other)
    }
}

/// Takes a varint off the beginning.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field of a number, unless it is the default.
pub(super) fn put_number(out: &mut Vec<u8>, field: u64, value: u64) {
    if value != 0 {
        put_varint(out, field << 3);
        put_varint(out, value);
    }
}

/// Appends a field of bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn varints() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut rest = out.as_slice();
            assert_eq!((varint(&mut rest), rest.len()), (Some(value), 0));
        }
        for bad in [&[0x80][..], &[0xff; 10], &[0xff; 20]] {
            assert_eq!(varint(&mut &bad[..]), None);
        }
    }

    #[test]
    fn fields() {
        let mut out = Vec::new();
        put_number(&mut out, 1, 0);
        put_number(&mut out, 2, 300);
        put_bytes(&mut out, 3, b"abc");
        out.extend([4 << 3 | 5, 1, 2, 3, 4]);
        let fields: Result<Vec<_>, _> = Fields(&out).collect();
        let expected = vec![
            (2, Value::Number(300)),
            (3, Value::Bytes(b"abc")),
            (4, Value::Other),
        ];
        assert_eq!(fields.unwrap(), expected);
        for bad in [&[0x1a, 0x05, 1][..], &[0x1b], &[0x80], &[0x0d, 1, 2]] {
            let fields: Result<Vec<_>, _> = Fields(bad).collect();
            assert_eq!(fields, Err(Nonsense), "{bad:?}");
        }
    }
}
