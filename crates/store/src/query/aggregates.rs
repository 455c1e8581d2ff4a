//! Aggregates of an owner, and the list of all of them (core-api.md §6).

use beth_protocol::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};
use serde_json::Map;

use super::plan::{Conditions, text};
use super::{Order, Page, Window};
use crate::error::Error;
use crate::state::{State, object};

/// An aggregate: the merged revisions of one key of one owner.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAggregate {
    /// Owner.
    pub owner: String,
    /// Key.
    pub key: String,
    /// Merged content.
    pub content: Map<String, serde_json::Value>,
    /// Time of the first revision.
    pub created: Timestamp,
    /// Time of the last revision.
    pub last_updated: Timestamp,
    /// Message of the first revision.
    pub first_hash: String,
    /// Message of the last revision.
    pub last_hash: String,
}

/// What to list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AggregateFilter {
    /// Owners.
    pub owners: Option<Vec<String>>,
    /// Keys.
    pub keys: Option<Vec<String>>,
    /// Which of the two times the list is sorted by.
    pub sort: AggregateSort,
    /// Direction; ties by key, then owner.
    pub order: Order,
}

/// What aggregates are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum AggregateSort {
    #[default]
    LastUpdated,
    Created,
}

/// A place in the list of aggregates.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct AggregatePlace {
    pub time: Timestamp,
    pub key: String,
    pub owner: String,
}

const COLUMNS: &str = "owner, key, content, created, last_updated, first_hash, last_revision";

impl State<'_> {
    /// Aggregates of one owner by key; `keys` chooses some of them.
    pub fn aggregates_of(
        &self,
        owner: &str,
        keys: Option<&Vec<String>>,
    ) -> Result<Vec<StoredAggregate>, Error> {
        let mut conditions = Conditions::default();
        conditions.add("owner = ?", [text(owner)]);
        conditions.optional("key", keys);
        let sql = format!(
            "SELECT {COLUMNS} FROM aggregates WHERE {} ORDER BY key",
            conditions.sql()
        );
        let rows = self.all(&sql, params_from_iter(conditions.params()), |row| {
            Ok(aggregate(row))
        })?;
        rows.into_iter().collect()
    }

    /// A part of the list of all aggregates.
    pub fn aggregates(
        &self,
        filter: &AggregateFilter,
        window: &Window<AggregatePlace>,
    ) -> Result<Page<StoredAggregate, AggregatePlace>, Error> {
        let time = match filter.sort {
            AggregateSort::LastUpdated => "last_updated",
            AggregateSort::Created => "created",
        };
        let mut conditions = Conditions::default();
        conditions.optional("owner", filter.owners.as_ref());
        conditions.optional("key", filter.keys.as_ref());
        let count = format!("SELECT count(*) FROM aggregates WHERE {}", conditions.sql());
        let count_params = conditions.params();
        if let Some(place) = window.key() {
            let at: Value = place.time.micros().into();
            let later = filter.order.later();
            conditions.add(
                format!("{time} {later}= ? AND ({time} {later} ? OR (key, owner) > (?, ?))"),
                [at.clone(), at, text(&place.key), text(&place.owner)],
            );
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM aggregates WHERE {} ORDER BY {time} {}, key, owner LIMIT ? OFFSET ?",
            conditions.sql(),
            filter.order.sql(),
        );
        let rows = self.all(&sql, params_from_iter(conditions.windowed(window)), |row| {
            Ok(aggregate(row))
        })?;
        window.page(
            rows.into_iter().collect::<Result<Vec<_>, Error>>()?,
            |row| AggregatePlace {
                time: if filter.sort == AggregateSort::Created {
                    row.created
                } else {
                    row.last_updated
                },
                key: row.key.clone(),
                owner: row.owner.clone(),
            },
            || {
                Ok(self
                    .one(&count, params_from_iter(count_params), |row| {
                        row.get::<_, i64>(0)
                    })?
                    .unwrap_or(0) as u64)
            },
        )
    }
}

fn aggregate(row: &Row<'_>) -> Result<StoredAggregate, Error> {
    Ok(StoredAggregate {
        owner: row.get(0)?,
        key: row.get(1)?,
        content: object(&row.get::<_, String>(2)?)?,
        created: Timestamp::from_micros(row.get(3)?),
        last_updated: Timestamp::from_micros(row.get(4)?),
        first_hash: row.get(5)?,
        last_hash: row.get(6)?,
    })
}
