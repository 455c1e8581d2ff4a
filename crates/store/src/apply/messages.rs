//! Rows of messages in force.

use beth_protocol::digest::{Fact, Part};
use beth_protocol::judge::Complete;
use beth_protocol::time::Timestamp;
use beth_protocol::{Content, ItemType, Message, MessageType, Status};
use serde_json::Value;

use crate::error::Error;
use crate::keys::{prefix, status_code, type_code};
use crate::rows::StoredMessage;
use crate::state::State;

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
                name(message.channel.as_deref())?,
                message.time.micros(),
                reception_time.micros(),
                content.size as i64,
                message.signature,
                message.item_type.as_str(),
                name(index.content_type)?,
                index.reference,
                name(index.key)?,
                index.file,
                content
                    .typed
                    .payment()
                    .map(|payment| payment.payment_type.as_str()),
                body,
            ],
        )?;
        let id = self.connection().last_insert_rowid();
        for tag in tags(message.message_type, &content.raw) {
            self.run(
                "INSERT OR IGNORE INTO message_tags (tag, message_id) VALUES (?1, ?2)",
                (tag, id),
            )?;
        }
        self.counted((kind, 0), 1);
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
        let before: Option<i64> =
            self.one("SELECT status FROM messages WHERE id = ?1", [id], |row| {
                row.get(0)
            })?;
        self.run("UPDATE messages SET status = ?2 WHERE id = ?1", [id, code])?;
        if let Some(before) = before {
            self.counted((kind, before), -1);
            self.counted((kind, code), 1);
        }
        Ok(())
    }

    /// Deletes the row of a message; what it did is undone by others.
    pub(crate) fn delete_message(&self, stored: &StoredMessage) -> Result<(), Error> {
        let message = &stored.message;
        let Some(id) = self.message_id(message.item_hash.as_str())? else {
            return Ok(());
        };
        self.run("DELETE FROM messages WHERE id = ?1", [id])?;
        self.run("DELETE FROM message_tags WHERE message_id = ?1", [id])?;
        self.drop_measurements(id)?;
        let status = status_code(stored.status).unwrap_or_default();
        self.counted((type_code(message.message_type), status), -1);
        self.fact_removed(&in_force(message));
        Ok(())
    }
}

/// The fact that a message is in force (processed or removing).
pub(crate) fn in_force(message: &Message) -> Fact {
    Fact::new(Part::Messages, "message")
        .text(message.item_hash.as_str())
        .text(message.message_type.as_str())
        .text(message.chain.as_str())
        .text(&message.sender)
        .optional(message.signature.as_deref())
        .text(message.item_type.as_str())
        .number(message.time.micros())
        .optional(message.channel.as_deref())
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
