//! Deleting messages and what they did (processing.md §13).

use beth_protocol::content::StoreContent;
use beth_protocol::judge::files::tag_of;
use beth_protocol::time::Timestamp;
use beth_protocol::{Chain, Content, ItemHash, ItemType, Message, MessageType, Status};
use serde_json::Value;

use crate::balances::clock;
use crate::blobs::Extent;
use crate::error::Error;
use crate::limits::GRACE_SECONDS;
use crate::query::forgotten::ForgottenMessage;
use crate::state::{State, json};

impl State<'_> {
    /// Deletes one message on behalf of a FORGET. Answers owner and key of the
    /// aggregate that lost a revision by it: it must be merged again before the
    /// transaction ends.
    pub(crate) fn forget(
        &self,
        item_hash: &str,
        forgotten_by: &str,
        at: Timestamp,
    ) -> Result<Option<(String, String)>, Error> {
        let Some(target) = self.stored_message(item_hash)? else {
            self.forget_again(item_hash, forgotten_by, 1)?;
            return Ok(None);
        };
        let id = self.message_id(item_hash)?.unwrap_or_default();
        let message = &target.message;
        let file = target.content["item_hash"]
            .as_str()
            .filter(|_| message.message_type == MessageType::Store);
        let size = file
            .map(|hash| self.file_bytes(hash))
            .transpose()?
            .flatten();
        self.run(
            "INSERT OR REPLACE INTO forgotten (item_hash, type, chain, sender, signature, item_type, time, channel,
                owner, payment_type, size, forgotten_at, forgotten_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            rusqlite::params![
                item_hash,
                message.message_type.as_str(),
                message.chain.as_str(),
                message.sender,
                message.signature,
                message.item_type.as_str(),
                message.time.micros(),
                message.channel,
                target.content["address"].as_str().unwrap_or(&message.sender),
                target.content["payment"]["type"].as_str().unwrap_or("hold"),
                size,
                at.micros(),
                serde_json::json!([forgotten_by]).to_string(),
            ],
        )?;
        if message.message_type == MessageType::Post {
            self.forget_post(item_hash)?;
        }
        self.erase(&target)?;
        self.run("DELETE FROM removed WHERE item_hash = ?1", [item_hash])?;
        self.write_status(item_hash, Status::Forgotten, at)?;
        self.run(
            "DELETE FROM file_pins WHERE item_hash = ?1 AND kind = 'content'",
            [item_hash],
        )?;
        match message.message_type {
            MessageType::Aggregate => return self.forget_element(id, &target.content),
            MessageType::Store => {
                let content = Content::parse(MessageType::Store, &target.content);
                if let Ok(Content::Store(content)) = content {
                    self.forget_file(item_hash, &content)?;
                }
            }
            MessageType::Program | MessageType::Instance | MessageType::VerifiedProgram => {
                self.run("DELETE FROM machines WHERE item_hash = ?1", [item_hash])?;
            }
            MessageType::Post | MessageType::Forget => {}
        }
        Ok(None)
    }

    /// A FORGET names a forgotten message so many times more.
    pub(crate) fn forget_again(
        &self,
        item_hash: &str,
        forgotten_by: &str,
        times: usize,
    ) -> Result<(), Error> {
        let before: Option<String> = self.one(
            "SELECT forgotten_by FROM forgotten WHERE item_hash = ?1",
            [item_hash],
            |row| row.get(0),
        )?;
        let Some(before) = before else {
            return Ok(());
        };
        let mut list = parse_list(&before)?;
        list.extend(std::iter::repeat_n(forgotten_by.into(), times));
        let after = Value::Array(list).to_string();
        self.run(
            "UPDATE forgotten SET forgotten_by = ?2 WHERE item_hash = ?1",
            [item_hash, &after],
        )?;
        Ok(())
    }

    /// A message that is not in force here was forgotten elsewhere.
    pub(crate) fn forget_gone(
        &self,
        message: &Message,
        forgotten_by: &str,
        at: Timestamp,
    ) -> Result<(), Error> {
        let item_hash = message.item_hash.as_str();
        if self.forgotten_message(item_hash)?.is_some() {
            return self.forget_again(item_hash, forgotten_by, 1);
        }
        self.run(
            "INSERT INTO forgotten (item_hash, type, chain, sender, signature, item_type, time, channel,
                owner, payment_type, size, forgotten_at, forgotten_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?4, 'hold', NULL, ?9, ?10)",
            rusqlite::params![
                item_hash,
                message.message_type.as_str(),
                message.chain.as_str(),
                message.sender,
                message.signature,
                message.item_type.as_str(),
                message.time.micros(),
                message.channel,
                at.micros(),
                serde_json::json!([forgotten_by]).to_string(),
            ],
        )?;
        self.run("DELETE FROM removed WHERE item_hash = ?1", [item_hash])?;
        self.write_status(item_hash, Status::Forgotten, at)
    }

    /// The envelopes of those of these messages that this one deleted.
    pub fn gone(&self, hashes: &[&str], forgotten_by: &str) -> Result<Vec<Message>, Error> {
        let mut gone = Vec::new();
        for hash in hashes {
            let Some(found) = self.forgotten_message(hash)? else {
                continue;
            };
            if found.forgotten_by.iter().any(|by| by == forgotten_by) {
                gone.push(envelope(found)?);
            }
        }
        Ok(gone)
    }

    fn file_bytes(&self, hash: &str) -> Result<Option<i64>, Error> {
        self.one("SELECT size FROM files WHERE hash = ?1", [hash], |row| {
            row.get(0)
        })
    }

    fn forget_file(&self, item_hash: &str, content: &StoreContent) -> Result<(), Error> {
        self.run(
            "DELETE FROM file_pins WHERE item_hash = ?1 AND kind = 'message'",
            [item_hash],
        )?;
        self.rebuild_tag(item_hash, content)?;
        self.keep_for_grace(content.item_hash.as_str(), clock())
    }

    /// The tag goes to the newest remaining pin that computes to it.
    pub(crate) fn rebuild_tag(&self, item_hash: &str, content: &StoreContent) -> Result<(), Error> {
        let tag = &*tag_of(item_hash, content);
        self.delete_tag(tag)?;
        let label = content.reference.as_deref().unwrap_or(tag);
        let newest: Option<(String, String, i64)> = self.one(
            "SELECT owner, file_hash, created FROM file_pins
             WHERE kind = 'message' AND ((ref = ?1 AND (?1 = ?2 OR owner = ?3)) OR (ref IS NULL AND item_hash = ?2))
             ORDER BY created DESC, file_hash DESC LIMIT 1",
            [label, tag, &content.address],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        match newest {
            Some((owner, file, created)) => {
                self.write_tag(tag, &owner, &file, Timestamp::from_micros(created))
            }
            None => Ok(()),
        }
    }

    /// A file without any pin left is kept one more day.
    pub(crate) fn keep_for_grace(&self, file_hash: &str, now: Timestamp) -> Result<(), Error> {
        self.run(
            "INSERT INTO file_pins (file_hash, kind, created, delete_by)
             SELECT ?1, 'grace', ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM file_pins WHERE file_hash = ?1)",
            (file_hash, now.micros(), now.micros() + GRACE_SECONDS * 1_000_000),
        )?;
        Ok(())
    }

    /// True when a file is registered.
    pub fn knows_file(&self, hash: &str) -> Result<bool, Error> {
        Ok(self.file_bytes(hash)?.is_some())
    }

    /// Registers a content that is on the disk, with its size.
    pub fn add_file(&self, hash: &str, extent: impl Into<Extent>) -> Result<(), Error> {
        let extent = extent.into();
        self.run(
            "INSERT INTO files (hash, size, kind) VALUES (?1, ?2, ?3)
             ON CONFLICT (hash) DO UPDATE SET size = ?2, kind = ?3",
            (hash, extent.size_bytes as i64, extent.shape.as_str()),
        )?;
        Ok(())
    }

    /// Registers an upload that no message names yet.
    pub fn add_upload(
        &self,
        hash: &str,
        extent: impl Into<Extent>,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.add_file(hash, extent)?;
        self.keep_for_grace(hash, now)
    }

    /// The file declared under a STORE hash.
    pub fn well_known(&self, item_hash: &str) -> Result<Option<String>, Error> {
        let sql = "SELECT file_hash FROM file_pins WHERE item_hash = ?1 AND kind = 'well_known'";
        self.one(sql, [item_hash], |row| row.get(0))
    }

    /// Declares a file of the operator under a STORE hash that this node does
    /// not have the message of (a published runtime built here).
    pub fn declare_well_known(
        &self,
        item_hash: &str,
        file_hash: &str,
        size_bytes: u64,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.add_file(file_hash, size_bytes)?;
        self.run(
            "DELETE FROM file_pins WHERE item_hash = ?1 AND kind = 'well_known'",
            [item_hash],
        )?;
        self.run(
            "INSERT INTO file_pins (file_hash, kind, item_hash, owner, created) VALUES (?1, 'well_known', ?2, '', ?3)",
            (file_hash, item_hash, now.micros()),
        )?;
        self.run(
            "DELETE FROM file_tags WHERE tag = ?1 AND owner = ''",
            [item_hash],
        )?;
        // A real STORE message of that hash has the last word.
        self.run(
            "INSERT OR IGNORE INTO file_tags (tag, owner, file_hash, last_updated) VALUES (?1, '', ?2, 0)",
            [item_hash, file_hash],
        )?;
        Ok(())
    }
}

fn parse_list(text: &str) -> Result<Vec<Value>, Error> {
    match json(text)? {
        Value::Array(list) => Ok(list),
        other => Err(Error::Damaged(format!("no list of hashes: {other}"))),
    }
}

/// The envelope of a forgotten message.
fn envelope(found: ForgottenMessage) -> Result<Message, Error> {
    let damaged =
        |what: &str| Error::Damaged(format!("{what} of the forgotten {}", found.item_hash));
    Ok(Message {
        chain: Chain::parse(&found.chain).ok_or_else(|| damaged("chain"))?,
        message_type: MessageType::parse(&found.message_type).ok_or_else(|| damaged("type"))?,
        item_type: ItemType::parse(&found.item_type).ok_or_else(|| damaged("item type"))?,
        item_hash: ItemHash::parse(&found.item_hash).map_err(|_| damaged("hash"))?,
        sender: found.sender,
        signature: found.signature,
        item_content: None,
        time: found.time,
        channel: found.channel,
    })
}
