//! What this node must have: every content that something pins. And whether the
//! rows of the state fit together, as far as the database can tell.

use crate::error::Error;
use crate::state::State;

/// A content that something pins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// SHA-256 or CID.
    pub hash: String,
    /// Its bytes, and `file` or `dir`, as noted; `None` when no row tells.
    pub noted: Option<(u64, String)>,
}

/// Messages in force that were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bare {
    /// Hashes of those that should pin a content and pin none.
    pub messages: Vec<String>,
    /// Where the next look goes on; `None` at the end.
    pub next: Option<i64>,
}

impl State<'_> {
    /// The next `limit` pinned contents after the name `after`, by name.
    pub fn kept_contents(&self, after: &str, limit: usize) -> Result<Vec<Kept>, Error> {
        self.all(
            "SELECT pinned.hash, files.size, files.kind FROM (
                 SELECT DISTINCT file_hash AS hash FROM file_pins
                 WHERE file_hash > ?1 ORDER BY file_hash LIMIT ?2
             ) AS pinned LEFT JOIN files ON files.hash = pinned.hash ORDER BY pinned.hash",
            (after, limit as i64),
            |row| {
                let size: Option<i64> = row.get(1)?;
                let kind: Option<String> = row.get(2)?;
                Ok(Kept {
                    hash: row.get(0)?,
                    noted: size.map(|size| size.unsigned_abs()).zip(kind),
                })
            },
        )
    }

    /// Number and bytes of the pinned contents.
    pub fn kept_total(&self) -> Result<(u64, u64), Error> {
        let row: Option<(i64, i64)> = self.one(
            "SELECT count(*), coalesce(sum(files.size), 0) FROM (
                 SELECT DISTINCT file_hash AS hash FROM file_pins
             ) AS pinned LEFT JOIN files ON files.hash = pinned.hash",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let (count, bytes) = row.unwrap_or_default();
        Ok((count.unsigned_abs(), bytes.unsigned_abs()))
    }

    /// Looks at the next `limit` messages in force, behind the one with the row
    /// number `after`: a STORE pins its file, a message that is not inline the
    /// content that was fetched.
    pub fn bare_messages(&self, after: i64, limit: usize) -> Result<Bare, Error> {
        let last: Option<Option<i64>> = self.one(
            "SELECT max(id) FROM (SELECT id FROM messages WHERE id > ?1 ORDER BY id LIMIT ?2)",
            (after, limit as i64),
            |row| row.get(0),
        )?;
        let Some(last) = last.flatten() else {
            return Ok(Bare::default());
        };
        let messages = self.all(
            "SELECT item_hash FROM messages WHERE id > ?1 AND id <= ?2 AND (
                 (type = 2 AND NOT EXISTS (SELECT 1 FROM file_pins AS pin
                     WHERE pin.item_hash = messages.item_hash AND pin.kind IN ('message', 'grace')))
                 OR (item_type <> 'inline' AND NOT EXISTS (SELECT 1 FROM file_pins AS pin
                     WHERE pin.item_hash = messages.item_hash AND pin.kind = 'content')))",
            (after, last),
            |row| row.get(0),
        )?;
        Ok(Bare {
            messages,
            next: Some(last),
        })
    }

    /// What the database itself finds wrong with its pages and indexes, at most
    /// `limit` sentences. Reads the whole file.
    pub fn broken_pages(&self, limit: usize) -> Result<Vec<String>, Error> {
        let found: Vec<String> = self.all(&format!("PRAGMA quick_check({limit})"), [], |row| {
            row.get(0)
        })?;
        Ok(found.into_iter().filter(|line| line != "ok").collect())
    }

    /// Rows that name rows which are not there: `table → table`, each with how
    /// often.
    pub fn dangling_rows(&self) -> Result<Vec<(String, u64)>, Error> {
        self.all(
            "SELECT \"table\" || ' → ' || parent, count(*) FROM pragma_foreign_key_check
             GROUP BY 1 ORDER BY 1",
            [],
            |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())),
        )
    }
}
