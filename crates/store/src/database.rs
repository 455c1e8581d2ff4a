//! Connections: one writer, several readers.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::Error;
use crate::limits;
use crate::memory::Memory;
use crate::query::Counts;
use crate::state::State;

/// The schema before the first of [`MIGRATIONS`]: that of a development version
/// that is not brought up to date.
const SCHEMA_ABANDONED: i64 = 2;
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001.sql")];

/// An open database: its writer and its readers.
pub struct Store {
    /// The one connection that changes the state.
    pub writer: Writer,
    /// Connections that read it.
    pub readers: Readers,
}

/// The writing connection. There is one per database.
pub struct Writer {
    connection: Connection,
    /// `None` after a failure: read again.
    memory: Option<RefCell<Memory>>,
}

/// A small pool of reading connections, shared by reference.
pub struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Reader>>,
    returned: Condvar,
    counts: Counts,
}

/// A reading connection, and when its present read must end: nanoseconds since
/// its beginning.
struct Reader {
    connection: Connection,
    begun: Instant,
    deadline: Arc<AtomicU64>,
}

impl Store {
    /// Opens or creates the database at `path` and brings its schema up to date.
    pub fn open(path: &Path) -> Result<Store, Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| Error::file(folder, source))?;
        }
        let mut connection = Connection::open(path)?;
        prepare(&connection, limits::WRITER_CACHE_KIB)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", limits::LOG_PAGES)?;
        migrate(&mut connection)?;
        Ok(Store {
            writer: Writer {
                connection,
                memory: None,
            },
            readers: Readers::open(path, limits::READERS_MAX)?,
        })
    }
}

fn prepare(connection: &Connection, cache_kib: i64) -> Result<(), Error> {
    connection.busy_timeout(Duration::from_millis(limits::BUSY_TIMEOUT_MILLISECONDS))?;
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    // A statement is prepared once, not again for each value bound to it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(limits::STATEMENTS_MAX);
    Ok(())
}

fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let known = SCHEMA_ABANDONED + MIGRATIONS.len() as i64;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(Error::TooNew { found, known });
    }
    if (1..=SCHEMA_ABANDONED).contains(&found) {
        return Err(Error::TooOld { found });
    }
    let done = (found - SCHEMA_ABANDONED).max(0) as usize;
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        transaction.execute_batch(sql)?;
        let version = SCHEMA_ABANDONED + index as i64 + 1;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

impl Writer {
    /// Runs `work` in one transaction: all of it happens, or none.
    pub fn transaction<T, E: From<Error>>(
        &mut self,
        work: impl FnOnce(&State<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        // Taken out: whatever fails below, it is read again.
        let memory = self.memory.take();
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(Error::from)?;
        let memory = match memory {
            Some(memory) => memory,
            None => RefCell::new(State::new(&transaction, None).recall()?),
        };
        let state = State::new(&transaction, Some(&memory));
        let value = work(&state)?;
        state.settle_credits()?;
        state.keep()?;
        transaction.commit().map_err(Error::from)?;
        self.memory = Some(memory);
        Ok(value)
    }
}

impl Readers {
    /// Opens `count` connections that only read an existing database.
    pub fn open(path: &Path, count: usize) -> Result<Readers, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut idle = Vec::with_capacity(count);
        for _ in 0..count {
            let connection = Connection::open_with_flags(path, flags)?;
            prepare(&connection, limits::READER_CACHE_KIB)?;
            idle.push(Reader::of(connection)?);
        }
        Ok(Readers {
            path: path.to_owned(),
            idle: Mutex::new(idle),
            returned: Condvar::new(),
            counts: Counts::default(),
        })
    }

    /// Another `count` connections to the same database, for somebody who must
    /// not wait for pages.
    pub fn more(&self, count: usize) -> Result<Readers, Error> {
        Readers::open(&self.path, count)
    }

    /// Lends a connection for one consistent read. Blocks the thread while all
    /// are lent: call it from a blocking thread. A read that takes too long is
    /// cut short, see [`Error::is_too_long`].
    pub fn read<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&State<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.read_within(Duration::from_secs(limits::READ_SECONDS), work)
    }

    /// The same with a longest time of its own, for who looks at everything. The
    /// log of the database grows meanwhile.
    pub fn read_within<T, E: From<Error>>(
        &self,
        longest: Duration,
        work: impl FnOnce(&State<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut lent = Lent {
            pool: self,
            reader: Some(self.take()?),
        };
        let Some(reader) = lent.reader.as_mut() else {
            return Err(Error::Busy.into());
        };
        reader.begin(longest);
        let snapshot = Snapshot::begin(&reader.connection)?;
        work(&State::reading(snapshot.0, &self.counts))
    }

    fn take(&self) -> Result<Reader, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = Duration::from_secs(limits::READER_WAIT_SECONDS);
        let (mut idle, _) = self
            .returned
            .wait_timeout_while(idle, wait, |idle| idle.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        idle.pop().ok_or(Error::Busy)
    }
}

impl Reader {
    fn of(mut connection: Connection) -> Result<Reader, Error> {
        let begun = Instant::now();
        let deadline = Arc::new(AtomicU64::new(u64::MAX));
        let known = deadline.clone();
        let is_late = move || nanos(begun.elapsed()) > known.load(Ordering::Relaxed);
        connection.progress_handler(limits::STEPS_PER_LOOK, Some(is_late))?;
        Ok(Reader {
            connection,
            begun,
            deadline,
        })
    }

    fn begin(&self, longest: Duration) {
        let end = nanos(self.begun.elapsed() + longest);
        self.deadline.store(end, Ordering::Relaxed);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What one read sees. Its statements are prepared once a connection.
struct Snapshot<'a>(&'a Connection);

impl Snapshot<'_> {
    fn begin(connection: &Connection) -> Result<Snapshot<'_>, Error> {
        connection.prepare_cached("BEGIN")?.execute([])?;
        Ok(Snapshot(connection))
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // Nothing was changed. Without it the next read would be refused.
        let ended = self.0.prepare_cached("ROLLBACK");
        let _ = ended.and_then(|mut statement| statement.execute([]));
    }
}

struct Lent<'a> {
    pool: &'a Readers,
    reader: Option<Reader>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.pool
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(reader);
            self.pool.returned.notify_one();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn schemas_of_other_versions_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.sqlite");
        drop(Store::open(&path).unwrap());
        drop(Store::open(&path).unwrap());
        let set = |version: i64| {
            let connection = Connection::open(&path).unwrap();
            connection
                .pragma_update(None, "user_version", version)
                .unwrap();
        };
        set(SCHEMA_ABANDONED);
        assert!(matches!(
            Store::open(&path),
            Err(Error::TooOld {
                found: SCHEMA_ABANDONED
            })
        ));
        set(99);
        assert!(matches!(
            Store::open(&path),
            Err(Error::TooNew { found: 99, .. })
        ));
    }
}
