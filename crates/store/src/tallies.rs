//! Counts of messages by what they are found by, kept by the writer: a total
//! that needs no scan, and what the planner of queries estimates with.
//!
//! ```text
//!  inserted, deleted ─▶ memory of the writer (± 1) ─▶ once a transaction ─▶ tallies
//! ```
//!
//! Counted are messages in force, processed and removing alike. A tag is
//! counted once a message; a time by its [`bucket`].

use beth_protocol::time::Timestamp;
use rusqlite::Row;

use crate::error::Error;
use crate::query::Span;
use crate::state::State;

/// What is counted. The number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dimension {
    Sender = 0,
    Owner = 1,
    Channel = 2,
    ContentType = 3,
    Key = 4,
    Tag = 5,
    Chain = 6,
    Payment = 7,
    /// The name is a [`bucket`].
    Time = 8,
    /// Of posts without amends, by the time of their latest version: the name
    /// is a [`bucket`].
    Updated = 9,
}

/// About 2.4 hours of microseconds: a power of two.
const BUCKET_BITS: u32 = 33;

/// Which bucket of time a moment falls into.
pub(crate) fn bucket(micros: i64) -> i64 {
    micros >> BUCKET_BITS
}

/// The first moment of a bucket.
pub(crate) fn begin_of(bucket: i64) -> Timestamp {
    Timestamp::from_micros(bucket << BUCKET_BITS)
}

/// Counts what falls into a span: whole buckets are counted, from one to before
/// another; what lies before the first and after the last is read.
pub(crate) fn count_within(
    span: Span,
    counted: impl FnOnce((i64, i64)) -> Result<u64, Error>,
    read: impl Fn(Span) -> Result<u64, Error>,
) -> Result<u64, Error> {
    let first = span.start.map(|start| bucket(start.micros()) + 1);
    let last = span.end.map(|end| bucket(end.micros()));
    let whole = (first.unwrap_or(i64::MIN), last.unwrap_or(i64::MAX));
    if whole.0 > whole.1 {
        return read(span);
    }
    let mut total = counted(whole)?;
    if let (Some(start), Some(first)) = (span.start, first) {
        let (start, end) = (Some(start), Some(begin_of(first)));
        total += read(Span { start, end })?;
    }
    if let (Some(end), Some(last)) = (span.end, last) {
        let (start, end) = (Some(begin_of(last)), Some(end));
        total += read(Span { start, end })?;
    }
    Ok(total)
}

/// Counts of messages with a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tallied {
    /// Of the types asked for.
    pub wanted: u64,
    /// Of every type.
    pub all: u64,
}

impl State<'_> {
    /// A message with this property came (1) or went (-1).
    pub(crate) fn tally(
        &self,
        dimension: Dimension,
        (name, message_type): (i64, i64),
        change: i64,
    ) {
        if let Some(memory) = self.memory() {
            memory
                .borrow_mut()
                .tallied((dimension as i64, name, message_type), change);
        }
    }

    /// Messages with one of these properties: of some types (codes) or of all,
    /// and of all.
    pub(crate) fn tallied(
        &self,
        dimension: Dimension,
        names: &[i64],
        types: Option<&[i64]>,
    ) -> Result<Tallied, Error> {
        let count = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let rows = match names {
            [name] => self.all(
                "SELECT type, count FROM tallies WHERE dimension = ?1 AND name = ?2",
                [dimension as i64, *name],
                count,
            ),
            names => self.all(
                "SELECT type, count FROM tallies
                 WHERE dimension = ?1 AND name IN (SELECT value FROM json_each(?2))",
                (dimension as i64, serde_json::Value::from(names).to_string()),
                count,
            ),
        }?;
        Ok(Tallied {
            wanted: sum(&rows, types),
            all: sum(&rows, None),
        })
    }

    /// Messages of whole buckets, from one to before another.
    pub(crate) fn tallied_between(
        &self,
        dimension: Dimension,
        (start, end): (i64, i64),
        types: Option<&[i64]>,
    ) -> Result<u64, Error> {
        let rows = self.all(
            "SELECT type, sum(count) FROM tallies
             WHERE dimension = ?1 AND name >= ?2 AND name < ?3 GROUP BY type",
            [dimension as i64, start, end],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(sum(&rows, types))
    }
}

/// Of rows of type and count.
fn sum(rows: &[(i64, i64)], types: Option<&[i64]>) -> u64 {
    let wanted = rows
        .iter()
        .filter(|(code, _)| types.is_none_or(|types| types.contains(code)));
    wanted.map(|(_, count)| *count).sum::<i64>().max(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_time() {
        for micros in [
            -1,
            0,
            1,
            (1 << BUCKET_BITS) - 1,
            1 << BUCKET_BITS,
            i64::MAX,
            i64::MIN,
        ] {
            let first = begin_of(bucket(micros)).micros();
            assert!(
                first <= micros && micros - first < 1 << BUCKET_BITS,
                "{micros}"
            );
        }
    }
}
