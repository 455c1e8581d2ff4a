//! The list of forgotten messages (core-api.md §3.2).

use beth_protocol::time::Timestamp;
use rusqlite::{Row, params_from_iter};

use super::messages::MessageFilter;
use super::plan::Conditions;
use super::{Page, Place, Window};
use crate::error::Error;
use crate::state::State;

/// What remains of a message that was forgotten.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct ForgottenMessage {
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
    /// Time of the FORGET message.
    pub forgotten_at: Timestamp,
    /// FORGET messages.
    pub forgotten_by: Vec<String>,
}

const COLUMNS: &str =
    "item_hash, type, chain, sender, signature, item_type, time, channel, owner, payment_type,
    size, forgotten_at, forgotten_by";

impl State<'_> {
    /// One forgotten message.
    pub fn forgotten_message(&self, item_hash: &str) -> Result<Option<ForgottenMessage>, Error> {
        self.one(
            &format!("SELECT {COLUMNS} FROM forgotten WHERE item_hash = ?1"),
            [item_hash],
            forgotten,
        )
    }

    /// A part of the list, by the time of the FORGET. Of the filter, types,
    /// senders, owners, chains, channels, hashes, payment types and the span
    /// count.
    pub fn forgotten_messages(
        &self,
        filter: &MessageFilter,
        window: &Window<Place>,
    ) -> Result<Page<ForgottenMessage, Place>, Error> {
        let mut conditions = Conditions::default();
        conditions.of_gone(filter);
        conditions.within("forgotten_at", filter.span);
        let count = format!("SELECT count(*) FROM forgotten WHERE {}", conditions.sql());
        let count_params = conditions.params();
        conditions.after_text(("forgotten_at", "item_hash"), filter.order, window.key());
        let sql = format!(
            "SELECT {COLUMNS} FROM forgotten WHERE {} ORDER BY forgotten_at {}, item_hash LIMIT ? OFFSET ?",
            conditions.sql(),
            filter.order.sql(),
        );
        let rows = self.all(
            &sql,
            params_from_iter(conditions.windowed(window)),
            forgotten,
        )?;
        window.page(
            rows,
            |row| Place {
                time: row.forgotten_at,
                hash: row.item_hash.clone(),
            },
            || self.number(&count, count_params),
        )
    }
}

fn forgotten(row: &Row<'_>) -> rusqlite::Result<ForgottenMessage> {
    let forgotten_by: String = row.get(12)?;
    Ok(ForgottenMessage {
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
        forgotten_at: Timestamp::from_micros(row.get(11)?),
        forgotten_by: serde_json::from_str(&forgotten_by).unwrap_or_default(),
    })
}
