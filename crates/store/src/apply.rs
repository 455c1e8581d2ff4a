//! Applying effects: the only way the state changes.
//!
//! A message and all its effects are applied in one transaction. What other
//! nodes derive alike is also added to the state digest, in the same breath.

mod aggregates;
pub(crate) mod costs;
mod envelope;
mod messages;
mod posts;
mod tags;

pub(crate) use aggregates::{merged_to, sum_of};
pub(crate) use messages::in_force;
pub(crate) use tags::points_to;

use std::collections::BTreeSet;

use beth_protocol::Status;
use beth_protocol::aggregate::Element;
use beth_protocol::judge::{Complete, Effect, MachineRow, Rules};
use beth_protocol::time::Timestamp;
use serde_json::Value;

use crate::error::Error;
use crate::state::State;

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
        let since = self.clear_status(complete.message.item_hash.as_str())?;
        let reception_time = since.map_or(reception_time, |since| since.min(reception_time));
        let id = self.insert_message(complete, reception_time)?;
        let mut touched = BTreeSet::new();
        for effect in effects {
            self.apply_effect((id, complete), effect, (rules, &mut touched))?;
        }
        // Once each: a FORGET may name every revision of an aggregate.
        for (owner, key) in &touched {
            self.rebuild_aggregate(owner, key)?;
        }
        // A confirmation may have come while it waited.
        if since.is_some() {
            self.place_confirmed(complete.message.item_hash.as_str())?;
        }
        Ok(())
    }

    /// Sets the status of a hash that is not in force; the earliest reception
    /// time is kept.
    pub(crate) fn write_status(
        &self,
        item_hash: &str,
        status: Status,
        at: Timestamp,
    ) -> Result<(), Error> {
        self.searched(item_hash, true);
        self.run(
            "INSERT INTO message_status (item_hash, status, reception_time) VALUES (?1, ?2, ?3)
             ON CONFLICT (item_hash) DO UPDATE SET status = ?2, reception_time = min(reception_time, ?3)",
            (item_hash, status.as_str(), at.micros()),
        )?;
        Ok(())
    }

    /// The hash leaves the list of those not in force; answers since when it
    /// was known.
    fn clear_status(&self, item_hash: &str) -> Result<Option<Timestamp>, Error> {
        let Some((status, since)) = self.unapplied_status(item_hash)? else {
            return Ok(None);
        };
        self.run(
            "DELETE FROM message_status WHERE item_hash = ?1",
            [item_hash],
        )?;
        if status == Status::Pending {
            self.run("DELETE FROM pending WHERE item_hash = ?1", [item_hash])?;
        }
        Ok(Some(since))
    }

    /// `touched`: owner and key of aggregates that must be merged again.
    fn apply_effect(
        &self,
        (id, complete): (i64, &Complete),
        effect: &Effect,
        (rules, touched): (&Rules, &mut BTreeSet<(String, String)>),
    ) -> Result<(), Error> {
        let item_hash = complete.message.item_hash.as_str();
        match effect {
            Effect::Post(row) => {
                self.apply_post((id, item_hash), complete.message.channel.as_deref(), row)
            }
            Effect::Element {
                owner,
                key,
                time,
                content,
            } => {
                self.add_element(id, (owner, key), *time)?;
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
            } => self.apply_costs(item_hash, (owner, *payment), rows),
            Effect::Balances(updates) => self.apply_balances(updates),
            Effect::Measurements(rows) => self.add_measurements(id, rows),
            Effect::Credits(credits) => self.apply_credits(item_hash, credits),
            Effect::Forget { item_hash: target } => {
                touched.extend(self.forget(target, item_hash, complete.message.time)?);
                Ok(())
            }
            Effect::ForgetGone { message } => {
                self.forget_gone(message, item_hash, complete.message.time)
            }
            Effect::ForgetAgain {
                item_hash: target,
                times,
            } => self.forget_again(target, item_hash, *times),
        }
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
}
