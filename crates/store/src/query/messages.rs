//! The list of messages (core-api.md §3.1, §3.3) and single messages.
//!
//! ```text
//!  MessageFilter ─▶ Wanted (ids) ─▶ Walk (index) ─▶ ids in order ─▶ rows, one by one
//! ```

mod column;
mod count;
mod walk;
mod wanted;

use std::ops::ControlFlow;

use beth_protocol::reconcile::{Element, Range};
use beth_protocol::time::Timestamp;
use beth_protocol::{Message, MessageType, Status};
use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use super::plan::Conditions;
use super::{Cut, Order, Page, Place, Reached, Span, Window};
use crate::confirmations::Confirmation;
use crate::error::Error;
use crate::keys::{prefix, status_code, status_from, type_of};
use crate::rows::StoredMessage;
use crate::state::{STORED, State, stored};
pub use walk::Mark;
use wanted::Wanted;

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
    /// Height of the earliest confirmation.
    pub blocks: Blocks,
    /// What the list is sorted by.
    pub sort: MessageSort,
    /// Direction.
    pub order: Order,
}

/// What messages are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageSort {
    /// Envelope time.
    #[default]
    Time,
    /// Time of the earliest confirmation, unconfirmed messages as the newest,
    /// then envelope time.
    Confirmation,
}

/// A range of heights: `start` belongs to it and so does what is not confirmed;
/// `end` does not, nor what is not confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Blocks {
    pub start: Option<i64>,
    pub end: Option<i64>,
}

impl Blocks {
    /// True when there is a limit.
    pub fn is_limited(&self) -> bool {
        self.start.is_some() || self.end.is_some()
    }
}

/// A message as lists show it: the content is the stored text.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedMessage {
    /// `sender`.
    pub sender: String,
    /// `chain`.
    pub chain: String,
    /// `signature`.
    pub signature: Option<String>,
    /// `type`.
    pub message_type: MessageType,
    /// `item_type`.
    pub item_type: String,
    /// The content, JSON of an object: the text of an inline message.
    pub body: String,
    /// `item_hash`.
    pub item_hash: String,
    /// `time`.
    pub time: Timestamp,
    /// `channel`.
    pub channel: Option<String>,
    /// Characters of inline content, bytes otherwise.
    pub size: u64,
    /// The first one first.
    pub confirmations: Vec<Confirmation>,
}

impl State<'_> {
    /// A part of the list of messages.
    pub fn messages(
        &self,
        filter: &MessageFilter,
        window: &Window<Place>,
    ) -> Result<Page<StoredMessage, Place>, Error> {
        let cut = window.cut(|place| self.mark_of(place))?;
        let rows = self.message_ids(filter, &cut)?;
        let rows = rows.into_iter().map(|id| self.message_by_id(id));
        window.page(
            rows.collect::<Result<Vec<_>, Error>>()?,
            |row| Place {
                time: row.message.time,
                hash: row.message.item_hash.to_string(),
            },
            || self.count_messages(filter),
        )
    }

    /// Shows messages of a list one by one, until the end of the cut or until
    /// told to stop.
    pub fn each_message<E: From<Error>>(
        &self,
        filter: &MessageFilter,
        cut: &Cut<Mark>,
        show: impl FnMut(ListedMessage) -> Result<ControlFlow<()>, E>,
    ) -> Result<Reached<Mark>, E> {
        let ids = self.message_ids(filter, &cut.and_one())?;
        cut.show(&ids, |id| self.listed_by_id(*id), show)
    }

    /// Where a place is in this node.
    pub fn mark_of(&self, place: &Place) -> Result<Mark, Error> {
        let known = "SELECT id, confirmed FROM messages INDEXED BY messages_hash
             WHERE prefix = ?1 AND item_hash = ?2";
        let prefix = prefix(&place.hash);
        let found = self.one(known, (prefix, &place.hash), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        // Whoever is gone came before all that begin alike.
        let (id, confirmed) = found.unwrap_or((i64::MAX, i64::MAX));
        Ok(Mark {
            confirmed,
            time: place.time.micros(),
            prefix,
            id,
        })
    }

    fn message_ids(&self, filter: &MessageFilter, cut: &Cut<Mark>) -> Result<Vec<i64>, Error> {
        let Some(wanted) = Wanted::of(self, filter)? else {
            return Ok(Vec::new());
        };
        let sizes = self.sizes(&wanted)?;
        if sizes.is_none() {
            return Ok(Vec::new());
        }
        let need = cut.rows.saturating_add(cut.skip) as f64;
        let (sql, params) = wanted.ids(&wanted.walks_to(need, &sizes), cut);
        self.all(&sql, params_from_iter(params), |row| row.get(0))
    }

    pub(super) fn listed_by_id(&self, id: i64) -> Result<(ListedMessage, Mark), Error> {
        let found = self.one(LISTED, [id], |row| Ok(listed(row, id)))?;
        let (mut row, mark, (sender, channel)) = found.unwrap_or_else(|| Err(missing(id)))?;
        row.sender = self.text_of(sender)?;
        row.channel = channel.map(|channel| self.text_of(channel)).transpose()?;
        if mark.confirmed != i64::MAX {
            row.confirmations = self.confirmations_of(&row.item_hash)?;
        }
        Ok((row, mark))
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

    /// Messages in force of a range of places, as they were signed; the first
    /// ones, in order.
    pub fn messages_between(
        &self,
        range: Range,
        rows_max: usize,
    ) -> Result<Vec<(Element, Message)>, Error> {
        let sql = format!(
            "SELECT {STORED}, prefix FROM messages INDEXED BY messages_time
             WHERE time >= ?1 AND time <= ?3 AND (time, prefix) >= (?1, ?2) AND (time, prefix) < (?3, ?4)
             ORDER BY time, prefix LIMIT ?5"
        );
        let (start, end) = (range.start, range.end);
        let params = [
            start.time,
            start.prefix,
            end.time,
            end.prefix,
            rows_max as i64,
        ];
        let rows = self.all(&sql, params, |row| Ok((stored(row), row.get(12)?)))?;
        rows.into_iter()
            .map(|(stored, prefix)| {
                let message = stored?.message;
                let time = message.time.micros();
                Ok((Element { time, prefix }, message))
            })
            .collect()
    }

    pub(super) fn message_by_id(&self, id: i64) -> Result<StoredMessage, Error> {
        let sql = format!("SELECT {STORED} FROM messages WHERE id = ?1");
        self.one(&sql, [id], |row| Ok(stored(row)))?
            .unwrap_or_else(|| Err(missing(id)))
    }

    pub(crate) fn number(&self, sql: &str, params: Vec<Value>) -> Result<u64, Error> {
        let count: Option<i64> = self.one(sql, params_from_iter(params), |row| row.get(0))?;
        Ok(count.unwrap_or(0).max(0) as u64)
    }
}

const LISTED: &str =
    "SELECT sender, chain, signature, type, item_type, body, item_hash, time, channel, size, confirmed, prefix
     FROM messages WHERE id = ?1";

/// Numbers of the names of a sender and of a channel.
type Named = (i64, Option<i64>);

/// A row of [`LISTED`], and the names of its sender and channel.
fn listed(row: &Row<'_>, id: i64) -> Result<(ListedMessage, Mark, Named), Error> {
    let time: i64 = row.get(7)?;
    let names = (row.get(0)?, row.get(8)?);
    let message = ListedMessage {
        sender: String::new(),
        chain: row.get(1)?,
        signature: row.get(2)?,
        message_type: type_of(row.get(3)?)?,
        item_type: row.get(4)?,
        body: row.get(5)?,
        item_hash: row.get(6)?,
        time: Timestamp::from_micros(time),
        channel: None,
        size: row.get::<_, i64>(9)?.max(0) as u64,
        confirmations: Vec::new(),
    };
    let mark = Mark {
        confirmed: row.get(10)?,
        time,
        prefix: row.get(11)?,
        id,
    };
    Ok((message, mark, names))
}

fn missing(id: i64) -> Error {
    Error::Damaged(format!("an index names message {id}, which is not there"))
}
