//! Confirmations: transactions that published a message (messages.md §9,
//! processing.md §3, §19).
//!
//! A reader of a chain offers each message of a transaction with the
//! [`Transaction`]. The confirmation is remembered while the message waits,
//! and belongs to it from the moment it is in force; who is rejected or
//! forgotten has none. Signatures of known copies are not compared: the
//! confirmation is about the hash.

use beth_protocol::time::Timestamp;
use beth_protocol::{Chain, Status};
use rusqlite::Row;

use crate::error::Error;
use crate::pending::Arrival;
use crate::rows::Outcome;
use crate::state::State;

/// A transaction that published messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Transaction {
    /// Its name on the chain, as the chain writes it.
    pub hash: String,
    /// The chain.
    pub chain: Chain,
    /// Number of its block.
    pub height: i64,
    /// Time of its block.
    pub time: Timestamp,
    /// Who sent it.
    pub publisher: String,
}

/// A confirmation of a message, as served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// `ETH`, …
    pub chain: String,
    /// Number of the block.
    pub height: i64,
    /// Name of the transaction.
    pub hash: String,
}

impl State<'_> {
    /// Confirmations of a message in force, the first one first.
    pub fn confirmations_of(&self, item_hash: &str) -> Result<Vec<Confirmation>, Error> {
        self.all(
            "SELECT tx.chain, tx.height, tx.hash FROM confirmations AS c JOIN chain_txs AS tx ON tx.hash = c.tx_hash
             WHERE c.item_hash = ?1 ORDER BY tx.time, tx.hash",
            [item_hash],
            confirmation,
        )
    }

    /// Height of the first confirmation on ETH.
    pub fn confirmed_height(&self, item_hash: &str) -> Result<Option<i64>, Error> {
        let height: Option<Option<i64>> = self.one(
            "SELECT min(tx.height) FROM confirmations AS c JOIN chain_txs AS tx ON tx.hash = c.tx_hash
             WHERE c.item_hash = ?1 AND tx.chain = 'ETH'",
            [item_hash],
            |row| row.get(0),
        )?;
        Ok(height.flatten())
    }

    /// Keeps or drops the confirmation that an arrival brought, once its
    /// outcome is written.
    pub fn note_confirmation(
        &self,
        item_hash: &str,
        arrival: &Arrival,
        outcome: &Outcome,
    ) -> Result<(), Error> {
        if arrival.transaction.is_none() && !matches!(outcome, Outcome::Rejected(_)) {
            return Ok(());
        }
        let status = self.status(item_hash)?.map(|(status, _)| status);
        match (status, &arrival.transaction) {
            (Some(Status::Pending | Status::Processed | Status::Removing), None) => Ok(()),
            (Some(Status::Pending | Status::Processed | Status::Removing), Some(transaction)) => {
                self.confirm(item_hash, transaction)
            }
            _ => self.drop_confirmations(item_hash),
        }
    }

    pub(crate) fn drop_confirmations(&self, item_hash: &str) -> Result<(), Error> {
        self.run(
            "DELETE FROM confirmations WHERE item_hash = ?1",
            [item_hash],
        )?;
        Ok(())
    }

    fn confirm(&self, item_hash: &str, transaction: &Transaction) -> Result<(), Error> {
        self.run(
            "INSERT OR IGNORE INTO chain_txs (hash, chain, height, time, publisher) VALUES (?1, ?2, ?3, ?4, ?5)",
            (
                &transaction.hash,
                transaction.chain.as_str(),
                transaction.height,
                transaction.time.micros(),
                &transaction.publisher,
            ),
        )?;
        self.run(
            "INSERT OR IGNORE INTO confirmations (item_hash, tx_hash) VALUES (?1, ?2)",
            [item_hash, &transaction.hash],
        )?;
        self.place_confirmed(item_hash)
    }

    /// Puts a message in force, and its post, where lists by confirmation show
    /// it: under its earliest transaction.
    pub(crate) fn place_confirmed(&self, item_hash: &str) -> Result<(), Error> {
        let first: Option<(i64, i64)> = self.one(
            "SELECT tx.time, tx.height FROM confirmations AS c JOIN chain_txs AS tx ON tx.hash = c.tx_hash
             WHERE c.item_hash = ?1 ORDER BY tx.time, tx.hash LIMIT 1",
            [item_hash],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let (Some((time, height)), Some(id)) = (first, self.message_id(item_hash)?) else {
            return Ok(());
        };
        let changed = self.run(
            "UPDATE messages SET confirmed = ?2, height = ?3 WHERE id = ?1 AND (confirmed <> ?2 OR height <> ?3)",
            [id, time, height],
        )?;
        if changed > 0 {
            self.run("UPDATE posts SET confirmed = ?2 WHERE id = ?1", [id, time])?;
        }
        Ok(())
    }
}

fn confirmation(row: &Row<'_>) -> rusqlite::Result<Confirmation> {
    Ok(Confirmation {
        chain: row.get(0)?,
        height: row.get(1)?,
        hash: row.get(2)?,
    })
}
