//! Names of things as numbers: hashes by their first bytes, texts by an id,
//! types and statuses by a code. Short keys make small indexes.

use beth_protocol::{ItemHash, MessageType, Status};

use crate::error::Error;
use crate::limits::TEXTS_MAX;
use crate::state::State;

/// The first eight bytes of a hash as an integer; the order of SHA-256 hashes
/// is kept. A CID counts as the hash of its text.
pub(crate) fn prefix(item_hash: &str) -> i64 {
    let first = item_hash
        .get(..16)
        .filter(|_| item_hash.len() == 64)
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .unwrap_or_else(|| {
            let digest = ItemHash::of_bytes(item_hash.as_bytes()).digest();
            let [a, b, c, d, e, f, g, h, ..] = digest.unwrap_or_default();
            u64::from_be_bytes([a, b, c, d, e, f, g, h])
        });
    // Unsigned order as signed order.
    (first ^ (1 << 63)) as i64
}

/// The code of a type in the table of messages.
pub(crate) fn type_code(message_type: MessageType) -> i64 {
    match message_type {
        MessageType::Post => 0,
        MessageType::Aggregate => 1,
        MessageType::Store => 2,
        MessageType::Program => 3,
        MessageType::Instance => 4,
        MessageType::VerifiedProgram => 5,
        MessageType::Forget => 6,
    }
}

pub(crate) fn type_of(code: i64) -> Result<MessageType, Error> {
    MessageType::ALL
        .into_iter()
        .find(|message_type| type_code(*message_type) == code)
        .ok_or_else(|| Error::Damaged(format!("unknown type {code}")))
}

/// The code of a status in the table of messages; `None` for those it never
/// holds.
pub(crate) fn status_code(status: Status) -> Option<i64> {
    match status {
        Status::Processed => Some(0),
        Status::Removing => Some(1),
        Status::Pending | Status::Rejected | Status::Forgotten | Status::Removed => None,
    }
}

pub(crate) fn status_from(code: i64) -> Result<Status, Error> {
    match code {
        0 => Ok(Status::Processed),
        1 => Ok(Status::Removing),
        _ => Err(Error::Damaged(format!("unknown status {code}"))),
    }
}

impl State<'_> {
    /// The id of a message in force.
    pub(crate) fn message_id(&self, item_hash: &str) -> Result<Option<i64>, Error> {
        self.one(
            "SELECT id FROM messages INDEXED BY messages_hash WHERE prefix = ?1 AND item_hash = ?2",
            (prefix(item_hash), item_hash),
            |row| row.get(0),
        )
    }

    /// The hash of a message by its id.
    pub(crate) fn hash_of(&self, id: i64) -> Result<Option<String>, Error> {
        self.one(
            "SELECT item_hash FROM messages WHERE id = ?1",
            [id],
            |row| row.get(0),
        )
    }

    /// The id of a text that some row names.
    pub(crate) fn known_name(&self, text: &str) -> Result<Option<i64>, Error> {
        if let Some(id) = self.memory().and_then(|memory| memory.borrow().name(text)) {
            return Ok(Some(id));
        }
        self.one("SELECT id FROM names WHERE text = ?1", [text], |row| {
            row.get(0)
        })
    }

    /// The text of an id. Rows of a list often name the same few.
    pub(crate) fn text_of(&self, id: i64) -> Result<String, Error> {
        if let Some(text) = self.texts().borrow().get(&id) {
            return Ok(text.clone());
        }
        let text = self.one("SELECT text FROM names WHERE id = ?1", [id], |row| {
            row.get::<_, String>(0)
        })?;
        let text = text
            .ok_or_else(|| Error::Damaged(format!("a row names text {id}, which is not there")))?;
        let mut texts = self.texts().borrow_mut();
        if texts.len() < TEXTS_MAX {
            texts.insert(id, text.clone());
        }
        Ok(text)
    }

    /// The id of a text, given to it now when it has none.
    pub(crate) fn name(&self, text: &str) -> Result<i64, Error> {
        let known = self.known_name(text)?;
        let id = match known {
            Some(id) => id,
            None => {
                self.run("INSERT INTO names (text) VALUES (?1)", [text])?;
                self.connection().last_insert_rowid()
            }
        };
        if let Some(memory) = self.memory() {
            memory.borrow_mut().remember_name(text, id);
        }
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_keep_the_order() {
        let hash = |first: &str| format!("{first}{}", "0".repeat(64 - first.len()));
        let ordered = ["0", "00000000000000010", "7fff", "8", "ffffffffffffffff1"].map(hash);
        for pair in ordered.windows(2) {
            assert!(prefix(&pair[0]) < prefix(&pair[1]), "{pair:?}");
        }
        assert_ne!(
            prefix("Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"),
            prefix("QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o")
        );
    }

    #[test]
    fn codes_come_back() {
        for message_type in MessageType::ALL {
            assert_eq!(type_of(type_code(message_type)).unwrap(), message_type);
        }
        assert!(type_of(7).is_err());
    }
}
