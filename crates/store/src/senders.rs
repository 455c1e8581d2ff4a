//! How many messages each address signed: kept by the writer, so that nobody
//! counts messages (core-api.md §7.1, §7.2).
//!
//! Changes are summed up in memory and written once a transaction, one row for
//! each sender that occurred in it.

use std::collections::BTreeMap;

use beth_protocol::MessageType;

use crate::error::Error;
use crate::keys::{status_code, type_code};
use crate::state::State;

/// Processed messages of a sender more or less, by the code of their type.
pub(crate) type Sent = [i64; MessageType::ALL.len()];

impl State<'_> {
    /// So many messages of a sender (an id) more, of a type and status (codes).
    pub(crate) fn sent(&self, sender: i64, (kind, status): (i64, i64), change: i64) {
        if Some(status) != status_code(beth_protocol::Status::Processed) {
            return;
        }
        if let Some(memory) = self.memory() {
            let mut memory = memory.borrow_mut();
            let sent = memory.sent.entry(sender).or_default();
            let kind = usize::try_from(kind).ok();
            if let Some(count) = kind.and_then(|kind| sent.get_mut(kind)) {
                *count += change;
            }
        }
    }

    /// Writes what changed.
    pub(crate) fn keep_senders(&self, changes: BTreeMap<i64, Sent>) -> Result<(), Error> {
        for (id, sent) in changes {
            let of = |kind| sent[type_code(kind) as usize];
            let total: i64 = sent.iter().sum();
            let row = (
                id,
                total,
                of(MessageType::Post),
                of(MessageType::Aggregate),
                of(MessageType::Store),
                of(MessageType::Program),
                of(MessageType::Instance),
                of(MessageType::Forget),
            );
            let known = self.run(
                "UPDATE senders SET messages = messages + ?2, post = post + ?3, aggregate = aggregate + ?4,
                    store = store + ?5, program = program + ?6, instance = instance + ?7, forget = forget + ?8
                 WHERE id = ?1",
                row,
            )?;
            if known == 0 {
                self.run(
                    "INSERT INTO senders (id, address, messages, post, aggregate, store, program, instance, forget)
                     SELECT ?1, text, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM names WHERE id = ?1",
                    row,
                )?;
            } else if total < 0 {
                self.run("DELETE FROM senders WHERE id = ?1 AND messages = 0", [id])?;
            }
        }
        Ok(())
    }
}
