//! The messages in force as a set that two nodes compare
//! ([`beth_protocol::reconcile`]).
//!
//! ```text
//!   level 2  │         51 days          │ …
//!   level 1  │ 19 h │ 19 h │ …          64 of the level below each
//!   level 0  │││││││││││││││ 18 min
//!            ↑ what is left on both sides is read along the index of times
//! ```
//!
//! The writer keeps the sums of spans in memory and writes those that changed
//! once a transaction, so a message costs a hash of sixteen bytes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use beth_protocol::reconcile::{Element, PARTS, Part, Range, Set, Summary};
use rusqlite::Row;

use crate::error::Error;
use crate::state::State;

/// Spans of level 0 are so many bits of microseconds long: 18 minutes.
const SPAN_BITS: u32 = 30;
/// A span has 2⁶ of the level below.
const LEVEL_BITS: u32 = 6;
const LEVEL_MAX: u32 = 2;
/// Spans that are read to divide a range, at most.
const SPANS_READ_MAX: i64 = 8_192;

/// What came and what went, by level and span.
pub(crate) type SpanChanges = BTreeMap<(u32, i64), (Summary, Summary)>;

/// The bits of a moment that are within a span of a level.
fn bits(level: u32) -> u32 {
    SPAN_BITS + LEVEL_BITS * level
}

/// The first element of a span.
fn begin_of(level: u32, span: i64) -> Element {
    // A span behind the last one begins at the end of time.
    let time = span.checked_mul(1 << bits(level)).unwrap_or(i64::MAX);
    Element::at(time)
}

/// The spans of a level that a range has whole: from one to before another.
fn whole_spans(level: u32, range: Range) -> Option<(i64, i64)> {
    let bits = bits(level);
    let is_begin = begin_of(level, range.start.time >> bits) == range.start;
    let first = (range.start.time >> bits) + i64::from(!is_begin);
    let last = range.end.time >> bits;
    (first < last).then_some((first, last))
}

impl State<'_> {
    pub(crate) fn element_added(&self, element: Element) {
        self.change_spans(element, |(came, _)| came);
    }

    pub(crate) fn element_removed(&self, element: Element) {
        self.change_spans(element, |(_, went)| went);
    }

    fn change_spans(
        &self,
        element: Element,
        which: impl Fn(&mut (Summary, Summary)) -> &mut Summary,
    ) {
        let Some(memory) = self.memory() else { return };
        let mut memory = memory.borrow_mut();
        let one = Summary::of(element);
        for level in 0..=LEVEL_MAX {
            let span = (level, element.time >> bits(level));
            let sum = which(memory.elements.entry(span).or_default());
            *sum = sum.plus(one);
        }
    }

    /// Writes what changed; part of every transaction.
    pub(crate) fn keep_spans(&self, changes: SpanChanges) -> Result<(), Error> {
        for ((level, span), (came, went)) in changes {
            let before = self.one(
                "SELECT count, sum FROM time_sums WHERE level = ?1 AND span = ?2",
                (level, span),
                summary,
            )?;
            let after = before.unwrap_or_default().plus(came).minus(went);
            if after == Summary::default() {
                self.run(
                    "DELETE FROM time_sums WHERE level = ?1 AND span = ?2",
                    (level, span),
                )?;
                continue;
            }
            self.run(
                "INSERT INTO time_sums (level, span, count, sum) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (level, span) DO UPDATE SET count = ?3, sum = ?4",
                (level, span, after.count as i64, after.to_bytes()),
            )?;
        }
        Ok(())
    }

    /// Of whole spans of a level, from one to before another.
    fn spans(&self, level: u32, (first, last): (i64, i64)) -> Result<Summary, Error> {
        if level < LEVEL_MAX {
            let begin = (first >> LEVEL_BITS) + i64::from(first & ((1 << LEVEL_BITS) - 1) != 0);
            let end = last >> LEVEL_BITS;
            if begin < end {
                let before = self.rows(level, (first, begin << LEVEL_BITS))?;
                let within = self.spans(level + 1, (begin, end))?;
                let behind = self.rows(level, (end << LEVEL_BITS, last))?;
                return Ok(before.plus(within).plus(behind));
            }
        }
        self.rows(level, (first, last))
    }

    fn rows(&self, level: u32, (first, last): (i64, i64)) -> Result<Summary, Error> {
        if first >= last {
            return Ok(Summary::default());
        }
        let rows = self.all(
            "SELECT count, sum FROM time_sums WHERE level = ?1 AND span >= ?2 AND span < ?3",
            (level, first, last),
            summary,
        )?;
        Ok(rows.into_iter().fold(Summary::default(), Summary::plus))
    }

    fn read_along(&self, range: Range) -> Result<Summary, Error> {
        let mut sum = Summary::default();
        if range.start < range.end {
            self.each(range, &mut |element| {
                sum = sum.plus(Summary::of(element));
                ControlFlow::Continue(())
            })?;
        }
        Ok(sum)
    }

    /// The spans of a range, of the finest level that has not too many, and what
    /// lies before and behind them.
    fn blocks(&self, range: Range) -> Result<Vec<Part>, Error> {
        for level in 0..=LEVEL_MAX {
            let Some((first, last)) = whole_spans(level, range) else {
                continue;
            };
            if level < LEVEL_MAX && self.is_crowded(level, (first, last))? {
                continue;
            }
            let rows = self.all(
                "SELECT count, sum, span FROM time_sums WHERE level = ?1 AND span >= ?2 AND span < ?3
                 ORDER BY span",
                (level, first, last),
                |row| Ok((summary(row)?, row.get::<_, i64>(2)?)),
            )?;
            let (begin, end) = (begin_of(level, first), begin_of(level, last));
            let mut blocks = vec![Part {
                end: begin,
                summary: self.summary(Range {
                    end: begin,
                    ..range
                })?,
            }];
            blocks.extend(rows.into_iter().map(|(summary, span)| Part {
                end: begin_of(level, span + 1),
                summary,
            }));
            blocks.push(Part {
                end: range.end,
                summary: self.summary(Range {
                    start: end,
                    ..range
                })?,
            });
            return Ok(blocks);
        }
        Ok(Vec::new())
    }

    fn is_crowded(&self, level: u32, (first, last): (i64, i64)) -> Result<bool, Error> {
        let beyond = self.one(
            "SELECT 1 FROM time_sums WHERE level = ?1 AND span >= ?2 AND span < ?3 LIMIT 1 OFFSET ?4",
            (level, first, last, SPANS_READ_MAX),
            |_| Ok(()),
        )?;
        Ok(beyond.is_some())
    }

    /// Parts of a range whose elements are read one by one.
    fn cut(&self, range: Range, count: u64) -> Result<Vec<Part>, Error> {
        let most = count.div_ceil(PARTS as u64).max(1);
        let mut parts: Vec<Part> = Vec::new();
        self.each(range, &mut |element| {
            match parts.last_mut() {
                Some(part) if part.summary.count < most => {
                    part.summary = part.summary.plus(Summary::of(element));
                }
                before => {
                    if let Some(before) = before {
                        before.end = element;
                    }
                    parts.push(Part {
                        end: range.end,
                        summary: Summary::of(element),
                    });
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(parts)
    }
}

impl Set for State<'_> {
    type Error = Error;

    fn summary(&self, range: Range) -> Result<Summary, Error> {
        let Some(spans) = whole_spans(0, range) else {
            return self.read_along(range);
        };
        let (begin, end) = (begin_of(0, spans.0), begin_of(0, spans.1));
        let before = self.read_along(Range {
            end: begin,
            ..range
        })?;
        let behind = self.read_along(Range {
            start: end,
            ..range
        })?;
        Ok(before.plus(self.spans(0, spans)?).plus(behind))
    }

    fn divide(&self, range: Range) -> Result<Vec<Part>, Error> {
        let count = self.summary(range)?.count;
        if count == 0 {
            return Ok(Vec::new());
        }
        let most = count.div_ceil(PARTS as u64);
        let mut parts: Vec<Part> = Vec::new();
        for block in self.blocks(range)? {
            match parts.last_mut() {
                Some(part) if part.summary.count + block.summary.count <= most => {
                    part.summary = part.summary.plus(block.summary);
                    part.end = block.end;
                }
                _ => parts.push(block),
            }
        }
        // Two parts together have more than `most`, so there are at most twice as
        // many as wanted.
        while parts.len() > PARTS {
            parts = parts.chunks(2).map(joined).collect();
        }
        match parts.iter().filter(|part| part.summary.count > 0).count() {
            0 | 1 => self.cut(range, count),
            _ => Ok(parts),
        }
    }

    fn each(
        &self,
        range: Range,
        show: &mut dyn FnMut(Element) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let sql = "SELECT time, prefix FROM messages INDEXED BY messages_time
             WHERE time >= ?1 AND time <= ?3 AND (time, prefix) >= (?1, ?2) AND (time, prefix) < (?3, ?4)
             ORDER BY time, prefix";
        let mut statement = self.connection().prepare_cached(sql)?;
        let (start, end) = (range.start, range.end);
        let mut rows = statement.query([start.time, start.prefix, end.time, end.prefix])?;
        let mut last = None;
        while let Some(row) = rows.next()? {
            let element = Element {
                time: row.get(0)?,
                prefix: row.get(1)?,
            };
            if last.replace(element) != Some(element) && show(element).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn joined(parts: &[Part]) -> Part {
    let sums = parts.iter().map(|part| part.summary);
    Part {
        end: parts.last().map_or(Element::END, |part| part.end),
        summary: sums.fold(Summary::default(), Summary::plus),
    }
}

fn summary(row: &Row<'_>) -> rusqlite::Result<Summary> {
    let (count, sum): (i64, [u8; 32]) = (row.get(0)?, row.get(1)?);
    Ok(Summary::from_bytes(count as u64, &sum))
}
