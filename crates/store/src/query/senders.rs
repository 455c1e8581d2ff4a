//! What addresses signed, counted (core-api.md §7.1, §7.2).

use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use super::plan::{Conditions, list, text};
use super::{Order, Page, Window};
use crate::error::Error;
use crate::state::State;

/// Processed messages of one sender by type; types without a member count in
/// `messages` alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SenderCounts {
    pub address: String,
    pub messages: u64,
    pub aggregate: u64,
    pub forget: u64,
    pub instance: u64,
    pub post: u64,
    pub program: u64,
    pub store: u64,
}

/// What senders are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SenderSort {
    Aggregate,
    Forget,
    Instance,
    Post,
    Program,
    Store,
    #[default]
    Total,
}

/// Which senders, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderFilter {
    /// A part of the address, in any case.
    pub contains: Option<String>,
    /// The count that orders the list.
    pub sort: SenderSort,
    /// Direction; ties by address, ascending.
    pub order: Order,
}

/// A place in the list of senders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderPlace {
    /// The count that the list is sorted by.
    pub count: u64,
    /// Tie-break.
    pub address: String,
}

const COLUMNS: &str = "address, messages, aggregate, forget, instance, post, program, store";

impl SenderSort {
    fn column(self) -> &'static str {
        match self {
            SenderSort::Aggregate => "aggregate",
            SenderSort::Forget => "forget",
            SenderSort::Instance => "instance",
            SenderSort::Post => "post",
            SenderSort::Program => "program",
            SenderSort::Store => "store",
            SenderSort::Total => "messages",
        }
    }

    fn of(self, counts: &SenderCounts) -> u64 {
        match self {
            SenderSort::Aggregate => counts.aggregate,
            SenderSort::Forget => counts.forget,
            SenderSort::Instance => counts.instance,
            SenderSort::Post => counts.post,
            SenderSort::Program => counts.program,
            SenderSort::Store => counts.store,
            SenderSort::Total => counts.messages,
        }
    }
}

impl State<'_> {
    /// Counts of all senders or of some, addresses descending.
    pub fn count_by_sender(&self, senders: Option<&[String]>) -> Result<Vec<SenderCounts>, Error> {
        let condition = match senders {
            Some(_) => {
                "id IN (SELECT id FROM names WHERE text IN (SELECT value FROM json_each(?1)))"
            }
            None => "?1 IS NULL",
        };
        let sql = format!("SELECT {COLUMNS} FROM senders WHERE {condition} ORDER BY address DESC");
        self.all(&sql, [senders.map(list)], counts)
    }

    /// A part of the list of all senders. It reads one short row a sender,
    /// whatever they sent.
    pub fn senders(
        &self,
        filter: &SenderFilter,
        window: &Window<SenderPlace>,
    ) -> Result<Page<SenderCounts, SenderPlace>, Error> {
        let column = filter.sort.column();
        let mut conditions = Conditions::default();
        if let Some(part) = &filter.contains {
            conditions.add("instr(lower(address), lower(?)) > 0", [text(part)]);
        }
        let total = format!("SELECT count(*) FROM senders WHERE {}", conditions.sql());
        let total_params = conditions.params();
        if let Some(place) = window.key() {
            let count: Value = i64::try_from(place.count).unwrap_or(i64::MAX).into();
            let later = filter.order.later();
            conditions.add(
                format!("({column} {later} ? OR ({column} = ? AND address > ?))"),
                [count.clone(), count, text(&place.address)],
            );
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM senders WHERE {} ORDER BY {column} {}, address LIMIT ? OFFSET ?",
            conditions.sql(),
            filter.order.sql(),
        );
        let rows = self.all(&sql, params_from_iter(conditions.windowed(window)), counts)?;
        let place = |row: &SenderCounts| SenderPlace {
            count: filter.sort.of(row),
            address: row.address.clone(),
        };
        window.page(rows, place, || self.number(&total, total_params))
    }
}

fn counts(row: &Row<'_>) -> rusqlite::Result<SenderCounts> {
    let count = |index| Ok::<_, rusqlite::Error>(row.get::<_, i64>(index)?.max(0) as u64);
    Ok(SenderCounts {
        address: row.get(0)?,
        messages: count(1)?,
        aggregate: count(2)?,
        forget: count(3)?,
        instance: count(4)?,
        post: count(5)?,
        program: count(6)?,
        store: count(7)?,
    })
}
