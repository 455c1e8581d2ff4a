//! The list of messages (core-api.md §3.1, §3.3) and single messages.

use beth_protocol::Status;
use beth_protocol::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use super::plan::{Conditions, SCANS_MAX, distinct, list, text};
use super::{Order, Page, Place, Span, Window};
use crate::error::Error;
use crate::rows::StoredMessage;
use crate::state::{ENVELOPE, State, envelope, json, status_of};

/// What to list. `None` does not filter; several values of one list are
/// alternatives, several lists must all match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessageFilter {
    /// `type`.
    pub types: Option<Vec<String>>,
    /// `processed` and `removing` are the ones listed; others match nothing.
    pub statuses: Option<Vec<Status>>,
    /// `sender`.
    pub senders: Option<Vec<String>>,
    /// `content.address`.
    pub owners: Option<Vec<String>>,
    /// `content.ref`.
    pub refs: Option<Vec<String>>,
    /// `content.item_hash` of STORE messages.
    pub content_hashes: Option<Vec<String>>,
    /// `content.key` of AGGREGATE messages.
    pub content_keys: Option<Vec<String>>,
    /// `content.type`.
    pub content_types: Option<Vec<String>>,
    /// `chain`.
    pub chains: Option<Vec<String>>,
    /// `channel`.
    pub channels: Option<Vec<String>>,
    /// Any of these tags.
    pub tags: Option<Vec<String>>,
    /// `item_hash`.
    pub hashes: Option<Vec<String>>,
    /// `content.payment.type`, only where it is written.
    pub payment_types: Option<Vec<String>>,
    /// Envelope time.
    pub span: Span,
    /// By envelope time.
    pub order: Order,
}

impl State<'_> {
    /// A part of the list of messages.
    pub fn messages(
        &self,
        filter: &MessageFilter,
        window: &Window<Place>,
    ) -> Result<Page<StoredMessage, Place>, Error> {
        if filter.matches_nothing() {
            return Ok(Page {
                rows: Vec::new(),
                total: 0,
                next: None,
            });
        }
        let ids = self.message_ids(filter, window)?;
        let rows = ids
            .into_iter()
            .map(|id| self.message_by_id(id))
            .collect::<Result<Vec<_>, Error>>()?;
        window.page(
            rows,
            |row| Place {
                time: row.message.time,
                hash: row.message.item_hash.to_string(),
            },
            || self.count_messages(filter),
        )
    }

    /// Hashes of the messages with this status, by reception time.
    pub fn message_hashes(
        &self,
        status: Option<Status>,
        span: Span,
        order: Order,
        window: &Window<Place>,
    ) -> Result<Page<(String, Status, Timestamp), Place>, Error> {
        let mut conditions = Conditions::default();
        if let Some(status) = status {
            conditions.add("status = ?", [text(status.as_str())]);
        }
        conditions.within("reception_time", span);
        let count = format!(
            "SELECT count(*) FROM messages INDEXED BY messages_reception WHERE {}",
            conditions.sql()
        );
        let count_params = conditions.params();
        conditions.after("reception_time", "item_hash", order, window.key());
        let sql = format!(
            "SELECT item_hash, status, reception_time FROM messages INDEXED BY messages_reception WHERE {}
             ORDER BY reception_time {}, item_hash LIMIT ? OFFSET ?",
            conditions.sql(),
            order.sql(),
        );
        let rows = self.all(&sql, params_from_iter(conditions.windowed(window)), |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                Timestamp::from_micros(row.get(2)?),
            ))
        })?;
        let rows = rows
            .into_iter()
            .map(|(hash, status, at)| Ok((hash, status_of(&status)?, at)))
            .collect::<Result<Vec<_>, Error>>()?;
        window.page(
            rows,
            |row| Place {
                time: row.2,
                hash: row.0.clone(),
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

    /// One processed or removing message.
    pub fn stored_message(&self, item_hash: &str) -> Result<Option<StoredMessage>, Error> {
        let sql = format!("SELECT {ENVELOPE}, {MORE} FROM messages WHERE item_hash = ?1");
        self.one(&sql, [item_hash], |row| Ok(stored(row)))?
            .transpose()
    }

    fn message_by_id(&self, id: i64) -> Result<StoredMessage, Error> {
        let sql = format!("SELECT {ENVELOPE}, {MORE} FROM messages WHERE id = ?1");
        self.one(&sql, [id], |row| Ok(stored(row)))?
            .unwrap_or_else(|| {
                Err(Error::Damaged(format!(
                    "an index names message {id}, which is not there"
                )))
            })
    }

    fn message_ids(
        &self,
        filter: &MessageFilter,
        window: &Window<Place>,
    ) -> Result<Vec<i64>, Error> {
        let (limit, offset) = window.limit_offset();
        let order = format!("ORDER BY time {}, item_hash", filter.order.sql());
        let scans = filter.scans();
        let (sql, params) = if let [driver] = scans.as_slice() {
            let conditions = filter.conditions(driver, window.key());
            let sql = format!(
                "SELECT id FROM messages {} WHERE {} {order} LIMIT ? OFFSET ?",
                driver.index(),
                conditions.sql()
            );
            (sql, conditions.windowed(window))
        } else {
            // Every scan is cut where the page must end, then they are merged.
            let depth = if limit < 0 {
                -1
            } else {
                limit.saturating_add(offset)
            };
            let mut parts = Vec::new();
            let mut params = Vec::new();
            for driver in &scans {
                let conditions = filter.conditions(driver, window.key());
                parts.push(format!(
                    "SELECT * FROM (SELECT id, time, item_hash FROM messages {} WHERE {} {order} LIMIT ?)",
                    driver.index(),
                    conditions.sql()
                ));
                params.extend(conditions.params());
                params.push(Value::Integer(depth));
            }
            params.extend([Value::Integer(limit), Value::Integer(offset)]);
            (
                format!(
                    "SELECT id FROM ({}) {order} LIMIT ? OFFSET ?",
                    parts.join(" UNION ALL ")
                ),
                params,
            )
        };
        self.all(&sql, params_from_iter(params), |row| row.get(0))
    }

    fn count_messages(&self, filter: &MessageFilter) -> Result<u64, Error> {
        let mut total = 0;
        for driver in filter.scans() {
            let conditions = filter.conditions(&driver, None);
            let sql = format!(
                "SELECT count(*) FROM messages {} WHERE {}",
                driver.index(),
                conditions.sql()
            );
            let count: Option<i64> =
                self.one(&sql, params_from_iter(conditions.params()), |row| {
                    row.get(0)
                })?;
            total += count.unwrap_or(0) as u64;
        }
        Ok(total)
    }
}

/// The columns after [`ENVELOPE`].
const MORE: &str = "content, size, status, reception_time";

fn stored(row: &Row<'_>) -> Result<StoredMessage, Error> {
    Ok(StoredMessage {
        message: envelope(row)?,
        content: json(&row.get::<_, String>(9)?)?,
        size: row.get::<_, i64>(10)?.max(0) as u64,
        status: status_of(&row.get::<_, String>(11)?)?,
        reception_time: Timestamp::from_micros(row.get(12)?),
    })
}

/// What a scan walks along.
#[derive(Clone, Debug, PartialEq)]
struct Driver {
    column: Column,
    /// One value, or (for a list longer than [`SCANS_MAX`]) all of them.
    values: Vec<String>,
}

/// The columns with an index, in the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Hash,
    Ref,
    File,
    Tag,
    Sender,
    Owner,
    ContentType,
    Key,
    Channel,
    Type,
    Time,
}

impl Column {
    const PREFERENCE: [Column; 10] = [
        Column::Hash,
        Column::Ref,
        Column::File,
        Column::Tag,
        Column::Sender,
        Column::Owner,
        Column::ContentType,
        Column::Key,
        Column::Channel,
        Column::Type,
    ];

    fn name(self) -> &'static str {
        match self {
            Column::Hash => "item_hash",
            Column::Ref => "content_ref",
            Column::File => "content_hash",
            Column::Sender => "sender",
            Column::Owner => "owner",
            Column::ContentType => "content_type",
            Column::Key => "content_key",
            Column::Channel => "channel",
            Column::Type => "type",
            Column::Tag | Column::Time => "id",
        }
    }

    fn values(self, filter: &MessageFilter) -> Option<&Vec<String>> {
        match self {
            Column::Hash => filter.hashes.as_ref(),
            Column::Ref => filter.refs.as_ref(),
            Column::File => filter.content_hashes.as_ref(),
            Column::Tag => filter.tags.as_ref(),
            Column::Sender => filter.senders.as_ref(),
            Column::Owner => filter.owners.as_ref(),
            Column::ContentType => filter.content_types.as_ref(),
            Column::Key => filter.content_keys.as_ref(),
            Column::Channel => filter.channels.as_ref(),
            Column::Type => filter.types.as_ref(),
            Column::Time => None,
        }
    }
}

impl Driver {
    /// The index to walk, as it follows the name of the table.
    fn index(&self) -> &'static str {
        match self.column {
            Column::Hash => "INDEXED BY sqlite_autoindex_messages_1",
            Column::Ref => "INDEXED BY messages_ref",
            Column::File => "INDEXED BY messages_content_hash",
            Column::Sender => "INDEXED BY messages_sender",
            Column::Owner => "INDEXED BY messages_owner",
            Column::ContentType => "INDEXED BY messages_content_type",
            Column::Key => "INDEXED BY messages_key",
            Column::Channel => "INDEXED BY messages_channel",
            Column::Type => "INDEXED BY messages_type",
            Column::Time => "INDEXED BY messages_time",
            // Tags lead to rows by their id.
            Column::Tag => "NOT INDEXED",
        }
    }
}

impl MessageFilter {
    /// True when no message in the table can match.
    fn matches_nothing(&self) -> bool {
        let lists = Column::PREFERENCE
            .iter()
            .filter_map(|column| column.values(self));
        let others = [&self.chains, &self.payment_types].into_iter().flatten();
        lists.chain(others).any(Vec::is_empty)
            || self
                .listed_statuses()
                .is_some_and(|listed| listed.is_empty())
    }

    /// The wanted ones of the two statuses that the table holds; `None` = both.
    fn listed_statuses(&self) -> Option<Vec<String>> {
        let wanted = self.statuses.as_ref()?;
        let held = [Status::Processed, Status::Removing]
            .into_iter()
            .filter(|status| wanted.contains(status));
        let held: Vec<String> = held.map(|status| status.as_str().to_owned()).collect();
        (held.len() < 2).then_some(held)
    }

    fn scans(&self) -> Vec<Driver> {
        let chosen = Column::PREFERENCE
            .into_iter()
            .find_map(|column| Some((column, column.values(self)?)));
        let Some((column, values)) = chosen else {
            return vec![Driver {
                column: Column::Time,
                values: Vec::new(),
            }];
        };
        let values = distinct(values);
        // A message has several tags but one of everything else; and scattered
        // hashes are looked up, not scanned.
        let together = matches!(column, Column::Hash | Column::Tag) || values.len() > SCANS_MAX;
        if together {
            return vec![Driver { column, values }];
        }
        values
            .into_iter()
            .map(|value| Driver {
                column,
                values: vec![value],
            })
            .collect()
    }

    fn conditions(&self, driver: &Driver, after: Option<&Place>) -> Conditions {
        let mut conditions = Conditions::default();
        match driver.column {
            Column::Time => {}
            Column::Tag => conditions.add(
                "id IN (SELECT message_id FROM message_tags WHERE tag IN (SELECT value FROM json_each(?)))",
                [list(&driver.values)],
            ),
            column => conditions.one_of(column.name(), &driver.values),
        }
        for column in Column::PREFERENCE {
            match column.values(self) {
                Some(values) if column != driver.column => match column {
                    Column::Tag => conditions.add(
                        "EXISTS (SELECT 1 FROM message_tags WHERE tag IN (SELECT value FROM json_each(?))
                         AND message_id = messages.id)",
                        [list(values)],
                    ),
                    _ => conditions.one_of(column.name(), values),
                },
                _ => {}
            }
        }
        conditions.optional("chain", self.chains.as_ref());
        conditions.optional("payment_type", self.payment_types.as_ref());
        conditions.optional("status", self.listed_statuses().as_ref());
        conditions.within("time", self.span);
        conditions.after("time", "item_hash", self.order, after);
        conditions
    }
}
