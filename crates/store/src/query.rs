//! Pages of messages, posts, aggregates and files, and the small look-ups the
//! HTTP interface is made of (core-api.md §1.10, §3–§9).
//!
//! ```text
//! filter ─▶ ids of names ─▶ kept counts ─▶ the cheapest index ─▶ ids in order ─▶ rows
//! ```
//!
//! The index is chosen here and named in the statement, never guessed by the
//! engine: an index is in the order of the list and ends in what other filters
//! ask for, so a page is a range scan that stops when it is full and passes
//! what does not match without reading it. Lists travel as one JSON parameter,
//! so that the text of a statement depends on the shape of a filter and not on
//! its values, and prepared statements are found again.

pub mod accounts;
pub mod aggregates;
pub mod authorizations;
pub mod costs;
mod counts;
pub mod credits;
pub mod files;
pub mod forgotten;
pub mod history;
pub mod holders;
pub mod kept;
pub mod measurements;
pub mod messages;
mod plan;
pub mod posts;
pub mod removed;
pub mod senders;
pub mod totals;

pub(crate) use counts::Counts;

use std::ops::ControlFlow;

use beth_protocol::time::Timestamp;

use crate::error::Error;

/// Direction of the time a list is sorted by. Ties are always broken by the
/// ascending hash (or key and owner).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Order {
    #[default]
    Descending,
    Ascending,
}

/// A range of times: `start` belongs to it, `end` does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Span {
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
}

/// Which part of a list is asked for. `K` is a place in its order.
#[derive(Clone, Debug, PartialEq)]
pub enum Window<K> {
    /// Page `number` (from 1) of `size` rows; a size of 0 means everything.
    Page {
        /// From 1.
        number: u64,
        /// Rows, 0 for all.
        size: u64,
    },
    /// The `size` rows after a place, or from the beginning.
    After {
        /// The last row already seen.
        key: Option<K>,
        /// Rows, at least 1.
        size: u64,
    },
}

/// The place of a message, post or file in its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Time the list is sorted by.
    pub time: Timestamp,
    /// Tie-break.
    pub hash: String,
}

/// A part of a list to be shown row by row: some rows after a place, or from the
/// beginning; some of them are passed over. `M` is an exact place in its order.
#[derive(Clone, Copy, Debug)]
pub struct Cut<M> {
    /// The last row already seen.
    pub after: Option<M>,
    /// Rows passed over.
    pub skip: u64,
    /// Most rows.
    pub rows: u64,
}

/// How far a [`Cut`] was shown.
#[derive(Clone, Copy, Debug)]
pub struct Reached<M> {
    /// Rows shown.
    pub rows: u64,
    /// The last of them; `None` = none.
    pub last: Option<M>,
    /// The list has no further rows.
    pub is_end: bool,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T, K> {
    /// Rows in order.
    pub rows: Vec<T>,
    /// Rows of the whole list; 0 when the window was [`Window::After`].
    pub total: u64,
    /// Where the next part begins; `None` at the end, and in page mode.
    pub next: Option<K>,
}

impl Order {
    fn sql(self) -> &'static str {
        match self {
            Order::Descending => "DESC",
            Order::Ascending => "ASC",
        }
    }

    /// The comparison that holds for what comes later in this order.
    fn later(self) -> &'static str {
        match self {
            Order::Descending => "<",
            Order::Ascending => ">",
        }
    }
}

impl<M> Cut<M> {
    /// One row more, to know whether there is one.
    fn and_one(self) -> Cut<M> {
        Cut {
            rows: self.rows.saturating_add(1),
            ..self
        }
    }

    /// Reads the rows of a cut by what was found of them (one more than it has,
    /// if there are more) and shows them until told to stop.
    fn show<F, T, E: From<Error>>(
        &self,
        found: &[F],
        read: impl Fn(&F) -> Result<(T, M), Error>,
        mut show: impl FnMut(T) -> Result<ControlFlow<()>, E>,
    ) -> Result<Reached<M>, E> {
        let (mut rows, mut last) = (0, None);
        for one in found {
            if rows == self.rows {
                break;
            }
            let (row, mark) = read(one)?;
            rows += 1;
            last = Some(mark);
            if show(row)?.is_break() {
                break;
            }
        }
        Ok(Reached {
            rows,
            last,
            is_end: rows == found.len() as u64,
        })
    }
}

impl<K> Window<K> {
    fn cut<M>(&self, mark: impl FnOnce(&K) -> Result<M, Error>) -> Result<Cut<M>, Error> {
        let (limit, offset) = self.limit_offset();
        Ok(Cut {
            after: self.key().map(mark).transpose()?,
            skip: offset.max(0) as u64,
            rows: u64::try_from(limit).unwrap_or(i64::MAX as u64),
        })
    }

    /// Rows to fetch (one more than the page when a next place is needed;
    /// -1 for all) and rows to skip.
    fn limit_offset(&self) -> (i64, i64) {
        let clamp = |count: u64| i64::try_from(count).unwrap_or(i64::MAX - 1);
        match self {
            Window::Page { size: 0, .. } => (-1, 0),
            Window::Page { number, size } => (
                clamp(*size),
                clamp(number.saturating_sub(1).saturating_mul(*size)),
            ),
            Window::After { size, .. } => (clamp(*size) + 1, 0),
        }
    }

    fn key(&self) -> Option<&K> {
        match self {
            Window::Page { .. } => None,
            Window::After { key, .. } => key.as_ref(),
        }
    }

    /// Makes the page of what [`limit_offset`](Self::limit_offset) fetched.
    /// `count` is asked only when the rows do not tell the total themselves.
    fn page<T, E>(
        &self,
        mut rows: Vec<T>,
        place: impl Fn(&T) -> K,
        count: impl FnOnce() -> Result<u64, E>,
    ) -> Result<Page<T, K>, E> {
        let found = rows.len() as u64;
        match *self {
            Window::Page { size: 0, .. } => Ok(Page {
                rows,
                total: found,
                next: None,
            }),
            Window::Page { number, size } => {
                let tells = found < size && (found > 0 || number <= 1);
                let total = if tells {
                    number.saturating_sub(1) * size + found
                } else {
                    count()?
                };
                Ok(Page {
                    rows,
                    total,
                    next: None,
                })
            }
            Window::After { size, .. } => {
                let more = found > size;
                rows.truncate(usize::try_from(size).unwrap_or(usize::MAX));
                let next = if more { rows.last().map(place) } else { None };
                Ok(Page {
                    rows,
                    total: 0,
                    next,
                })
            }
        }
    }
}
