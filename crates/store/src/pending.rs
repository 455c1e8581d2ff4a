//! What waits and what was refused (processing.md §3, §6).

use beth_protocol::json::parse_written;
use beth_protocol::rejection::Code;
use beth_protocol::time::Timestamp;
use beth_protocol::{Message, Rejection, Status};
use serde_json::Value;

use crate::confirmations::Transaction;
use crate::error::Error;
use crate::keys::{prefix, type_of};
use crate::limits::{ATTEMPTS_MAX, RETRY_SECONDS_MAX};
use crate::rows::{Outcome, PendingMessage, RejectedMessage};
use crate::state::{State, json};

/// Origin of what a contract emitted: the chain vouches for it, no signature.
pub const CONTRACT: &str = "contract";

/// A message and how it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// As received, unknown members included.
    pub raw: Value,
    /// When this node first saw it.
    pub reception_time: Timestamp,
    /// `p2p`, `ipfs` or `onchain`; or [`CONTRACT`], whose messages are unsigned.
    pub origin: &'static str,
    /// The transaction that published it, if it comes from a chain.
    pub transaction: Option<Box<Transaction>>,
    /// The pending row it was retried from.
    pub retry_of: Option<i64>,
    /// Of a FORGET that a neighbour sent: the envelopes of what it deleted there.
    pub gone: Vec<Message>,
}

impl State<'_> {
    /// Answers without judging when the hash is final or known to wait.
    /// `None`: go on.
    pub fn settled(&self, item_hash: &str) -> Result<Option<Outcome>, Error> {
        Ok(match self.unapplied_status(item_hash)? {
            Some((status @ (Status::Forgotten | Status::Removed), _)) => {
                Some(Outcome::Final(status))
            }
            _ => None,
        })
    }

    /// What is settled about a copy before anything of it is checked: the very
    /// envelope or a better one is in force, or the hash is final. `None`: go on.
    pub fn settled_copy(&self, raw: &Value) -> Result<Option<Outcome>, Error> {
        let Some(hash) = raw["item_hash"].as_str() else {
            return Ok(None);
        };
        let applied = self.one(
            "SELECT signature, chain, type, (SELECT text FROM names WHERE id = sender), time
             FROM messages INDEXED BY messages_hash WHERE prefix = ?1 AND item_hash = ?2",
            (prefix(hash), hash),
            |row| {
                let texts: [Option<String>; 3] = [row.get(0)?, row.get(1)?, row.get(3)?];
                Ok((texts, row.get::<_, i64>(2)?, row.get::<_, i64>(4)?))
            },
        )?;
        let Some(([signature, chain, sender], code, kept)) = applied else {
            return self.settled(hash);
        };
        let same = |name: &str, known: Option<&str>| known.is_some() && raw[name].as_str() == known;
        let is_copy = same("signature", signature.as_deref())
            && same("chain", chain.as_deref())
            && same("sender", sender.as_deref())
            && same("type", Some(type_of(code)?.as_str()));
        if !is_copy {
            return Ok(None);
        }
        let is_better = match Timestamp::from_json(&raw["time"]) {
            Ok(time) if time.micros() != kept => self.would_adopt(hash, time)?,
            _ => false,
        };
        Ok((!is_better).then_some(Outcome::Known))
    }

    /// Keeps a message that waits for something, or rejects it when it was
    /// tried often enough. `jitter` is uniform in 0..1.
    pub fn wait(
        &self,
        message: &Message,
        arrival: &Arrival,
        rejection: Rejection,
        jitter: f64,
        now: Timestamp,
    ) -> Result<Outcome, Error> {
        let hash = message.item_hash.as_str();
        let tried: i64 = match arrival.retry_of {
            None => 0,
            Some(id) => self
                .one("SELECT retries FROM pending WHERE id = ?1", [id], |row| {
                    row.get(0)
                })?
                .unwrap_or(0),
        };
        if tried + 1 >= ATTEMPTS_MAX {
            return self.reject(message.item_hash.as_str(), arrival, rejection);
        }
        let pause = ((1i64 << tried.min(9)).min(RETRY_SECONDS_MAX) as f64 * jitter * 1e6) as i64;
        let waits_for = rejection
            .errors
            .first()
            .and_then(waits_for)
            .or_else(|| amended(&rejection, &arrival.raw));
        let is_here = match (&rejection.code, &waits_for) {
            // It came while this try was under way: its wake found nobody.
            (Code::FileUnavailable | Code::ContentUnavailable, Some(file)) => {
                tried > 0 && self.knows_file(file)?
            }
            _ => false,
        };
        let pause = if is_here { 0 } else { pause };
        let code = rejection.code.number();
        self.run(
            "INSERT INTO pending (item_hash, sender, signature, message, retries, next_attempt, waits_for, error_code,
                details, reception_time, origin)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (sender, item_hash, signature) DO UPDATE
             SET retries = ?5, next_attempt = ?6, waits_for = ?7, error_code = ?8, details = ?9
             WHERE ?12",
            rusqlite::params![
                hash,
                message.sender,
                message.signature.as_deref().unwrap_or_default(),
                arrival.raw.to_string(),
                tried + 1,
                now.micros() + pause,
                waits_for,
                code,
                rejection.details().to_string(),
                arrival.reception_time.micros(),
                arrival.origin,
                arrival.retry_of.is_some(),
            ],
        )?;
        self.pend_status(hash, arrival.reception_time)?;
        if let Some(memory) = self.memory() {
            memory.borrow_mut().waiting = Some(true);
        }
        Ok(Outcome::Pending(rejection))
    }

    /// A status other than `rejected` is never overwritten by `pending`.
    fn pend_status(&self, item_hash: &str, at: Timestamp) -> Result<(), Error> {
        if self.is_applied(item_hash)? {
            return Ok(());
        }
        self.searched(item_hash, true);
        self.run(
            "INSERT INTO message_status (item_hash, status, reception_time) VALUES (?1, 'pending', ?2)
             ON CONFLICT (item_hash) DO UPDATE SET status = 'pending', reception_time = min(reception_time, ?2)
             WHERE status = 'rejected'",
            (item_hash, at.micros()),
        )?;
        Ok(())
    }

    /// Records a refusal. A status other than `rejected` or `pending` stays.
    pub fn reject(
        &self,
        item_hash: &str,
        arrival: &Arrival,
        rejection: Rejection,
    ) -> Result<Outcome, Error> {
        if let Some(id) = arrival.retry_of {
            self.run("DELETE FROM pending WHERE id = ?1", [id])?;
        }
        match self.status(item_hash)? {
            Some((
                Status::Processed | Status::Removing | Status::Forgotten | Status::Removed,
                _,
            )) => {
                return Ok(Outcome::Rejected(rejection));
            }
            // Another copy of the same hash still waits and may yet be right.
            Some((Status::Pending, _)) if self.is_pending(item_hash)? => {
                return Ok(Outcome::Rejected(rejection));
            }
            _ => {}
        }
        self.write_status(item_hash, Status::Rejected, arrival.reception_time)?;
        self.run(
            "INSERT INTO rejected (item_hash, message, error_code, details) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (item_hash) DO UPDATE SET error_code = ?3, details = ?4",
            (
                item_hash,
                arrival.raw.to_string(),
                rejection.code.number(),
                rejection.details().to_string(),
            ),
        )?;
        Ok(Outcome::Rejected(rejection))
    }

    /// True when the message of this hash is in force.
    pub fn is_applied(&self, item_hash: &str) -> Result<bool, Error> {
        Ok(self.message_id(item_hash)?.is_some())
    }

    /// Drops a waiting copy that turned out to be settled.
    pub fn discard(&self, arrival: &Arrival) -> Result<(), Error> {
        if let Some(id) = arrival.retry_of {
            self.run("DELETE FROM pending WHERE id = ?1", [id])?;
        }
        Ok(())
    }

    fn is_pending(&self, item_hash: &str) -> Result<bool, Error> {
        let row = self.one(
            "SELECT 1 FROM pending WHERE item_hash = ?1 LIMIT 1",
            [item_hash],
            |_| Ok(()),
        )?;
        Ok(row.is_some())
    }

    /// Whoever waits for this hash is tried at once, and again as often as at
    /// first: what has come so far may be one of many.
    pub fn wake(&self, awaited: &str, now: Timestamp) -> Result<usize, Error> {
        if !self.anything_waits()? {
            return Ok(0);
        }
        self.run(
            "UPDATE pending SET next_attempt = ?2, retries = 0 WHERE waits_for = ?1",
            (awaited, now.micros()),
        )
    }

    /// Asked once per batch; only the writer makes messages wait.
    fn anything_waits(&self) -> Result<bool, Error> {
        if let Some(known) = self.memory().and_then(|memory| memory.borrow().waiting) {
            return Ok(known);
        }
        let sql = "SELECT 1 FROM pending WHERE waits_for IS NOT NULL LIMIT 1";
        let waits = self.one(sql, [], |_| Ok(()))?.is_some();
        if let Some(memory) = self.memory() {
            memory.borrow_mut().waiting = Some(waits);
        }
        Ok(waits)
    }

    /// Messages whose time has come, oldest first, at most `limit`.
    pub fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<PendingMessage>, Error> {
        let sql = format!(
            "SELECT {PENDING} FROM pending WHERE next_attempt <= ?1 ORDER BY next_attempt LIMIT ?2"
        );
        self.pending_rows(&sql, rusqlite::params![now.micros(), limit as i64])
    }

    /// When the next message is due.
    pub fn next_due(&self) -> Result<Option<Timestamp>, Error> {
        let micros: Option<Option<i64>> =
            self.one("SELECT min(next_attempt) FROM pending", [], |row| {
                row.get(0)
            })?;
        Ok(micros.flatten().map(Timestamp::from_micros))
    }

    /// Every waiting copy of a hash.
    pub fn pending_copies(&self, item_hash: &str) -> Result<Vec<PendingMessage>, Error> {
        let sql = format!("SELECT {PENDING} FROM pending WHERE item_hash = ?1 ORDER BY id");
        self.pending_rows(&sql, [item_hash])
    }

    fn pending_rows(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<PendingMessage>, Error> {
        let rows = self.all(sql, params, |row| {
            Ok((
                PendingMessage {
                    id: row.get(0)?,
                    message: Value::Null,
                    retries: row.get(2)?,
                    next_attempt: Timestamp::from_micros(row.get(3)?),
                    reason: None,
                    reception_time: Timestamp::from_micros(row.get(6)?),
                    origin: row.get(7)?,
                },
                row.get::<_, String>(1)?,
                row.get::<_, Option<i32>>(4)?,
                row.get::<_, Option<String>>(5)?,
            ))
        })?;
        rows.into_iter()
            .map(|(mut pending, message, code, details)| {
                pending.message = json(&message)?;
                pending.reason = match (code, details) {
                    (Some(code), Some(details)) => Some((code, json(&details)?)),
                    _ => None,
                };
                Ok(pending)
            })
            .collect()
    }

    /// The record of a refusal.
    pub fn rejection(&self, item_hash: &str) -> Result<Option<RejectedMessage>, Error> {
        let row = self.one(
            "SELECT message, error_code, details FROM rejected WHERE item_hash = ?1",
            [item_hash],
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get(1)?,
                    row.get::<_, String>(2)?,
                ))
            },
        )?;
        row.map(|(message, error_code, details)| {
            Ok(RejectedMessage {
                message: json(&message)?,
                error_code,
                details: json(&details)?,
            })
        })
        .transpose()
    }
}

const PENDING: &str =
    "id, message, retries, next_attempt, error_code, details, reception_time, origin";

/// The original that an early amend waits for: its rejection has no details.
fn amended(rejection: &Rejection, raw: &Value) -> Option<String> {
    if rejection.code != Code::PostAmendTargetNotFound {
        return None;
    }
    let content = parse_written(raw["item_content"].as_str()?).ok()?;
    let reference = &content["ref"];
    let named = reference
        .as_str()
        .or_else(|| reference["item_hash"].as_str());
    named.map(str::to_owned)
}

/// The hash that a missing dependency names: a bare hash, `{"message": hash}`,
/// or the hash inside `File not found: <hash> (…)`.
fn waits_for(item: &Value) -> Option<String> {
    match item {
        Value::String(text) => match text.strip_prefix("File not found: ") {
            Some(rest) => rest.split(' ').next().map(str::to_owned),
            None => Some(text.clone()),
        },
        Value::Object(object) => object
            .get("message")
            .and_then(Value::as_str)
            .map(str::to_owned),
        _ => None,
    }
}
