//! Connections: one writer, several readers.

use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::error::Error;
use crate::limits;
use crate::state::State;

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
}

/// A small pool of reading connections, shared by reference.
pub struct Readers {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

impl Store {
    /// Opens or creates the database at `path` and brings its schema up to date.
    pub fn open(path: &Path) -> Result<Store, Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| Error::file(folder, source))?;
        }
        let mut connection = Connection::open(path)?;
        prepare(&connection)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
        migrate(&mut connection)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut idle = Vec::with_capacity(limits::READERS_MAX);
        for _ in 0..limits::READERS_MAX {
            let reader = Connection::open_with_flags(path, flags)?;
            prepare(&reader)?;
            idle.push(reader);
        }
        let readers = Readers {
            idle: Mutex::new(idle),
            returned: Condvar::new(),
        };
        Ok(Store {
            writer: Writer { connection },
            readers,
        })
    }
}

fn prepare(connection: &Connection) -> Result<(), Error> {
    connection.busy_timeout(Duration::from_millis(limits::BUSY_TIMEOUT_MILLISECONDS))?;
    connection.pragma_update(None, "cache_size", -limits::CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(())
}

fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let known = MIGRATIONS.len() as i64;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(Error::TooNew { found, known });
    }
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1)?;
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
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(Error::from)?;
        let state = State::new(&transaction);
        let value = work(&state)?;
        state.settle_credits()?;
        transaction.commit().map_err(Error::from)?;
        Ok(value)
    }
}

impl State<'_> {
    /// Runs `work` so that a failure undoes only what it did.
    pub fn savepoint<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let run = |sql: &str| self.connection().execute_batch(sql).map_err(Error::from);
        run("SAVEPOINT message")?;
        match work(self) {
            Ok(value) => {
                run("RELEASE message")?;
                Ok(value)
            }
            Err(error) => {
                run("ROLLBACK TO message; RELEASE message")?;
                Err(error)
            }
        }
    }
}

impl Readers {
    /// Lends a connection for one consistent read. Blocks the thread while all
    /// are lent: call it from a blocking thread.
    pub fn read<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&State<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut lent = Lent {
            pool: self,
            connection: Some(self.take()),
        };
        let Some(connection) = lent.connection.as_mut() else {
            return Err(Error::Damaged("no reader".into()).into());
        };
        let snapshot: Transaction<'_> = connection.transaction().map_err(Error::from)?;
        let value = work(&State::new(&snapshot))?;
        snapshot.finish().map_err(Error::from)?;
        Ok(value)
    }

    fn take(&self) -> Connection {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match idle.pop() {
                Some(connection) => return connection,
                None => {
                    idle = self
                        .returned
                        .wait(idle)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
    }
}

struct Lent<'a> {
    pool: &'a Readers,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
            self.pool.returned.notify_one();
        }
    }
}
