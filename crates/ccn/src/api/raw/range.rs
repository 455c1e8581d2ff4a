//! Which bytes of a file are asked for (RFC 9110 §14).

use beth_store::blobs::{Content, Pieces};
use http::{HeaderMap, header};

use crate::limits::RANGES_MAX;

/// Separates the parts of an answer with several ranges. What it separates has
/// a length, so it may occur in the bytes.
const BOUNDARY: &str = "beth-byte-ranges";
/// Content type of such an answer.
pub(in crate::api) const MULTIPART: &str = "multipart/byteranges; boundary=beth-byte-ranges";

/// Bytes from `first` up to, without, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) struct Range {
    pub first: u64,
    pub end: u64,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) enum Asked {
    /// Everything: there is no header, or none that means something.
    Whole,
    /// Only bytes that do not exist.
    Nothing,
    One(Range),
    Several(Vec<Range>),
}

impl Range {
    /// `Content-Range` in a file of this size.
    pub fn of(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.first, self.end.saturating_sub(1))
    }

    fn length(self) -> u64 {
        self.end - self.first
    }
}

/// What is asked of a file with this ETag and size.
pub(in crate::api) fn asked(request: &HeaderMap, tag: &str, size: u64) -> Asked {
    // Parts are asked for only of the very file that the client has parts of.
    if request
        .get(header::IF_RANGE)
        .is_some_and(|known| known != tag)
    {
        return Asked::Whole;
    }
    let text = request
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok());
    text.and_then(|text| ranges(text, size))
        .unwrap_or(Asked::Whole)
}

/// `None` when the text means nothing, or more than one may ask for.
fn ranges(text: &str, size: u64) -> Option<Asked> {
    let (unit, list) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (mut found, mut asked) = (Vec::new(), 0);
    for one in list.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        asked += 1;
        found.extend(range(one, size)?);
    }
    let total: u64 = found.iter().map(|range| range.length()).sum();
    match (asked, found.as_slice()) {
        (0, _) => None,
        (_, []) => Some(Asked::Nothing),
        (_, [one]) => Some(Asked::One(*one)),
        // Asking for the same bytes again and again is no use but to harm.
        _ if asked > RANGES_MAX || total > size => None,
        _ => Some(Asked::Several(found)),
    }
}

/// `None`: malformed. `Some(None)`: beyond the end.
fn range(text: &str, size: u64) -> Option<Option<Range>> {
    let (first, last) = text.split_once('-')?;
    if first.is_empty() {
        let count = number(last)?;
        let first = size.saturating_sub(count);
        return Some((first < size).then_some(Range { first, end: size }));
    }
    let first = number(first)?;
    let last = match last {
        "" => u64::MAX,
        last => number(last)?,
    };
    if last < first {
        return None;
    }
    let end = last.saturating_add(1).min(size);
    Some((first < size).then_some(Range { first, end }))
}

/// Digits; what is too large is as far as there is.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Several ranges in one body; and its length.
pub(in crate::api) fn multipart(
    content: &Content,
    ranges: &[Range],
    content_type: &str,
) -> (Pieces, u64) {
    let size = content.extent().size_bytes;
    let mut length = 0;
    let mut parts: Vec<Pieces> = Vec::new();
    for range in ranges {
        let of = range.of(size);
        let head = format!(
            "\r\n--{BOUNDARY}\r\nContent-Type: {content_type}\r\nContent-Range: {of}\r\n\r\n"
        );
        length += head.len() as u64 + range.length();
        parts.push(Box::new(std::iter::once(Ok(head.into_bytes()))));
        parts.push(content.pieces(range.first, range.length()));
    }
    let end = format!("\r\n--{BOUNDARY}--\r\n");
    length += end.len() as u64;
    parts.push(Box::new(std::iter::once(Ok(end.into_bytes()))));
    (Box::new(parts.into_iter().flatten()), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        let one = |first, end| Some(Asked::One(Range { first, end }));
        for (text, expected) in [
            ("bytes=0-4", one(0, 5)),
            ("bytes=5-", one(5, 10)),
            ("bytes=-3", one(7, 10)),
            ("bytes=-99", one(0, 10)),
            ("bytes=0-99", one(0, 10)),
            ("Bytes = 9-9", one(9, 10)),
            ("bytes=0-99999999999999999999999", one(0, 10)),
            ("bytes=0-1,20-", one(0, 2)),
            ("bytes=10-", Some(Asked::Nothing)),
            ("bytes=-0", Some(Asked::Nothing)),
            ("bytes=99999999999999999999999-", Some(Asked::Nothing)),
        ] {
            assert_eq!(ranges(text, 10), expected, "{text}");
        }
        let two = [Range { first: 0, end: 2 }, Range { first: 3, end: 5 }];
        assert_eq!(
            ranges("bytes=0-1, 3-4", 10),
            Some(Asked::Several(two.to_vec()))
        );
        let many = vec!["0-0"; RANGES_MAX + 1].join(",");
        for ignored in [
            "bytes=a-b",
            "bytes=4-3",
            "bytes=",
            "bytes=-",
            "lines=1-2",
            "bytes=+1-2",
            "bytes=0-1,x",
            "bytes=0-,0-",
            &format!("bytes={many}"),
        ] {
            assert_eq!(ranges(ignored, 1_000), None, "{ignored}");
        }
        assert_eq!(ranges("bytes=0-", 0), Some(Asked::Nothing));
        assert_eq!(ranges("bytes=-1", 0), Some(Asked::Nothing));
    }
}
