//! What the writer remembers between statements: ids of names, the sums of the
//! state digest, counters, whether anything waits. It is thrown away when a
//! transaction fails, and read again.

use std::collections::{BTreeMap, HashMap};

use beth_protocol::digest::{Fact, Part, SetHash, StateHash};

use crate::error::Error;
use crate::limits::{NAME_BYTES_MAX, NAMES_MAX};
use crate::reconcile::SpanChanges;
use crate::senders::Sent;
use crate::state::State;

/// Memory of one writer.
#[derive(Default)]
pub(crate) struct Memory {
    names: HashMap<String, i64>,
    sums: StateHash,
    touched: [bool; Part::ALL.len()],
    counted: BTreeMap<(i64, i64), i64>,
    /// By dimension, name and type.
    tallied: HashMap<(i64, i64, i64), i64>,
    pub(crate) sent: BTreeMap<i64, Sent>,
    pub(crate) elements: SpanChanges,
    pub(crate) waiting: Option<bool>,
    /// The hash looked for last, when it was not among those out of force.
    unknown: Option<String>,
}

impl Memory {
    pub(crate) fn name(&self, text: &str) -> Option<i64> {
        self.names.get(text).copied()
    }

    pub(crate) fn tallied(&mut self, key: (i64, i64, i64), change: i64) {
        *self.tallied.entry(key).or_default() += change;
    }

    pub(crate) fn remember_name(&mut self, text: &str, id: i64) {
        if text.len() > NAME_BYTES_MAX || self.names.contains_key(text) {
            return;
        }
        if self.names.len() >= NAMES_MAX {
            self.names.clear();
        }
        self.names.insert(text.to_owned(), id);
    }
}

impl State<'_> {
    /// True when this hash was just looked for among those out of force
    /// (pending, rejected, forgotten, removed), and is not there.
    pub(crate) fn is_unknown(&self, item_hash: &str) -> bool {
        self.memory()
            .is_some_and(|memory| memory.borrow().unknown.as_deref() == Some(item_hash))
    }

    /// Remembers what a search among those out of force found.
    pub(crate) fn searched(&self, item_hash: &str, is_there: bool) {
        if let Some(memory) = self.memory() {
            memory.borrow_mut().unknown = (!is_there).then(|| item_hash.to_owned());
        }
    }

    /// A fact holds now.
    pub(crate) fn fact_added(&self, fact: &Fact) {
        if let Some(memory) = self.memory() {
            let mut memory = memory.borrow_mut();
            memory.sums.add(fact);
            memory.touched[fact.part() as usize] = true;
        }
    }

    /// A fact holds no longer.
    pub(crate) fn fact_removed(&self, fact: &Fact) {
        if let Some(memory) = self.memory() {
            let mut memory = memory.borrow_mut();
            memory.sums.remove(fact);
            memory.touched[fact.part() as usize] = true;
        }
    }

    /// So many messages of a type and status (codes) more.
    pub(crate) fn counted(&self, key: (i64, i64), change: i64) {
        if let Some(memory) = self.memory() {
            *memory.borrow_mut().counted.entry(key).or_default() += change;
        }
    }

    /// Reads what a new writer must know.
    pub(crate) fn recall(&self) -> Result<Memory, Error> {
        Ok(Memory {
            sums: self.sums()?,
            ..Memory::default()
        })
    }

    /// Writes what changed; part of every transaction.
    pub(crate) fn keep(&self) -> Result<(), Error> {
        let Some(memory) = self.memory() else {
            return Ok(());
        };
        let mut memory = memory.borrow_mut();
        memory.waiting = None;
        memory.unknown = None;
        for part in Part::ALL {
            if std::mem::take(&mut memory.touched[part as usize]) {
                self.run(
                    "INSERT INTO digest (part, sum) VALUES (?1, ?2) ON CONFLICT (part) DO UPDATE SET sum = ?2",
                    (part as i64, memory.sums.part(part).to_bytes()),
                )?;
            }
        }
        self.keep_senders(std::mem::take(&mut memory.sent))?;
        self.keep_spans(std::mem::take(&mut memory.elements))?;
        for ((message_type, status), change) in std::mem::take(&mut memory.counted) {
            self.run(
                "INSERT INTO counters (type, status, count) VALUES (?1, ?2, ?3)
                 ON CONFLICT (type, status) DO UPDATE SET count = count + ?3",
                (message_type, status, change),
            )?;
        }
        let mut tallied: Vec<_> = std::mem::take(&mut memory.tallied).into_iter().collect();
        // In the order of the table.
        tallied.sort_unstable();
        for ((dimension, name, message_type), change) in tallied {
            self.run(
                "INSERT INTO tallies (dimension, name, type, count) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (dimension, name, type) DO UPDATE SET count = count + ?4",
                (dimension, name, message_type, change),
            )?;
        }
        Ok(())
    }

    /// The sums of the state digest, as stored.
    pub(crate) fn sums(&self) -> Result<StateHash, Error> {
        let rows = self.all("SELECT part, sum FROM digest", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let mut sums = StateHash::default();
        for (number, bytes) in rows {
            let part = Part::ALL.into_iter().find(|part| *part as i64 == number);
            let (Some(part), Some(sum)) = (part, SetHash::from_bytes(&bytes)) else {
                return Err(Error::Damaged(format!("part {number} of the state digest")));
            };
            sums.set(part, sum);
        }
        Ok(sums)
    }
}
