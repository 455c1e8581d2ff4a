//! Files: what is known of them, who pins them (core-api.md §7.6, §9.6–§9.10).

use beth_protocol::time::Timestamp;
use rusqlite::{Row, params_from_iter};

use super::plan::{Conditions, text};
use super::{Order, Page, Place, Window};
use crate::error::Error;
use crate::state::State;

/// A file this node knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownFile {
    /// SHA-256 or CID.
    pub hash: String,
    /// Bytes.
    pub size_bytes: u64,
    /// `file` or `dir`.
    pub kind: String,
}

/// A file that a STORE message of an owner keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedFile {
    /// The file.
    pub file: KnownFile,
    /// Content time of the STORE message.
    pub created: Timestamp,
    /// The STORE message.
    pub item_hash: String,
}

/// What a reference resolves to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedFile {
    /// `content.ref` of the STORE message, where it has one.
    pub reference: Option<String>,
    /// Owner.
    pub owner: String,
    /// The file.
    pub file: KnownFile,
}

impl State<'_> {
    /// A file by its hash.
    pub fn known_file(&self, hash: &str) -> Result<Option<KnownFile>, Error> {
        self.one(
            "SELECT hash, size, kind FROM files WHERE hash = ?1",
            [hash],
            |row| file(row, 0),
        )
    }

    /// Number of pins of any kind.
    pub fn count_pins(&self, hash: &str) -> Result<u64, Error> {
        let count: Option<i64> = self.one(
            "SELECT count(*) FROM file_pins WHERE file_hash = ?1",
            [hash],
            |row| row.get(0),
        )?;
        Ok(count.unwrap_or(0) as u64)
    }

    /// The file that a STORE message keeps.
    pub fn file_of_message(&self, item_hash: &str) -> Result<Option<ResolvedFile>, Error> {
        self.one(
            "SELECT pin.ref, pin.owner, files.hash, files.size, files.kind FROM file_pins AS pin
             JOIN files ON files.hash = pin.file_hash
             WHERE pin.item_hash = ?1 AND pin.kind IN ('message', 'well_known')",
            [item_hash],
            resolved,
        )
    }

    /// The file that a tag names now.
    pub fn file_of_tag(&self, tag: &str) -> Result<Option<ResolvedFile>, Error> {
        self.one(
            "SELECT NULL, file_tags.owner, files.hash, files.size, files.kind FROM file_tags
             JOIN files ON files.hash = file_tags.file_hash WHERE file_tags.tag = ?1",
            [tag],
            resolved,
        )
    }

    /// Bytes and number of all files that STORE messages of an owner keep.
    pub fn files_total(&self, owner: &str) -> Result<(u64, u64), Error> {
        let row: Option<(i64, i64)> = self.one(
            "SELECT coalesce(sum(files.size), 0), count(*) FROM file_pins AS pin
             JOIN files ON files.hash = pin.file_hash WHERE pin.owner = ?1 AND pin.kind = 'message'",
            [owner],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let (bytes, count) = row.unwrap_or_default();
        Ok((bytes as u64, count as u64))
    }

    /// A part of the files of an owner; `file_hash` keeps only that file.
    pub fn files_of(
        &self,
        owner: &str,
        file_hash: Option<&str>,
        order: Order,
        window: &Window<Place>,
    ) -> Result<Page<PinnedFile, Place>, Error> {
        let mut conditions = Conditions::default();
        conditions.add("pin.owner = ?", [text(owner)]);
        conditions.add("pin.kind = 'message'", []);
        if let Some(hash) = file_hash {
            conditions.add("pin.file_hash = ?", [text(hash)]);
        }
        conditions.after_text(("pin.created", "pin.item_hash"), order, window.key());
        let sql = format!(
            "SELECT files.hash, files.size, files.kind, pin.created, pin.item_hash
             FROM file_pins AS pin INDEXED BY file_pins_owner JOIN files ON files.hash = pin.file_hash
             WHERE {} ORDER BY pin.created {}, pin.item_hash LIMIT ? OFFSET ?",
            conditions.sql(),
            order.sql(),
        );
        let rows = self.all(&sql, params_from_iter(conditions.windowed(window)), |row| {
            Ok(PinnedFile {
                file: file(row, 0)?,
                created: Timestamp::from_micros(row.get(3)?),
                item_hash: row.get(4)?,
            })
        })?;
        window.page(
            rows,
            |row| Place {
                time: row.created,
                hash: row.item_hash.clone(),
            },
            || Ok(self.files_total(owner)?.1),
        )
    }
}

fn file(row: &Row<'_>, first: usize) -> rusqlite::Result<KnownFile> {
    Ok(KnownFile {
        hash: row.get(first)?,
        size_bytes: row.get::<_, i64>(first + 1)?.max(0) as u64,
        kind: row.get(first + 2)?,
    })
}

fn resolved(row: &Row<'_>) -> rusqlite::Result<ResolvedFile> {
    Ok(ResolvedFile {
        reference: row.get(0)?,
        owner: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
        file: file(row, 2)?,
    })
}
