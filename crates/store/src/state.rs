//! The state as judging sees it: [`View`] over a transaction.

use std::cell::RefCell;
use std::collections::HashMap;

use beth_protocol::content::PaymentType;
use beth_protocol::decimal::Decimal;
use beth_protocol::json::parse_written;
use beth_protocol::time::Timestamp;
use beth_protocol::view::{KnownMessage, KnownPin, KnownPost, KnownTag, View, ViewError};
use beth_protocol::{Chain, ItemHash, ItemType, Message, Status};
use rusqlite::{Connection, OptionalExtension, Params, Row};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::keys::{prefix, status_from, type_of};
use crate::memory::Memory;
use crate::query::Counts;
use crate::rows::StoredMessage;

/// One consistent view of the database: a transaction of the writer or a
/// snapshot of a reader.
pub struct State<'a> {
    connection: &'a Connection,
    /// Only a writer has one.
    memory: Option<&'a RefCell<Memory>>,
    /// Only a reader has some.
    counts: Option<&'a Counts>,
    /// Texts of names that were read.
    texts: RefCell<HashMap<i64, String>>,
}

impl<'a> State<'a> {
    pub(crate) fn new(
        connection: &'a Connection,
        memory: Option<&'a RefCell<Memory>>,
    ) -> State<'a> {
        State {
            connection,
            memory,
            counts: None,
            texts: RefCell::default(),
        }
    }

    pub(crate) fn reading(connection: &'a Connection, counts: &'a Counts) -> State<'a> {
        State {
            connection,
            memory: None,
            counts: Some(counts),
            texts: RefCell::default(),
        }
    }

    pub(crate) fn counts(&self) -> Option<&'a Counts> {
        self.counts
    }

    pub(crate) fn memory(&self) -> Option<&'a RefCell<Memory>> {
        self.memory
    }

    pub(crate) fn texts(&self) -> &RefCell<HashMap<i64, String>> {
        &self.texts
    }

    pub(crate) fn connection(&self) -> &Connection {
        self.connection
    }

    /// At most one row.
    pub(crate) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Error> {
        Ok(self
            .connection
            .prepare_cached(sql)?
            .query_row(params, map)
            .optional()?)
    }

    /// Every row.
    pub(crate) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params, map)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Changes rows; answers how many.
    pub(crate) fn run(&self, sql: &str, params: impl Params) -> Result<usize, Error> {
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }

    /// What is known of a hash, and since when.
    pub fn status(&self, item_hash: &str) -> Result<Option<(Status, Timestamp)>, Error> {
        let applied = self.one(
            "SELECT status, reception_time FROM messages INDEXED BY messages_hash
             WHERE prefix = ?1 AND item_hash = ?2",
            (prefix(item_hash), item_hash),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        if let Some((status, micros)) = applied {
            return Ok(Some((status_from(status)?, Timestamp::from_micros(micros))));
        }
        self.unapplied_status(item_hash)
    }

    /// The status of a hash that is not in force.
    pub(crate) fn unapplied_status(
        &self,
        item_hash: &str,
    ) -> Result<Option<(Status, Timestamp)>, Error> {
        if self.is_unknown(item_hash) {
            return Ok(None);
        }
        let row = self.one(
            "SELECT status, reception_time FROM message_status WHERE item_hash = ?1",
            [item_hash],
            |row| Ok((row.get::<_, String>(0)?, row.get(1)?)),
        )?;
        self.searched(item_hash, row.is_some());
        row.map(|(status, micros)| Ok((status_of(&status)?, Timestamp::from_micros(micros))))
            .transpose()
    }

    /// The signature of a message in force; `Some(None)` when it has none.
    pub fn applied_signature(&self, item_hash: &str) -> Result<Option<Option<String>>, Error> {
        self.one(
            "SELECT signature FROM messages INDEXED BY messages_hash WHERE prefix = ?1 AND item_hash = ?2",
            (prefix(item_hash), item_hash),
            |row| row.get(0),
        )
    }
}

pub(crate) fn status_of(text: &str) -> Result<Status, Error> {
    Status::parse(text).ok_or_else(|| Error::Damaged(format!("unknown status '{text}'")))
}

pub(crate) fn json(text: &str) -> Result<Value, Error> {
    parse_written(text).map_err(|error| Error::Damaged(format!("stored JSON: {error}")))
}

pub(crate) fn object(text: &str) -> Result<Map<String, Value>, Error> {
    match json(text)? {
        Value::Object(object) => Ok(object),
        other => Err(Error::Damaged(format!(
            "an object was expected, not {other}"
        ))),
    }
}

/// Columns of [`stored`], in its order, of the table `messages`.
pub(crate) const STORED: &str = "
    (SELECT text FROM names WHERE id = sender), chain, signature, type, item_type, body, item_hash, time,
    (SELECT text FROM names WHERE id = channel), size, status, reception_time";

/// Reads a message from the first twelve columns.
pub(crate) fn stored(row: &Row<'_>) -> Result<StoredMessage, Error> {
    let damaged = |what: &str| Error::Damaged(format!("unknown {what}"));
    let item_type =
        ItemType::parse(&row.get::<_, String>(4)?).ok_or_else(|| damaged("item type"))?;
    let body: String = row.get(5)?;
    let content = json(&body)?;
    let message = Message {
        sender: row.get(0)?,
        chain: Chain::parse(&row.get::<_, String>(1)?).ok_or_else(|| damaged("chain"))?,
        signature: row.get(2)?,
        message_type: type_of(row.get(3)?)?,
        item_type,
        item_content: (item_type == ItemType::Inline).then_some(body),
        item_hash: ItemHash::parse(&row.get::<_, String>(6)?).map_err(|_| damaged("hash"))?,
        time: Timestamp::from_micros(row.get(7)?),
        channel: row.get(8)?,
    };
    Ok(StoredMessage {
        message,
        content,
        size: row.get::<_, i64>(9)?.max(0) as u64,
        status: status_from(row.get(10)?)?,
        reception_time: Timestamp::from_micros(row.get(11)?),
    })
}

fn sum(amounts: Vec<String>) -> Decimal {
    amounts.iter().filter_map(|text| Decimal::parse(text)).sum()
}

impl View for State<'_> {
    fn message(&self, item_hash: &str) -> Result<Option<KnownMessage>, ViewError> {
        let known = self.stored_message(item_hash)?;
        Ok(known.map(|stored| KnownMessage {
            message: stored.message,
            content: stored.content,
            status: stored.status,
        }))
    }

    fn forgotten_signature(&self, item_hash: &str) -> Result<Option<Option<String>>, ViewError> {
        if self.is_unknown(item_hash) {
            return Ok(None);
        }
        Ok(self.one(
            "SELECT signature FROM forgotten WHERE item_hash = ?1",
            [item_hash],
            |row| row.get(0),
        )?)
    }

    fn aggregate(&self, owner: &str, key: &str) -> Result<Option<Map<String, Value>>, ViewError> {
        let text: Option<String> = self.one(
            "SELECT content FROM aggregates WHERE owner = ?1 AND key = ?2",
            [owner, key],
            |row| row.get(0),
        )?;
        Ok(text.map(|text| object(&text)).transpose()?)
    }

    fn aggregate_elements(&self, owner: &str, key: &str) -> Result<Vec<String>, ViewError> {
        Ok(self.all(
            "SELECT message.item_hash FROM aggregate_elements AS element
             JOIN messages AS message ON message.id = element.id
             WHERE element.owner = (SELECT id FROM names WHERE text = ?1)
             AND element.key = (SELECT id FROM names WHERE text = ?2)
             ORDER BY element.time, message.item_hash",
            [owner, key],
            |row| row.get(0),
        )?)
    }

    fn post(&self, item_hash: &str) -> Result<Option<KnownPost>, ViewError> {
        let Some(id) = self.message_id(item_hash)? else {
            return Ok(None);
        };
        Ok(self.one(
            "SELECT (SELECT text FROM names WHERE id = owner), (SELECT text FROM names WHERE id = type), last_updated,
                (SELECT item_hash FROM messages WHERE id = latest)
             FROM posts WHERE id = ?1",
            [id],
            |row| {
                Ok(KnownPost {
                    owner: row.get(0)?,
                    post_type: row.get(1)?,
                    last_updated: Timestamp::from_micros(row.get(2)?),
                    latest_amend: row.get(3)?,
                })
            },
        )?)
    }

    fn amends(&self, item_hash: &str) -> Result<Vec<String>, ViewError> {
        let Some(id) = self.message_id(item_hash)? else {
            return Ok(Vec::new());
        };
        let sql =
            "SELECT message.item_hash FROM posts JOIN messages AS message ON message.id = posts.id
                   WHERE posts.amends = ?1 ORDER BY posts.created, message.item_hash";
        Ok(self.all(sql, [id], |row| row.get(0))?)
    }

    fn tag(&self, tag: &str) -> Result<Option<KnownTag>, ViewError> {
        let sql = "SELECT owner, file_hash, last_updated FROM file_tags WHERE tag = ?1";
        Ok(self.one(sql, [tag], |row| {
            Ok(KnownTag {
                owner: row.get(0)?,
                file_hash: row.get(1)?,
                last_updated: Timestamp::from_micros(row.get(2)?),
            })
        })?)
    }

    fn message_pin(&self, item_hash: &str) -> Result<Option<KnownPin>, ViewError> {
        let sql = "SELECT file_hash, ref FROM file_pins WHERE item_hash = ?1 AND kind IN ('message', 'well_known')";
        Ok(self.one(sql, [item_hash], |row| {
            Ok(KnownPin {
                file_hash: row.get(0)?,
                reference: row.get(1)?,
            })
        })?)
    }

    fn file_size(&self, file_hash: &str) -> Result<Option<u64>, ViewError> {
        let size: Option<i64> = self.one(
            "SELECT size FROM files WHERE hash = ?1",
            [file_hash],
            |row| row.get(0),
        )?;
        Ok(size.map(|size| size as u64))
    }

    fn program_allows_amend(&self, item_hash: &str) -> Result<Option<bool>, ViewError> {
        let sql = "SELECT allow_amend FROM machines WHERE item_hash = ?1 AND type = 'PROGRAM'";
        Ok(self.one(sql, [item_hash], |row| row.get(0))?)
    }

    fn machine_using(&self, reference: &str) -> Result<Option<String>, ViewError> {
        let sql =
            "SELECT item_hash FROM machine_files WHERE reference = ?1 ORDER BY item_hash LIMIT 1";
        Ok(self.one(sql, [reference], |row| row.get(0))?)
    }

    fn balance(&self, address: &str) -> Result<Decimal, ViewError> {
        let sql = "SELECT balance FROM balances WHERE address = ?1 AND dapp = ''";
        Ok(sum(self.all(sql, [address], |row| row.get(0))?))
    }

    fn credit_balance(&self, address: &str, now: Timestamp) -> Result<Decimal, ViewError> {
        self.settle_credits()?;
        Ok(self.credits_of(address, now)?)
    }

    fn committed(&self, address: &str, payment: PaymentType) -> Result<Decimal, ViewError> {
        let sql = match payment {
            PaymentType::Hold => "SELECT hold FROM costs WHERE owner = ?1 AND payment = 'hold'",
            PaymentType::Superfluid => {
                "SELECT stream FROM costs WHERE owner = ?1 AND payment = 'superfluid'"
            }
            PaymentType::Credit => {
                "SELECT credit FROM costs WHERE owner = ?1 AND payment = 'credit'"
            }
        };
        Ok(sum(self.all(sql, [address], |row| row.get(0))?))
    }
}
