//! What the two sides of a reconciliation send each other, in bytes.
//!
//! ```text
//!   request: kind, body            reply: kind, body
//!   numbers: LEB128   elements: 16 bytes   fingerprints: 16 bytes
//! ```

use std::ops::Range as Places;

use super::PARTS;
use super::element::{Element, Range};
use super::sketch::{Salt, Symbol};
use crate::limits::{
    RECONCILE_CLAIMS_MAX, RECONCILE_ELEMENTS_MAX, RECONCILE_RANGES_MAX, RECONCILE_SYMBOL_PLACES_MAX,
};

/// What the asker says of a range of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which.
    pub range: Range,
    /// Elements in it.
    pub count: u64,
    /// Of its summary.
    pub fingerprint: [u8; 16],
}

/// A part of a range of the answerer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The first element behind it.
    pub end: Element,
    /// Elements in it.
    pub count: u64,
    /// Of its summary.
    pub fingerprint: [u8; 16],
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Are these the same?
    Compare(Vec<Claim>),
    /// Symbols of a sketch of the elements of these ranges together.
    Sketch {
        /// In order.
        ranges: Vec<Range>,
        /// What it is keyed with.
        salt: Salt,
        /// Which symbols.
        places: Places<u32>,
    },
    /// The elements of these ranges, as many as fit.
    Elements(Vec<Range>),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// For each claim: `None`, the same; otherwise the parts of that range, none
    /// when there is nothing in it.
    Compared(Vec<Option<Vec<Piece>>>),
    /// As asked for.
    Symbols(Vec<Symbol>),
    /// As asked for.
    Elements {
        /// In order.
        found: Vec<Element>,
        /// There are no more.
        is_end: bool,
    },
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// They end too early, or go on.
    #[error("the frame has another length than it says")]
    Length,
    /// A number beyond its bound, or a kind that does not exist.
    #[error("the frame says something that does not exist")]
    Value,
}

impl Request {
    /// The frame.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Request::Compare(claims) => {
                out.push(0);
                number(claims.len() as u64, &mut out);
                for claim in claims {
                    range(&claim.range, &mut out);
                    number(claim.count, &mut out);
                    out.extend_from_slice(&claim.fingerprint);
                }
            }
            Request::Sketch {
                ranges: of,
                salt,
                places,
            } => {
                out.push(1);
                ranges(of, &mut out);
                out.extend_from_slice(salt);
                number(places.start.into(), &mut out);
                number(places.end.into(), &mut out);
            }
            Request::Elements(of) => {
                out.push(2);
                ranges(of, &mut out);
            }
        }
        out
    }

    /// Reads a frame.
    pub fn from_bytes(bytes: &[u8]) -> Result<Request, FrameError> {
        let mut bytes = Bytes(bytes);
        let request = match bytes.byte()? {
            0 => Request::Compare(bytes.many(RECONCILE_CLAIMS_MAX, |bytes| {
                Ok(Claim {
                    range: bytes.range()?,
                    count: bytes.number()?,
                    fingerprint: bytes.array()?,
                })
            })?),
            1 => {
                let ranges = bytes.many(RECONCILE_RANGES_MAX, Bytes::range)?;
                let salt = bytes.array()?;
                let mut place = || u32::try_from(bytes.number()?).map_err(|_| FrameError::Value);
                let places = place()?..place()?;
                if places.len() > RECONCILE_SYMBOL_PLACES_MAX as usize {
                    return Err(FrameError::Value);
                }
                Request::Sketch {
                    ranges,
                    salt,
                    places,
                }
            }
            2 => Request::Elements(bytes.many(RECONCILE_RANGES_MAX, Bytes::range)?),
            _ => return Err(FrameError::Value),
        };
        bytes.end(request)
    }
}

impl Reply {
    /// The frame.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Reply::Compared(compared) => {
                out.push(0);
                number(compared.len() as u64, &mut out);
                for pieces in compared {
                    // 0: the same; otherwise one more than there are.
                    let told = pieces.as_ref().map_or(0, |pieces| pieces.len() as u64 + 1);
                    number(told, &mut out);
                    for piece in pieces.iter().flatten() {
                        place(piece.end, &mut out);
                        number(piece.count, &mut out);
                        out.extend_from_slice(&piece.fingerprint);
                    }
                }
            }
            Reply::Symbols(symbols) => {
                out.push(1);
                number(symbols.len() as u64, &mut out);
                for symbol in symbols {
                    out.extend_from_slice(&symbol.elements);
                    out.extend_from_slice(&symbol.checks.to_le_bytes());
                    number(zigzag(symbol.count), &mut out);
                }
            }
            Reply::Elements { found, is_end } => {
                out.push(2);
                out.push(u8::from(*is_end));
                number(found.len() as u64, &mut out);
                for element in found {
                    out.extend_from_slice(&element.to_bytes());
                }
            }
        }
        out
    }

    /// Reads a frame.
    pub fn from_bytes(bytes: &[u8]) -> Result<Reply, FrameError> {
        let mut bytes = Bytes(bytes);
        let reply = match bytes.byte()? {
            0 => Reply::Compared(bytes.many(RECONCILE_CLAIMS_MAX, Bytes::pieces)?),
            1 => {
                let most = RECONCILE_SYMBOL_PLACES_MAX as usize;
                Reply::Symbols(bytes.many(most, |bytes| {
                    Ok(Symbol {
                        elements: bytes.array()?,
                        checks: u64::from_le_bytes(bytes.array()?),
                        count: unzigzag(bytes.number()?),
                    })
                })?)
            }
            2 => {
                let is_end = match bytes.byte()? {
                    0 => false,
                    1 => true,
                    _ => return Err(FrameError::Value),
                };
                let found = bytes.many(RECONCILE_ELEMENTS_MAX, Bytes::element)?;
                Reply::Elements { found, is_end }
            }
            _ => return Err(FrameError::Value),
        };
        bytes.end(reply)
    }
}

fn number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// A place between elements: most are the beginning of a moment.
fn place(element: Element, out: &mut Vec<u8>) {
    match element {
        Element::FIRST => out.push(0),
        Element::END => out.push(1),
        Element { time, prefix } if prefix == i64::MIN => {
            out.push(2);
            out.extend_from_slice(&time.to_be_bytes());
        }
        other => {
            out.push(3);
            out.extend_from_slice(&other.to_bytes());
        }
    }
}

fn range(range: &Range, out: &mut Vec<u8>) {
    place(range.start, out);
    place(range.end, out);
}

fn ranges(ranges: &[Range], out: &mut Vec<u8>) {
    number(ranges.len() as u64, out);
    for one in ranges {
        range(one, out);
    }
}

/// What of a frame is not read yet.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (read, rest) = self.0.split_first_chunk().ok_or(FrameError::Length)?;
        self.0 = rest;
        Ok(*read)
    }

    fn byte(&mut self) -> Result<u8, FrameError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64, FrameError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(FrameError::Value);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(FrameError::Value)
    }

    fn element(&mut self) -> Result<Element, FrameError> {
        Ok(Element::from_bytes(self.array()?))
    }

    fn place(&mut self) -> Result<Element, FrameError> {
        match self.byte()? {
            0 => Ok(Element::FIRST),
            1 => Ok(Element::END),
            2 => Ok(Element::at(i64::from_be_bytes(self.array()?))),
            3 => self.element(),
            _ => Err(FrameError::Value),
        }
    }

    fn range(&mut self) -> Result<Range, FrameError> {
        let range = Range {
            start: self.place()?,
            end: self.place()?,
        };
        match range.start < range.end {
            true => Ok(range),
            false => Err(FrameError::Value),
        }
    }

    fn pieces(&mut self) -> Result<Option<Vec<Piece>>, FrameError> {
        let Some(count) = self.number()?.checked_sub(1) else {
            return Ok(None);
        };
        if count > PARTS as u64 {
            return Err(FrameError::Value);
        }
        let mut pieces = Vec::with_capacity(count as usize);
        for _ in 0..count {
            pieces.push(Piece {
                end: self.place()?,
                count: self.number()?,
                fingerprint: self.array()?,
            });
        }
        Ok(Some(pieces))
    }

    fn many<T>(
        &mut self,
        most: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, FrameError>,
    ) -> Result<Vec<T>, FrameError> {
        let count = self.number()?;
        if count > most as u64 {
            return Err(FrameError::Value);
        }
        // What is there bounds what is reserved: each takes a byte at least.
        let mut found = Vec::with_capacity((count as usize).min(self.0.len()));
        for _ in 0..count {
            found.push(read(self)?);
        }
        Ok(found)
    }

    fn end<T>(self, value: T) -> Result<T, FrameError> {
        match self.0.is_empty() {
            true => Ok(value),
            false => Err(FrameError::Length),
        }
    }
}
