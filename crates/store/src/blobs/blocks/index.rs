//! Which content has a block: `blocks.sqlite`, beside the contents.
//!
//! A row is the first eight bytes of a digest, a content, and a place in it. A
//! block that occurs often in a content has one row. Two blocks may begin with
//! the same eight bytes, and the content may be gone: whoever asks compares.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beth_protocol::cid::{Layout, Leaves};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::error::Error;
use crate::limits::{BLOCK_SOURCES_MAX, BUSY_TIMEOUT_MILLISECONDS, STATEMENTS_MAX};

/// Version of the tables; a file of another one is made anew.
const VERSION: i64 = 1;
/// Rows are found by digest alone. Those of a content are found through its
/// leaves, or through the index of its archive.
const TABLES: &str = "
    CREATE TABLE contents (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        size_bytes INTEGER,
        layout INTEGER,
        leaves BLOB
    ) STRICT;
    CREATE TABLE blocks (
        prefix INTEGER NOT NULL,
        content INTEGER NOT NULL,
        place INTEGER NOT NULL,
        PRIMARY KEY (prefix, content)
    ) STRICT, WITHOUT ROWID;";

/// The index. One connection writes, another one reads: who looks for a block
/// does not wait for a content that is being noted.
#[derive(Debug)]
pub(in crate::blobs) struct BlockIndex {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

/// Where a block may be.
#[derive(Debug)]
pub(in crate::blobs) struct Row {
    /// Which content.
    pub name: String,
    /// How it is cut; `None` for an archive.
    pub layout: Option<Layout>,
    /// Where in a plain file.
    pub place: u64,
}

/// What a content consists of.
pub(in crate::blobs) enum Indexed<'a> {
    /// A plain file.
    File(&'a Leaves),
    /// An archive with these blocks.
    Archive(&'a [[u8; 32]]),
}

impl BlockIndex {
    /// Opens the index of a folder of contents, or begins a new one.
    pub fn open(folder: &Path) -> Result<BlockIndex, Error> {
        let path = folder.join("blocks.sqlite");
        let writer = match connect(&path) {
            Ok(writer) => writer,
            // Nothing is in it that cannot be found out again.
            Err(_) => {
                discard(&path)?;
                connect(&path)?
            }
        };
        Ok(BlockIndex {
            writer: Mutex::new(writer),
            reader: Mutex::new(connect(&path)?),
        })
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut writer = held(&self.writer);
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    /// Notes a content, unless it is known.
    pub fn add(&self, name: &str, content: &Indexed<'_>) -> Result<(), Error> {
        let mut rows = content.rows();
        // Neighbours in the table: fewer pages are touched.
        rows.sort_unstable();
        self.write(|transaction| {
            let Some(id) = insert(transaction, name, content)? else {
                return Ok(());
            };
            let sql = "INSERT OR IGNORE INTO blocks (prefix, content, place) VALUES (?1, ?2, ?3)";
            let mut statement = transaction.prepare_cached(sql)?;
            for (prefix, place) in rows {
                statement.execute((prefix, id, place as i64))?;
            }
            Ok(())
        })
    }

    /// Where a block may be.
    pub fn find(&self, digest: &[u8; 32]) -> Result<Vec<Row>, Error> {
        let reader = held(&self.reader);
        let mut statement = reader.prepare_cached(
            "SELECT name, layout, place FROM blocks JOIN contents ON contents.id = content
             WHERE prefix = ?1 LIMIT ?2",
        )?;
        let rows = statement.query_map((prefix(digest), BLOCK_SOURCES_MAX as i64), |row| {
            let place: i64 = row.get(2)?;
            Ok(Row {
                name: row.get(0)?,
                layout: row.get::<_, Option<i64>>(1)?.map(layout_of),
                place: place as u64,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The leaves of a plain file; `None` when it is not known.
    pub fn leaves(&self, name: &str) -> Result<Option<Leaves>, Error> {
        leaves(&held(&self.reader), name)
    }

    /// True when the blocks of a content are noted.
    pub fn knows(&self, name: &str) -> Result<bool, Error> {
        let reader = held(&self.reader);
        let mut statement = reader.prepare_cached("SELECT 1 FROM contents WHERE name = ?1")?;
        Ok(statement.exists([name])?)
    }

    /// Names of contents behind `after`, up to `limit` of them.
    pub fn names(&self, after: &str, limit: usize) -> Result<Vec<String>, Error> {
        let reader = held(&self.reader);
        let mut statement = reader
            .prepare_cached("SELECT name FROM contents WHERE name > ?1 ORDER BY name LIMIT ?2")?;
        let names = statement.query_map((after, limit as i64), |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// Forgets a content. `archived` are the blocks of an archive.
    pub fn forget(&self, name: &str, archived: &[[u8; 32]]) -> Result<(), Error> {
        self.write(|transaction| {
            let id: Option<i64> = transaction
                .prepare_cached("SELECT id FROM contents WHERE name = ?1")?
                .query_row([name], |row| row.get(0))
                .optional()?;
            let Some(id) = id else {
                return Ok(());
            };
            let mut prefixes: Vec<i64> = archived.iter().map(prefix).collect();
            if let Some(leaves) = leaves(transaction, name)? {
                let rows = Indexed::File(&leaves).rows().into_iter();
                prefixes.extend(rows.map(|(prefix, _)| prefix));
            }
            prefixes.sort_unstable();
            let sql = "DELETE FROM blocks WHERE prefix = ?1 AND content = ?2";
            let mut statement = transaction.prepare_cached(sql)?;
            for prefix in prefixes {
                statement.execute((prefix, id))?;
            }
            transaction.execute("DELETE FROM contents WHERE id = ?1", [id])?;
            Ok(())
        })
    }

    /// Forgets rows of contents that nobody can list any more; answers how many.
    pub fn forget_orphans(&self) -> Result<usize, Error> {
        let sql = "DELETE FROM blocks WHERE content NOT IN (SELECT id FROM contents)";
        self.write(|transaction| Ok(transaction.execute(sql, [])?))
    }

    /// Rows of blocks.
    pub fn count(&self) -> Result<u64, Error> {
        let reader = held(&self.reader);
        let count: i64 = reader.query_row("SELECT count(*) FROM blocks", [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }
}

impl Indexed<'_> {
    fn rows(&self) -> Vec<(i64, u64)> {
        match self {
            Indexed::File(leaves) => {
                let tree = leaves.tree();
                let all = tree.all();
                all.map(|(digest, place)| (prefix(&digest), place.to_number()))
                    .collect()
            }
            Indexed::Archive(digests) => {
                let digests = digests.iter();
                digests.map(|digest| (prefix(digest), 0)).collect()
            }
        }
    }
}

fn insert(
    transaction: &Transaction<'_>,
    name: &str,
    content: &Indexed<'_>,
) -> Result<Option<i64>, Error> {
    let leaves = match content {
        Indexed::File(leaves) => Some(leaves),
        Indexed::Archive(_) => None,
    };
    let mut statement = transaction.prepare_cached(
        "INSERT INTO contents (name, size_bytes, layout, leaves) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO NOTHING RETURNING id",
    )?;
    let row = (
        name,
        leaves.map(|leaves| leaves.size_bytes as i64),
        leaves.map(|leaves| number_of(leaves.layout)),
        leaves.map(|leaves| leaves.digests.concat()),
    );
    Ok(statement.query_row(row, |row| row.get(0)).optional()?)
}

fn leaves(connection: &Connection, name: &str) -> Result<Option<Leaves>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT layout, size_bytes, leaves FROM contents WHERE name = ?1 AND layout IS NOT NULL",
    )?;
    let found = statement.query_row([name], |row| {
        let (size_bytes, digests): (i64, Vec<u8>) = (row.get(1)?, row.get(2)?);
        let digests = digests.chunks_exact(32);
        Ok(Leaves {
            layout: layout_of(row.get(0)?),
            size_bytes: size_bytes.unsigned_abs(),
            digests: digests
                .map(|digest| digest.try_into().unwrap_or_default())
                .collect(),
        })
    });
    Ok(found.optional()?)
}

fn connect(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MILLISECONDS))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A power cut may cost the last rows, never the file; they are made again.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        VERSION => Ok(connection),
        0 => {
            let begin = format!("BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;");
            connection.execute_batch(&begin)?;
            Ok(connection)
        }
        other => Err(Error::Damaged(format!("blocks.sqlite has version {other}"))),
    }
}

fn discard(path: &Path) -> Result<(), Error> {
    for suffix in ["", "-wal", "-shm"] {
        let path = PathBuf::from(format!("{}{suffix}", path.display()));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::file(path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn held(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn prefix(digest: &[u8; 32]) -> i64 {
    let first = digest.first_chunk().copied().unwrap_or_default();
    i64::from_be_bytes(first)
}

fn number_of(layout: Layout) -> i64 {
    match layout {
        Layout::V0 => 0,
        Layout::V1 => 1,
        Layout::V1RawLeaves => 2,
    }
}

fn layout_of(number: i64) -> Layout {
    match number {
        0 => Layout::V0,
        1 => Layout::V1,
        _ => Layout::V1RawLeaves,
    }
}
