//! Applying effects: the only way the state changes.

use beth_protocol::aggregate::{Element, append, merge, prepend};
use beth_protocol::content::{Content, PaymentType};
use beth_protocol::cost::CostRow;
use beth_protocol::judge::{Complete, Effect, MachineRow, PostRow, Rules};
use beth_protocol::time::Timestamp;
use beth_protocol::{MessageType, Status};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::state::{State, object};

impl State<'_> {
    /// Inserts an accepted message and applies its effects. The caller holds
    /// the transaction.
    pub fn apply(
        &self,
        complete: &Complete,
        effects: &[Effect],
        rules: &Rules,
        reception_time: Timestamp,
    ) -> Result<(), Error> {
        self.insert_message(complete, reception_time)?;
        self.run(
            "DELETE FROM pending WHERE item_hash = ?1",
            [complete.message.item_hash.as_str()],
        )?;
        self.write_status(
            complete.message.item_hash.as_str(),
            Status::Processed,
            reception_time,
        )?;
        for effect in effects {
            self.apply_effect(complete, effect, rules)?;
        }
        Ok(())
    }

    /// Sets the status; the earliest reception time is kept.
    pub(crate) fn write_status(
        &self,
        item_hash: &str,
        status: Status,
        at: Timestamp,
    ) -> Result<(), Error> {
        self.run(
            "INSERT INTO message_status (item_hash, status, reception_time) VALUES (?1, ?2, ?3)
             ON CONFLICT (item_hash) DO UPDATE SET status = ?2, reception_time = min(reception_time, ?3)",
            (item_hash, status.as_str(), at.micros()),
        )?;
        Ok(())
    }

    fn insert_message(&self, complete: &Complete, reception_time: Timestamp) -> Result<(), Error> {
        let message = &complete.message;
        let content = &complete.content;
        let index = Indexed::of(&content.typed);
        self.run(
            "INSERT INTO messages (item_hash, type, status, chain, sender, owner, channel, time, reception_time,
                size, signature, item_type, content_type, content_ref, content_key, content_hash, payment_type,
                item_content, content)
             VALUES (?1, ?2, 'processed', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
            rusqlite::params![
                message.item_hash.as_str(),
                message.message_type.as_str(),
                message.chain.as_str(),
                message.sender,
                content.typed.address(),
                message.channel,
                message.time.micros(),
                reception_time.micros(),
                content.size as i64,
                message.signature,
                message.item_type.as_str(),
                index.content_type,
                index.reference,
                index.key,
                index.file,
                content.typed.payment().map(|payment| payment.payment_type.as_str()),
                message.item_content,
                content.raw.to_string(),
            ],
        )?;
        let id = self.connection().last_insert_rowid();
        for tag in tags(message.message_type, &content.raw) {
            self.run(
                "INSERT OR IGNORE INTO message_tags (tag, message_id) VALUES (?1, ?2)",
                (tag, id),
            )?;
        }
        Ok(())
    }

    fn apply_effect(
        &self,
        complete: &Complete,
        effect: &Effect,
        rules: &Rules,
    ) -> Result<(), Error> {
        let item_hash = complete.message.item_hash.as_str();
        match effect {
            Effect::Post(row) => {
                self.apply_post(item_hash, complete.message.channel.as_deref(), row)
            }
            Effect::Element {
                owner,
                key,
                time,
                content,
            } => {
                self.run(
                    "INSERT INTO aggregate_elements (item_hash, owner, key, time, content) VALUES (?1, ?2, ?3, ?4, ?5)",
                    (item_hash, owner, key, time.micros(), Value::Object(content.clone()).to_string()),
                )?;
                if rules.unbuilt_aggregate_owners.contains(owner) {
                    return Ok(());
                }
                let element = Element {
                    item_hash: item_hash.to_owned(),
                    time: *time,
                    content: content.clone(),
                };
                self.add_revision(owner, key, element)
            }
            Effect::MessagePin {
                file_hash,
                owner,
                reference,
                created,
            } => {
                self.run(
                    "INSERT INTO file_pins (file_hash, kind, item_hash, owner, ref, created)
                     VALUES (?1, 'message', ?2, ?3, ?4, ?5)",
                    (file_hash, item_hash, owner, reference, created.micros()),
                )?;
                self.run(
                    "DELETE FROM file_pins WHERE file_hash = ?1 AND kind = 'grace' AND item_hash IS NULL",
                    [file_hash],
                )?;
                Ok(())
            }
            Effect::Tag {
                tag,
                owner,
                file_hash,
                last_updated,
            } => self.write_tag(tag, owner, file_hash, *last_updated),
            Effect::ContentPin {
                file_hash,
                owner,
                size_bytes,
                created,
            } => {
                self.add_file(file_hash, *size_bytes)?;
                self.run(
                    "INSERT OR IGNORE INTO file_pins (file_hash, kind, item_hash, owner, created)
                     VALUES (?1, 'content', ?2, ?3, ?4)",
                    (file_hash, item_hash, owner, created.micros()),
                )?;
                Ok(())
            }
            Effect::Machine(row) => self.apply_machine(item_hash, row),
            Effect::Costs {
                owner,
                payment,
                rows,
            } => self.apply_costs(item_hash, owner, *payment, rows),
            Effect::Balances(updates) => self.apply_balances(updates),
            Effect::Credits(credits) => self.apply_credits(item_hash, credits),
            Effect::Forget { item_hash: target } => {
                self.forget(target, item_hash, complete.message.time)
            }
        }
    }

    fn apply_post(
        &self,
        item_hash: &str,
        channel: Option<&str>,
        row: &PostRow,
    ) -> Result<(), Error> {
        self.run(
            "INSERT INTO posts (item_hash, owner, type, ref, amends, channel, created, last_updated)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
            (item_hash, &row.owner, &row.post_type, &row.reference, &row.amends, channel, row.created.micros()),
        )?;
        if let (Some(original), true) = (&row.amends, row.is_latest) {
            self.run(
                "UPDATE posts SET latest_amend = ?2, last_updated = ?3 WHERE item_hash = ?1",
                (original, item_hash, row.created.micros()),
            )?;
        }
        Ok(())
    }

    /// Adds a revision. The newest is merged over, one older than all is merged
    /// under; only one in between needs a full merge.
    fn add_revision(&self, owner: &str, key: &str, element: Element) -> Result<(), Error> {
        let place = "owner = ?1 AND key = ?2";
        let current = self.one(
            &format!(
                "SELECT content, created, first_hash, last_updated, last_revision
                 FROM aggregates WHERE {place}"
            ),
            [owner, key],
            |row| {
                let first = (row.get::<_, i64>(1)?, row.get::<_, String>(2)?);
                let last = (row.get::<_, i64>(3)?, row.get::<_, String>(4)?);
                Ok((row.get::<_, String>(0)?, first, last))
            },
        )?;
        let Some((content, first, last)) = current else {
            return self.rebuild_aggregate(owner, key);
        };
        let added = (element.time.micros(), element.item_hash);
        let columns = if added > last {
            "last_updated = ?4, last_revision = ?5"
        } else if added < first {
            "created = ?4, first_hash = ?5"
        } else {
            return self.rebuild_aggregate(owner, key);
        };
        let mut merged: Map<String, Value> = object(&content)?;
        if added > last {
            append(&mut merged, element.content);
        } else {
            prepend(&mut merged, element.content);
        }
        self.run(
            &format!("UPDATE aggregates SET content = ?3, {columns} WHERE {place}"),
            (
                owner,
                key,
                Value::Object(merged).to_string(),
                added.0,
                added.1,
            ),
        )?;
        Ok(())
    }

    /// Merges all revisions of an aggregate again; without any it disappears.
    pub(crate) fn rebuild_aggregate(&self, owner: &str, key: &str) -> Result<(), Error> {
        self.run(
            "DELETE FROM aggregates WHERE owner = ?1 AND key = ?2",
            [owner, key],
        )?;
        let rows = self.all(
            "SELECT item_hash, time, content FROM aggregate_elements WHERE owner = ?1 AND key = ?2
             ORDER BY time, item_hash",
            [owner, key],
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, String>(2)?,
                ))
            },
        )?;
        let (Some(first), Some(last)) = (rows.first().cloned(), rows.last().cloned()) else {
            return Ok(());
        };
        let mut elements = Vec::with_capacity(rows.len());
        for (item_hash, time, content) in rows {
            elements.push(Element {
                item_hash,
                time: Timestamp::from_micros(time),
                content: object(&content)?,
            });
        }
        let merged = merge(elements).unwrap_or_default();
        self.run(
            "INSERT INTO aggregates (owner, key, created, last_updated, first_hash, last_revision, content)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (owner, key, first.1, last.1, first.0, last.0, Value::Object(merged).to_string()),
        )?;
        Ok(())
    }

    pub(crate) fn write_tag(
        &self,
        tag: &str,
        owner: &str,
        file_hash: &str,
        at: Timestamp,
    ) -> Result<(), Error> {
        self.run(
            "INSERT INTO file_tags (tag, owner, file_hash, last_updated) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (tag) DO UPDATE SET owner = ?2, file_hash = ?3, last_updated = ?4
             WHERE (last_updated, file_hash) < (?4, ?3)",
            (tag, owner, file_hash, at.micros()),
        )?;
        Ok(())
    }

    fn apply_machine(&self, item_hash: &str, row: &MachineRow) -> Result<(), Error> {
        self.run(
            "INSERT INTO machines (item_hash, type, owner, allow_amend, is_persistent, triggers, created)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (
                item_hash,
                row.machine_type,
                &row.owner,
                row.allow_amend,
                row.is_persistent,
                row.triggers.as_ref().map(Value::to_string),
                row.created.micros(),
            ),
        )?;
        for reference in &row.uses {
            self.run(
                "INSERT OR IGNORE INTO machine_files (reference, item_hash) VALUES (?1, ?2)",
                [reference.as_str(), item_hash],
            )?;
        }
        Ok(())
    }

    fn apply_costs(
        &self,
        item_hash: &str,
        owner: &str,
        payment: PaymentType,
        rows: &[CostRow],
    ) -> Result<(), Error> {
        self.run("DELETE FROM costs WHERE item_hash = ?1", [item_hash])?;
        for (ordinal, row) in rows.iter().enumerate() {
            self.run(
                "INSERT INTO costs (item_hash, ordinal, owner, payment, type, name, ref, hold, stream, credit, size_mib)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                (
                    item_hash,
                    ordinal as i64,
                    owner,
                    payment.as_str(),
                    row.cost_type.as_str(),
                    &row.name,
                    &row.reference,
                    row.hold.to_cost_string(),
                    row.stream.to_cost_string(),
                    row.credit.to_cost_string(),
                    row.size_mib.as_ref().map(ToString::to_string),
                ),
            )?;
        }
        Ok(())
    }
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
pub(crate) fn tags(message_type: MessageType, content: &Value) -> Vec<&str> {
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
