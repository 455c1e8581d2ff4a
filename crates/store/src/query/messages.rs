//! The list of messages (core-api.md §3.1, §3.3) and single messages.

use beth_protocol::time::Timestamp;
use beth_protocol::{MessageType, Status};
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::plan::{Conditions, SCANS_MAX, distinct, list};
use super::{Order, Page, Place, Span, Window};
use crate::error::Error;
use crate::keys::{prefix, status_code, status_from, type_code};
use crate::rows::StoredMessage;
use crate::state::{STORED, State, stored};

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
            let code = status_code(status).unwrap_or(-1);
            conditions.coded("status", &[code]);
        }
        conditions.within("reception_time", span);
        let count = format!(
            "SELECT count(*) FROM messages INDEXED BY messages_reception WHERE {}",
            conditions.sql()
        );
        let count_params = conditions.params();
        conditions.after("reception_time", order, window.key());
        let sql = format!(
            "SELECT item_hash, status, reception_time FROM messages INDEXED BY messages_reception WHERE {}
             ORDER BY reception_time {}, prefix, id LIMIT ? OFFSET ?",
            conditions.sql(),
            order.sql(),
        );
        let rows = self.all(&sql, params_from_iter(conditions.windowed(window)), |row| {
            let at = Timestamp::from_micros(row.get(2)?);
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, at))
        })?;
        let rows = rows
            .into_iter()
            .map(|(hash, status, at)| Ok((hash, status_from(status)?, at)))
            .collect::<Result<Vec<_>, Error>>()?;
        window.page(
            rows,
            |row| Place {
                time: row.2,
                hash: row.0.clone(),
            },
            || self.number(&count, count_params),
        )
    }

    /// One processed or removing message.
    pub fn stored_message(&self, item_hash: &str) -> Result<Option<StoredMessage>, Error> {
        let sql = format!(
            "SELECT {STORED} FROM messages INDEXED BY messages_hash WHERE prefix = ?1 AND item_hash = ?2"
        );
        self.one(&sql, (prefix(item_hash), item_hash), |row| Ok(stored(row)))?
            .transpose()
    }

    pub(super) fn message_by_id(&self, id: i64) -> Result<StoredMessage, Error> {
        let sql = format!("SELECT {STORED} FROM messages WHERE id = ?1");
        self.one(&sql, [id], |row| Ok(stored(row)))?
            .unwrap_or_else(|| {
                Err(Error::Damaged(format!(
                    "an index names message {id}, which is not there"
                )))
            })
    }

    pub(super) fn number(&self, sql: &str, params: Vec<Value>) -> Result<u64, Error> {
        let count: Option<i64> = self.one(sql, params_from_iter(params), |row| row.get(0))?;
        Ok(count.unwrap_or(0).max(0) as u64)
    }

    fn message_ids(
        &self,
        filter: &MessageFilter,
        window: &Window<Place>,
    ) -> Result<Vec<i64>, Error> {
        let (limit, offset) = window.limit_offset();
        let order = format!("ORDER BY time {}, prefix, id", filter.order.sql());
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
                    "SELECT * FROM (SELECT id, time, prefix FROM messages {} WHERE {} {order} LIMIT ?)",
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
        if filter.is_counted() {
            return self.count_kept(filter);
        }
        let mut total = 0;
        for driver in filter.scans() {
            let conditions = filter.conditions(&driver, None);
            let sql = format!(
                "SELECT count(*) FROM messages {} WHERE {}",
                driver.index(),
                conditions.sql()
            );
            total += self.number(&sql, conditions.params())?;
        }
        Ok(total)
    }

    /// What the writer counts: messages by type and status.
    fn count_kept(&self, filter: &MessageFilter) -> Result<u64, Error> {
        let mut conditions = Conditions::default();
        if let Some(types) = filter.type_codes() {
            conditions.coded("type", &types);
        }
        if let Some(statuses) = filter.listed_statuses() {
            conditions.coded("status", &statuses);
        }
        let sql = format!(
            "SELECT coalesce(sum(count), 0) FROM counters WHERE {}",
            conditions.sql()
        );
        self.number(&sql, conditions.params())
    }
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
    /// Owners who did not sign themselves.
    OtherOwner,
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

    /// Adds the condition that the column is one of the values.
    fn limit(self, conditions: &mut Conditions, values: &[String]) {
        match self {
            Column::Hash => {
                conditions.hashed(values);
                conditions.one_of("item_hash", values);
            }
            Column::Ref => conditions.one_of("content_ref", values),
            Column::File => conditions.one_of("content_hash", values),
            Column::Sender => conditions.named("sender", values),
            Column::Owner | Column::OtherOwner => conditions.named("owner", values),
            Column::ContentType => conditions.named("content_type", values),
            Column::Key => conditions.named("content_key", values),
            Column::Channel => conditions.named("channel", values),
            Column::Type => conditions.coded("type", &codes_of(values)),
            Column::Tag => conditions.add(
                "EXISTS (SELECT 1 FROM message_tags WHERE tag IN (SELECT value FROM json_each(?))
                 AND message_id = messages.id)",
                [list(values)],
            ),
            Column::Time => {}
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
            Column::OtherOwner | Column::Time => None,
        }
    }
}

fn codes_of(types: &[String]) -> Vec<i64> {
    let known = types.iter().filter_map(|text| MessageType::parse(text));
    known.map(type_code).collect()
}

impl Driver {
    /// The index to walk, as it follows the name of the table.
    fn index(&self) -> &'static str {
        match self.column {
            Column::Hash => "INDEXED BY messages_hash",
            Column::Ref => "INDEXED BY messages_ref",
            Column::File => "INDEXED BY messages_content_hash",
            // Who signed himself is found as a sender.
            Column::Sender | Column::Owner => "INDEXED BY messages_sender",
            Column::OtherOwner => "INDEXED BY messages_owner",
            Column::ContentType => "INDEXED BY messages_content_type",
            Column::Key => "INDEXED BY messages_key",
            Column::Channel => "INDEXED BY messages_channel",
            Column::Type => "INDEXED BY messages_type",
            Column::Time => "INDEXED BY messages_time",
            // Tags lead to rows by their id.
            Column::Tag => "NOT INDEXED",
        }
    }

    /// What the walk needs beside the other conditions.
    fn limit(&self, conditions: &mut Conditions) {
        match self.column {
            Column::Tag => conditions.add(
                "id IN (SELECT message_id FROM message_tags WHERE tag IN (SELECT value FROM json_each(?)))",
                [list(&self.values)],
            ),
            Column::Owner => {
                conditions.named("sender", &self.values);
                conditions.add("owner = sender", []);
            }
            Column::OtherOwner => {
                conditions.named("owner", &self.values);
                conditions.add("owner <> sender", []);
            }
            Column::Type => {
                conditions.coded("type", &codes_of(&self.values));
                conditions.add("type > 1", []);
            }
            column => column.limit(conditions, &self.values),
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
    fn listed_statuses(&self) -> Option<Vec<i64>> {
        let wanted = self.statuses.as_ref()?;
        let mut held: Vec<i64> = wanted.iter().copied().filter_map(status_code).collect();
        held.sort_unstable();
        held.dedup();
        (held.len() < 2).then_some(held)
    }

    fn type_codes(&self) -> Option<Vec<i64>> {
        self.types.as_deref().map(codes_of)
    }

    /// True when only types and statuses are asked for: those are counted.
    fn is_counted(&self) -> bool {
        let rest = MessageFilter {
            types: None,
            statuses: None,
            order: self.order,
            ..self.clone()
        };
        rest == MessageFilter {
            order: self.order,
            ..MessageFilter::default()
        }
    }

    fn scans(&self) -> Vec<Driver> {
        let chosen = Column::PREFERENCE
            .into_iter()
            .find_map(|column| Some((column, column.values(self)?)))
            .filter(|(column, types)| {
                *column != Column::Type || codes_of(types).iter().all(|code| *code > 1)
            });
        let Some((column, values)) = chosen else {
            // Most messages are posts and aggregates: those are found by time.
            return vec![Driver {
                column: Column::Time,
                values: Vec::new(),
            }];
        };
        let values = distinct(values);
        // A message has several tags but one of everything else; and scattered
        // hashes are looked up, not scanned.
        let together = matches!(column, Column::Hash | Column::Tag) || values.len() > SCANS_MAX;
        let groups: Vec<Vec<String>> = if together {
            vec![values]
        } else {
            values.into_iter().map(|value| vec![value]).collect()
        };
        let mut scans = Vec::new();
        for values in groups {
            if column == Column::Owner {
                scans.push(Driver {
                    column: Column::OtherOwner,
                    values: values.clone(),
                });
            }
            scans.push(Driver { column, values });
        }
        scans
    }

    fn conditions(&self, driver: &Driver, after: Option<&Place>) -> Conditions {
        let mut conditions = Conditions::default();
        driver.limit(&mut conditions);
        let by_owner = matches!(driver.column, Column::Owner | Column::OtherOwner);
        for column in Column::PREFERENCE {
            let is_driver = column == driver.column || (by_owner && column == Column::Owner);
            if let Some(values) = column.values(self).filter(|_| !is_driver) {
                column.limit(&mut conditions, values);
            }
        }
        conditions.optional("chain", self.chains.as_ref());
        conditions.optional("payment_type", self.payment_types.as_ref());
        if let Some(statuses) = self.listed_statuses() {
            conditions.coded("status", &statuses);
        }
        conditions.within("time", self.span);
        conditions.after("time", self.order, after);
        conditions
    }
}
