//! The list of removed messages (core-api.md §3.2).

use beth_protocol::time::Timestamp;
use rusqlite::{Row, params_from_iter};

use super::messages::MessageFilter;
use super::plan::Conditions;
use super::{Page, Place, Window};
use crate::error::Error;
use crate::state::State;

/// What remains of a message that was not paid for any more.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct RemovedMessage {
    pub item_hash: String,
    pub message_type: String,
    pub chain: String,
    pub sender: String,
    pub signature: Option<String>,
    pub item_type: String,
    pub time: Timestamp,
    pub channel: Option<String>,
    pub owner: String,
    pub payment_type: String,
    /// Bytes of the stored file; STORE only.
    pub size: Option<i64>,
    /// When this node removed it.
    pub removed_at: Timestamp,
}

const COLUMNS: &str =
    "item_hash, type, chain, sender, signature, item_type, time, channel, owner, payment_type,
    size, removed_at";

impl State<'_> {
    /// One removed message.
    pub fn removed_message(&self, item_hash: &str) -> Result<Option<RemovedMessage>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM removed WHERE item_hash = ?1 AND removed_at IS NOT NULL"
        );
        self.one(&sql, [item_hash], removed)
    }

    /// A part of the list, by the time of the removal. Of the filter, types,
    /// senders, owners, chains, channels, hashes, payment types and the span
    /// count.
    pub fn removed_messages(
        &self,
        filter: &MessageFilter,
        window: &Window<Place>,
    ) -> Result<Page<RemovedMessage, Place>, Error> {
        let mut conditions = Conditions::default();
        conditions.add("removed_at IS NOT NULL", []);
        conditions.of_gone(filter);
        conditions.within("removed_at", filter.span);
        let count = format!("SELECT count(*) FROM removed WHERE {}", conditions.sql());
        let count_params = conditions.params();
        conditions.after_text(("removed_at", "item_hash"), filter.order, window.key());
        let sql = format!(
            "SELECT {COLUMNS} FROM removed WHERE {} ORDER BY removed_at {}, item_hash LIMIT ? OFFSET ?",
            conditions.sql(),
            filter.order.sql(),
        );
        let params = params_from_iter(conditions.windowed(window));
        window.page(
            self.all(&sql, params, removed)?,
            |row| Place {
                time: row.removed_at,
                hash: row.item_hash.clone(),
            },
            || self.number(&count, count_params),
        )
    }
}

fn removed(row: &Row<'_>) -> rusqlite::Result<RemovedMessage> {
    Ok(RemovedMessage {
        item_hash: row.get(0)?,
        message_type: row.get(1)?,
        chain: row.get(2)?,
        sender: row.get(3)?,
        signature: row.get(4)?,
        item_type: row.get(5)?,
        time: Timestamp::from_micros(row.get(6)?),
        channel: row.get(7)?,
        owner: row.get(8)?,
        payment_type: row.get(9)?,
        size: row.get(10)?,
        removed_at: Timestamp::from_micros(row.get(11)?),
    })
}
