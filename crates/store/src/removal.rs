//! Removing what is no longer paid for (processing.md §18).
//!
//! ```text
//!              begin_removal            collector (garbage.rs)
//!  processed ────────────────▶ removing ───────────────────────▶ removed
//!      ▲                          │
//!      └────── cancel_removal ────┘
//! ```
//!
//! While a STORE is removing, its pin is a grace pin that ends a day later and
//! its tag goes to an older version. A record of the message is kept from the
//! first step on: the size of its file is known only then.

use beth_protocol::content::PaymentType;
use beth_protocol::decimal::Decimal;
use beth_protocol::judge::solvency::Claim;
use beth_protocol::time::Timestamp;
use beth_protocol::view::{KnownMessage, View};
use beth_protocol::{Content, MessageType, Status};

use crate::balances::clock;
use crate::error::Error;
use crate::limits::REMOVAL_GRACE_SECONDS;
use crate::rows::StoredMessage;
use crate::state::State;

impl State<'_> {
    /// What an address pays for with this kind of payment, in the order of
    /// processing: amounts to hold, or per second.
    pub fn claims(&self, owner: &str, payment: PaymentType) -> Result<Vec<Claim>, Error> {
        let column = match payment {
            PaymentType::Hold => "hold",
            PaymentType::Superfluid => "stream",
            PaymentType::Credit => "credit",
        };
        let rows: Vec<(String, String)> = self.all(
            &format!(
                "SELECT item_hash, {column} FROM costs WHERE owner = ?1 AND payment = ?2 ORDER BY id"
            ),
            [owner, payment.as_str()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let mut claims: Vec<Claim> = Vec::new();
        for (item_hash, amount) in rows {
            let amount = Decimal::parse(&amount)
                .ok_or_else(|| Error::Damaged(format!("'{amount}' is no amount")))?;
            // Rows of a message are written together, hence in a row here.
            match claims.last_mut() {
                Some(last) if last.item_hash == item_hash => last.cost = last.cost.plus(&amount),
                _ => claims.push(Claim {
                    height: self.confirmed_height(&item_hash)?,
                    status: self.status(&item_hash)?.map(|(status, _)| status),
                    item_hash,
                    cost: amount,
                }),
            }
        }
        Ok(claims)
    }

    /// Bytes of the file of a STORE message; `None` for other messages and
    /// unknown files.
    pub fn stored_bytes(&self, known: &KnownMessage) -> Result<Option<u64>, Error> {
        let file = known.content["item_hash"]
            .as_str()
            .filter(|_| known.message.message_type == MessageType::Store);
        Ok(match file {
            Some(hash) => self.known_file(hash)?.map(|file| file.size_bytes),
            None => None,
        })
    }

    /// Processed → removing. False when the message is in another state.
    pub fn begin_removal(&self, item_hash: &str, now: Timestamp) -> Result<bool, Error> {
        let Some(known) = self.known(item_hash, Status::Processed)? else {
            return Ok(false);
        };
        self.run(
            "UPDATE file_pins SET kind = 'grace', delete_by = ?2 WHERE item_hash = ?1 AND kind = 'message'",
            (item_hash, now.micros() + REMOVAL_GRACE_SECONDS * 1_000_000),
        )?;
        self.rebuild_tag_of(item_hash, &known)?;
        self.insert_removal(item_hash, &known)?;
        self.change_status(&known.message, Status::Removing)?;
        Ok(true)
    }

    /// Removing → processed. False when the message is in another state.
    pub fn cancel_removal(&self, item_hash: &str) -> Result<bool, Error> {
        let Some(known) = self.known(item_hash, Status::Removing)? else {
            return Ok(false);
        };
        self.run(
            "UPDATE file_pins SET kind = 'message', delete_by = NULL WHERE item_hash = ?1 AND kind = 'grace'",
            [item_hash],
        )?;
        self.rebuild_tag_of(item_hash, &known)?;
        self.run("DELETE FROM removed WHERE item_hash = ?1", [item_hash])?;
        self.change_status(&known.message, Status::Processed)?;
        Ok(true)
    }

    /// Removing → removed: the message, its bill and its confirmations go, a
    /// record stays. What a machine used stays protected, as everywhere on
    /// the network.
    pub(crate) fn finish_removal(&self, item_hash: &str, now: Timestamp) -> Result<(), Error> {
        if let Some(stored) = self.stored_message(item_hash)? {
            self.erase(&stored)?;
        }
        self.run(
            "DELETE FROM file_pins WHERE item_hash = ?1 AND kind IN ('content', 'grace')",
            [item_hash],
        )?;
        self.run(
            "UPDATE removed SET removed_at = ?2 WHERE item_hash = ?1",
            (item_hash, now.micros()),
        )?;
        self.write_status(item_hash, Status::Removed, clock())
    }

    /// Deletes a message with its bill and its confirmations.
    pub(crate) fn erase(&self, stored: &StoredMessage) -> Result<(), Error> {
        let item_hash = stored.message.item_hash.as_str();
        self.delete_message(stored)?;
        self.delete_costs(item_hash)?;
        self.drop_confirmations(item_hash)
    }

    fn known(&self, item_hash: &str, status: Status) -> Result<Option<KnownMessage>, Error> {
        let known = self
            .message(item_hash)
            .map_err(|error| Error::Damaged(error.to_string()))?;
        Ok(known.filter(|known| known.status == status))
    }

    fn rebuild_tag_of(&self, item_hash: &str, known: &KnownMessage) -> Result<(), Error> {
        if known.message.message_type != MessageType::Store {
            return Ok(());
        }
        match Content::parse(MessageType::Store, &known.content) {
            Ok(Content::Store(content)) => self.rebuild_tag(item_hash, &content),
            _ => Ok(()),
        }
    }

    fn insert_removal(&self, item_hash: &str, known: &KnownMessage) -> Result<(), Error> {
        let message = &known.message;
        self.run(
            "INSERT OR REPLACE INTO removed (item_hash, type, chain, sender, signature, item_type, time, channel,
                owner, payment_type, size)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            rusqlite::params![
                item_hash,
                message.message_type.as_str(),
                message.chain.as_str(),
                message.sender,
                message.signature,
                message.item_type.as_str(),
                message.time.micros(),
                message.channel,
                known.content["address"].as_str().unwrap_or(&message.sender),
                known.content["payment"]["type"].as_str().unwrap_or("hold"),
                self.stored_bytes(known)?.map(|bytes| bytes as i64),
            ],
        )?;
        Ok(())
    }
}
