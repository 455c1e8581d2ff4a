//! Rows of messages in force.

use beth_protocol::digest::{Fact, Part};
use beth_protocol::judge::Complete;
use beth_protocol::reconcile::Element;
use beth_protocol::time::Timestamp;
use beth_protocol::{Content, ItemType, Message, MessageType, Status};
use serde_json::Value;

use crate::error::Error;
use crate::keys::{prefix, status_code, type_code};
use crate::rows::StoredMessage;
use crate::state::State;
use crate::tallies::{Dimension, bucket};

impl State<'_> {
    /// Inserts a processed message; answers its id.
    pub(super) fn insert_message(
        &self,
        complete: &Complete,
        reception_time: Timestamp,
    ) -> Result<i64, Error> {
        let message = &complete.message;
        let content = &complete.content;
        let index = Indexed::of(&content.typed);
        let name = |text: Option<&str>| text.map(|text| self.name(text)).transpose();
        let written;
        let body = match &message.item_content {
            Some(text) if message.item_type == ItemType::Inline => text,
            _ => {
                written = content.raw.to_string();
                &written
            }
        };
        let sender = self.name(&message.sender)?;
        let owner = content.typed.address();
        let owner = if owner == message.sender {
            sender
        } else {
            self.name(owner)?
        };
        let kind = type_code(message.message_type);
        let channel = name(message.channel.as_deref())?;
        let content_type = name(index.content_type)?;
        let key = name(index.key)?;
        let payment = content.typed.payment();
        let payment = payment.map(|payment| payment.payment_type.as_str());
        self.run(
            "INSERT INTO messages (prefix, item_hash, type, status, chain, sender, owner, channel, time,
                reception_time, size, signature, item_type, content_type, content_ref, content_key, content_hash,
                payment_type, body)
             VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
            rusqlite::params![
                prefix(message.item_hash.as_str()),
                message.item_hash.as_str(),
                kind,
                message.chain.as_str(),
                sender,
                owner,
                channel,
                message.time.micros(),
                reception_time.micros(),
                content.size as i64,
                message.signature,
                message.item_type.as_str(),
                content_type,
                index.reference,
                key,
                index.file,
                payment,
                body,
            ],
        )?;
        let id = self.connection().last_insert_rowid();
        let found_by = FoundBy {
            kind,
            sender,
            owner,
            channel,
            content_type,
            key,
            chain: self.name(message.chain.as_str())?,
            payment: name(payment)?,
            time: message.time.micros(),
        };
        self.tally_message(&found_by, 1);
        for tag in tags(message.message_type, &content.raw) {
            self.add_tag((id, prefix(message.item_hash.as_str())), tag, &found_by)?;
        }
        self.counted((kind, 0), 1);
        self.sent(sender, (kind, 0), 1);
        self.element_added(element_of(message));
        self.fact_added(&in_force(message));
        Ok(id)
    }

    /// Processed ↔ removing: both are in force.
    pub(crate) fn change_status(&self, message: &Message, status: Status) -> Result<(), Error> {
        let Some(id) = self.message_id(message.item_hash.as_str())? else {
            return Ok(());
        };
        let Some(code) = status_code(status) else {
            return Err(Error::Damaged(format!(
                "{status} is no status of a message in force"
            )));
        };
        let kind = type_code(message.message_type);
        let before: Option<(i64, i64)> = self.one(
            "SELECT status, sender FROM messages WHERE id = ?1",
            [id],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        self.run("UPDATE messages SET status = ?2 WHERE id = ?1", [id, code])?;
        if let Some((before, sender)) = before {
            for (status, change) in [(before, -1), (code, 1)] {
                self.counted((kind, status), change);
                self.sent(sender, (kind, status), change);
            }
        }
        Ok(())
    }

    fn add_tag(&self, (id, prefix): (i64, i64), tag: &str, by: &FoundBy) -> Result<(), Error> {
        let tag = self.name(tag)?;
        let added = self.run(
            "INSERT OR IGNORE INTO message_tags (tag, time, prefix, id, type, sender, owner, channel, content_type)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            rusqlite::params![
                tag,
                by.time,
                prefix,
                id,
                by.kind,
                by.sender,
                by.owner,
                by.channel,
                by.content_type
            ],
        )?;
        self.tally(Dimension::Tag, (tag, by.kind), added as i64);
        Ok(())
    }

    /// Deletes the tags of a message, and counts it no longer.
    fn forget_tallies(&self, id: i64) -> Result<(), Error> {
        let sql = "SELECT type, sender, owner, channel, content_type, content_key,
                (SELECT id FROM names WHERE text = chain), (SELECT id FROM names WHERE text = payment_type), time
             FROM messages WHERE id = ?1";
        let found_by = self.one(sql, [id], |row| {
            Ok(FoundBy {
                kind: row.get(0)?,
                sender: row.get(1)?,
                owner: row.get(2)?,
                channel: row.get(3)?,
                content_type: row.get(4)?,
                key: row.get(5)?,
                chain: row.get(6)?,
                payment: row.get(7)?,
                time: row.get(8)?,
            })
        })?;
        let Some(found_by) = found_by else {
            return Ok(());
        };
        self.tally_message(&found_by, -1);
        let sql = "SELECT tag FROM message_tags INDEXED BY message_tags_message WHERE id = ?1";
        for tag in self.all(sql, [id], |row| row.get(0))? {
            self.tally(Dimension::Tag, (tag, found_by.kind), -1);
        }
        self.run("DELETE FROM message_tags WHERE id = ?1", [id])?;
        Ok(())
    }

    fn tally_message(&self, by: &FoundBy, change: i64) {
        for (dimension, name) in [
            (Dimension::Sender, Some(by.sender)),
            (Dimension::Owner, Some(by.owner)),
            (Dimension::Channel, by.channel),
            (Dimension::ContentType, by.content_type),
            (Dimension::Key, by.key),
            (Dimension::Chain, Some(by.chain)),
            (Dimension::Payment, by.payment),
            (Dimension::Time, Some(bucket(by.time))),
        ] {
            if let Some(name) = name {
                self.tally(dimension, (name, by.kind), change);
            }
        }
    }

    /// Deletes the row of a message; what it did is undone by others.
    pub(crate) fn delete_message(&self, stored: &StoredMessage) -> Result<(), Error> {
        let message = &stored.message;
        let Some(id) = self.message_id(message.item_hash.as_str())? else {
            return Ok(());
        };
        self.forget_tallies(id)?;
        self.run("DELETE FROM messages WHERE id = ?1", [id])?;
        self.drop_measurements(id)?;
        let status = status_code(stored.status).unwrap_or_default();
        let counted = (type_code(message.message_type), status);
        self.counted(counted, -1);
        self.sent(self.name(&message.sender)?, counted, -1);
        self.element_removed(element_of(message));
        self.fact_removed(&in_force(message));
        Ok(())
    }
}

/// Its place among all messages.
pub(super) fn element_of(message: &Message) -> Element {
    Element {
        time: message.time.micros(),
        prefix: prefix(message.item_hash.as_str()),
    }
}

/// The fact that a message is in force (processed or removing). Not in it: its
/// signature, of which there may be several, and what nobody signed.
pub(crate) fn in_force(message: &Message) -> Fact {
    Fact::new(Part::Messages, "message")
        .text(message.item_hash.as_str())
        .text(message.message_type.as_str())
        .text(message.chain.as_str())
        .text(&message.sender)
        .text(message.item_type.as_str())
}

/// What a message is found by, as ids and codes.
struct FoundBy {
    kind: i64,
    sender: i64,
    owner: i64,
    channel: Option<i64>,
    content_type: Option<i64>,
    key: Option<i64>,
    chain: i64,
    payment: Option<i64>,
    time: i64,
}

/// Members of a content that messages are found by.
#[derive(Default)]
struct Indexed<'a> {
    content_type: Option<&'a str>,
    reference: Option<&'a str>,
    key: Option<&'a str>,
    file: Option<&'a str>,
}

impl<'a> Indexed<'a> {
    fn of(content: &'a Content) -> Indexed<'a> {
        let none = Indexed::default();
        match content {
            Content::Post(post) => Indexed {
                content_type: Some(&post.post_type),
                reference: post.reference(),
                ..none
            },
            Content::Aggregate(aggregate) => Indexed {
                key: Some(aggregate.key()),
                ..none
            },
            Content::Store(store) => Indexed {
                reference: store.reference.as_deref(),
                file: Some(store.item_hash.as_str()),
                ..none
            },
            Content::Program(program) => Indexed {
                content_type: Some(&program.machine_type),
                ..none
            },
            Content::Instance(_) | Content::VerifiedProgram(_) | Content::Forget(_) => none,
        }
    }
}

/// Search tags of a content (processing.md §1).
fn tags(message_type: MessageType, content: &Value) -> Vec<&str> {
    let list = match message_type {
        MessageType::Post | MessageType::Aggregate => &content["content"]["tags"],
        MessageType::Store => &content["tags"],
        MessageType::Program | MessageType::Instance | MessageType::VerifiedProgram => {
            &content["metadata"]["tags"]
        }
        MessageType::Forget => &Value::Null,
    };
    list.as_array()
        .map(|tags| tags.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}
