//! The garbage collector (processing.md §18.5), in steps that each fit one
//! transaction: ended grace pins, files without pins, messages whose removal
//! is due.

use beth_protocol::time::Timestamp;

use crate::error::Error;
use crate::state::State;

/// Files that one step looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Files that nobody keeps. They are known no more; their bytes can go.
    pub unpinned: Vec<String>,
    /// Where the next step goes on; `None` at the end.
    pub next: Option<String>,
}

impl State<'_> {
    /// Pins that a message holds: their kind, and until when.
    pub fn pins_of(&self, item_hash: &str) -> Result<Vec<(String, Option<Timestamp>)>, Error> {
        self.all(
            "SELECT kind, delete_by FROM file_pins WHERE item_hash = ?1 ORDER BY kind",
            [item_hash],
            |row| {
                Ok((
                    row.get(0)?,
                    row.get::<_, Option<i64>>(1)?.map(Timestamp::from_micros),
                ))
            },
        )
    }

    /// Drops grace pins of uploads that ended before `now`; answers how many.
    /// That of a STORE about to be removed goes with its message.
    pub fn drop_ended_pins(&self, now: Timestamp) -> Result<usize, Error> {
        self.run(
            "DELETE FROM file_pins WHERE kind = 'grace' AND item_hash IS NULL AND delete_by < ?1",
            [now.micros()],
        )
    }

    /// Forgets files without any pin, among the next `limit` files after
    /// `after`; those that `is_in_use` stay.
    pub fn sweep_files(
        &self,
        after: Option<&str>,
        limit: usize,
        is_in_use: impl Fn(&str) -> bool,
    ) -> Result<Sweep, Error> {
        let rows: Vec<(String, bool)> = self.all(
            "SELECT hash, EXISTS (SELECT 1 FROM file_pins WHERE file_hash = files.hash) FROM files
             WHERE hash > ?1 ORDER BY hash LIMIT ?2",
            (after.unwrap_or_default(), limit as i64),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let next = rows
            .last()
            .filter(|_| rows.len() == limit)
            .map(|(hash, _)| hash.clone());
        let mut unpinned = Vec::new();
        for (hash, is_pinned) in rows {
            if is_pinned || is_in_use(&hash) {
                continue;
            }
            self.run("DELETE FROM files WHERE hash = ?1", [&hash])?;
            unpinned.push(hash);
        }
        Ok(Sweep { unpinned, next })
    }

    /// Ends up to `limit` removals; answers how many. A STORE goes when its
    /// grace pin has ended; the body of a message outside the envelope does
    /// not hold it back.
    pub fn finish_removals(&self, now: Timestamp, limit: usize) -> Result<usize, Error> {
        let due: Vec<String> = self.all(
            "SELECT item_hash FROM removed WHERE removed_at IS NULL AND NOT EXISTS (
                 SELECT 1 FROM file_pins AS pin
                 WHERE pin.item_hash = removed.item_hash
                 AND (pin.kind = 'message' OR (pin.kind = 'grace' AND pin.delete_by >= ?2)))
             ORDER BY item_hash LIMIT ?1",
            [limit as i64, now.micros()],
            |row| row.get(0),
        )?;
        for item_hash in &due {
            self.finish_removal(item_hash, now)?;
        }
        Ok(due.len())
    }
}
