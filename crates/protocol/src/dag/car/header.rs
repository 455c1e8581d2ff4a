//! The header of an archive: just as much of DAG-CBOR as it needs.

use super::super::cursor::Cursor;
use super::super::name::CidBytes;
use super::CarFault;

const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
/// Tag of a CID.
const LINK: u64 = 42;

/// The one root of a header.
pub(super) fn root(header: &[u8]) -> Result<CidBytes<'_>, CarFault> {
    let mut items = Items(Cursor(header));
    let members = items.expect(MAP, "no map")?;
    let (mut version, mut roots) = (None, None);
    for _ in 0..members {
        match items.text()? {
            b"version" if version.is_none() => {
                version = Some(items.expect(UNSIGNED, "the version is no number")?);
            }
            b"roots" if roots.is_none() => roots = Some(items.roots()?),
            _ => return Err(CarFault::Header("a member is unknown, or there twice")),
        }
    }
    if !items.0.is_empty() {
        return Err(CarFault::Header("there is something behind it"));
    }
    match version {
        Some(1) => {}
        Some(other) => return Err(CarFault::Version(other)),
        None => return Err(CarFault::Header("there is no version")),
    }
    match roots {
        Some((1, Some(cid))) => {
            let bytes = cid
                .strip_prefix(&[0])
                .ok_or(CarFault::Root("it does not begin with zero"))?;
            CidBytes::read(bytes).ok_or(CarFault::Root("its bytes are no CID"))
        }
        Some((count, _)) => Err(CarFault::Roots(count)),
        None => Err(CarFault::Header("there are no roots")),
    }
}

struct Items<'a>(Cursor<'a>);

impl<'a> Items<'a> {
    /// Kind and number of the next item.
    fn item(&mut self) -> Result<(u8, u64), CarFault> {
        let short = CarFault::Header("it ends early");
        let first = self
            .0
            .take(1)
            .and_then(<[u8]>::first)
            .ok_or(short.clone())?;
        let extra = match first & 0x1f {
            small @ 0..=23 => return Ok((first >> 5, u64::from(small))),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return Err(CarFault::Header("a length is indefinite")),
        };
        let bytes = self.0.take(extra).ok_or(short)?;
        let number = bytes
            .iter()
            .fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        Ok((first >> 5, number))
    }

    fn expect(&mut self, kind: u8, otherwise: &'static str) -> Result<u64, CarFault> {
        match self.item()? {
            (found, number) if found == kind => Ok(number),
            _ => Err(CarFault::Header(otherwise)),
        }
    }

    fn text(&mut self) -> Result<&'a [u8], CarFault> {
        let length = self.expect(TEXT, "a key is no text")?;
        self.0.take(length).ok_or(CarFault::Header("it ends early"))
    }

    /// How many roots, and the bytes of the first.
    fn roots(&mut self) -> Result<(u64, Option<&'a [u8]>), CarFault> {
        let count = self.expect(ARRAY, "the roots are no list")?;
        let mut first = None;
        // What is too many for its bytes ends the loop.
        for _ in 0..count {
            if self.expect(TAG, "a root is no CID")? != LINK {
                return Err(CarFault::Header("a root is no CID"));
            }
            let length = self.expect(BYTES, "a root is no CID")?;
            let bytes = self.0.take(length);
            let bytes = bytes.ok_or(CarFault::Header("it ends early"))?;
            first = first.or(Some(bytes));
        }
        Ok((count, first))
    }
}
