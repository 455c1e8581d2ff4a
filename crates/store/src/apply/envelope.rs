//! The time of an envelope, which nobody signed.
//!
//! A copy of a message may come with another envelope time than the one in
//! force. Upstream keeps what it saw first, so two of its nodes may differ for
//! ever; here every node ends with the same one, whatever the order of arrival:
//! the time nearest to the content's, which is signed; of two as near, the
//! earlier. An honest client gives both the same time, so nobody can move a
//! message away from its own. What was decided by the first time (prices, when
//! something was forgotten) stays.

use beth_protocol::Message;
use beth_protocol::time::Timestamp;
use serde_json::Value;

use super::messages::element_of;
use crate::error::Error;
use crate::keys::{prefix, type_code};
use crate::state::State;
use crate::tallies::{Dimension, bucket};

impl State<'_> {
    /// Gives a message in force the envelope time of a copy, if that is the
    /// better one; answers whether it was.
    pub fn adopt_time(&self, copy: &Message) -> Result<bool, Error> {
        let item_hash = copy.item_hash.as_str();
        // A ledger is in the order of these times.
        if !self.would_adopt(item_hash, copy.time)? || self.knows_credits(item_hash)? {
            return Ok(false);
        }
        let Some(stored) = self.stored_message(item_hash)? else {
            return Ok(false);
        };
        let id = self.message_id(item_hash)?.unwrap_or_default();
        let mut message = stored.message;
        let kind = type_code(message.message_type);
        self.element_removed(element_of(&message));
        self.tally(Dimension::Time, (bucket(message.time.micros()), kind), -1);
        message.time = copy.time;
        let micros = message.time.micros();
        for sql in [
            "UPDATE messages SET time = ?2 WHERE id = ?1",
            "UPDATE message_tags SET time = ?2 WHERE id = ?1",
        ] {
            self.run(sql, (id, micros))?;
        }
        self.element_added(element_of(&message));
        self.tally(Dimension::Time, (bucket(micros), kind), 1);
        Ok(true)
    }

    /// Whether a copy has the better envelope time than the message in force.
    pub(crate) fn would_adopt(&self, item_hash: &str, time: Timestamp) -> Result<bool, Error> {
        let found: Option<(i64, String)> = self.one(
            "SELECT time, body FROM messages INDEXED BY messages_hash WHERE prefix = ?1 AND item_hash = ?2",
            (prefix(item_hash), item_hash),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let Some((kept, body)) = found.filter(|(kept, _)| *kept != time.micros()) else {
            return Ok(false);
        };
        let content: Value = serde_json::from_str(&body)
            .map_err(|error| Error::Damaged(format!("content of {item_hash}: {error}")))?;
        let Ok(signed) = Timestamp::from_json(&content["time"]) else {
            return Ok(false);
        };
        Ok(time.is_nearer(Timestamp::from_micros(kept), signed))
    }
}
