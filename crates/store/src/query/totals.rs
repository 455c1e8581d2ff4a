//! Counts of the whole node, and its channels (core-api.md §10.3, §10.4).

use crate::error::Error;
use crate::state::State;

/// Sizes of the node's tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Totals {
    pub messages: u64,
    pub pending_messages: u64,
    pub file_pins: u64,
    pub peers: u64,
}

impl State<'_> {
    /// Counts rows.
    pub fn totals(&self) -> Result<Totals, Error> {
        let count = |table: &str| -> Result<u64, Error> {
            let rows: Option<i64> =
                self.one(&format!("SELECT count(*) FROM {table}"), [], |row| {
                    row.get(0)
                })?;
            Ok(rows.unwrap_or(0) as u64)
        };
        Ok(Totals {
            messages: self.number("SELECT coalesce(sum(count), 0) FROM counters", Vec::new())?,
            pending_messages: count("pending")?,
            file_pins: count("file_pins")?,
            peers: count("peers")?,
        })
    }

    /// Reads one row: whether the state answers.
    pub fn is_readable(&self) -> Result<(), Error> {
        self.number(
            "SELECT count(*) FROM (SELECT 1 FROM counters LIMIT 1)",
            Vec::new(),
        )
        .map(|_| ())
    }

    /// Every channel that a message was sent on, sorted. Jumps from one
    /// channel to the next along the index instead of reading every message.
    pub fn channels(&self) -> Result<Vec<String>, Error> {
        self.all(
            "WITH RECURSIVE found (channel) AS (
                 SELECT min(channel) FROM messages INDEXED BY messages_channel WHERE channel IS NOT NULL
                 UNION ALL
                 SELECT (SELECT min(channel) FROM messages INDEXED BY messages_channel
                         WHERE channel > found.channel)
                 FROM found WHERE found.channel IS NOT NULL)
             SELECT names.text FROM found JOIN names ON names.id = found.channel ORDER BY names.text",
            [],
            |row| row.get(0),
        )
    }
}
