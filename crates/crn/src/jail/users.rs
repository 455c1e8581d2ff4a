//! A user id per virtual machine.
//!
//! ```text
//! taken here? ─yes─▶ next      (this node's own memory)
//! kept for another name? ──▶ next      (users/<id>: files of it remain)
//! locked elsewhere? ───────▶ next      (/run/beth/users/<id>: a process has it)
//! ```
//!
//! The lock is a descriptor that the machine's process inherits, so an id is
//! taken as long as a process has it, whatever becomes of the node. An id whose
//! files stay on the disk is kept by name until it is given back.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where locks are, on the whole computer.
const LOCKS: &str = "/run/beth/users";
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The ids of a node.
#[derive(Clone, Debug)]
pub(super) struct Users {
    first: u32,
    count: u32,
    locks: PathBuf,
    kept: PathBuf,
    taken: Arc<Mutex<BTreeSet<u32>>>,
}

/// One id; free when dropped and its process has ended.
#[derive(Debug)]
pub(super) struct User {
    pub(super) id: u32,
    pub(super) lock: File,
    taken: Arc<Mutex<BTreeSet<u32>>>,
}

impl Drop for User {
    fn drop(&mut self) {
        lock(&self.taken).remove(&self.id);
    }
}

impl Users {
    /// Ids from `first` on; what is kept is written below `folder`.
    pub(super) fn open(first: u32, count: u32, folder: &Path) -> io::Result<Users> {
        let (locks, kept) = (PathBuf::from(LOCKS), folder.join("users"));
        for folder in [&locks, &kept] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        Ok(Users {
            first,
            count,
            locks,
            kept,
            taken: Arc::default(),
        })
    }

    /// An id that no process and no file has. With `keep`, the one that this
    /// name had before, and from now on nobody else. Blocks: a process that has
    /// just ended, or one that is just being made, may have its lock for a moment.
    pub(super) fn take(&self, name: &str, keep: bool) -> io::Result<User> {
        if keep && let Some(id) = self.find(name)? {
            for _ in 0..LOCK_TRIES {
                if let Some(user) = self.lock(id)? {
                    return Ok(user);
                }
                std::thread::sleep(LOCK_PAUSE);
            }
            return Err(io::Error::other(format!(
                "a process of {name} (user {id}) still runs; end it first"
            )));
        }
        let ids = self.first..self.first.saturating_add(self.count);
        for id in ids {
            if self.kept.join(id.to_string()).exists() {
                continue;
            }
            if let Some(user) = self.lock(id)? {
                if keep {
                    fs::write(self.kept.join(id.to_string()), name)?;
                }
                return Ok(user);
            }
        }
        let text = format!(
            "all {} user ids from {} on are taken; end machines or raise `jail_users`",
            self.count, self.first
        );
        Err(io::Error::other(text))
    }

    /// Gives back what is kept for a name: none of its files remain.
    pub(super) fn forget(&self, name: &str) -> io::Result<()> {
        match self.find(name)? {
            Some(id) => fs::remove_file(self.kept.join(id.to_string())),
            None => Ok(()),
        }
    }

    fn find(&self, name: &str) -> io::Result<Option<u32>> {
        for entry in fs::read_dir(&self.kept)? {
            let entry = entry?;
            if fs::read(entry.path())? == name.as_bytes() {
                return Ok(entry.file_name().to_str().and_then(|id| id.parse().ok()));
            }
        }
        Ok(None)
    }

    fn lock(&self, id: u32) -> io::Result<Option<User>> {
        if !lock(&self.taken).insert(id) {
            return Ok(None);
        }
        let free = || lock(&self.taken).remove(&id);
        let opened = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.locks.join(id.to_string()));
        let file = opened.inspect_err(|_| {
            free();
        })?;
        match file.try_lock() {
            Ok(()) => Ok(Some(User {
                id,
                lock: file,
                taken: Arc::clone(&self.taken),
            })),
            Err(error) => {
                free();
                match error {
                    TryLockError::WouldBlock => Ok(None),
                    TryLockError::Error(error) => Err(error),
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn users(folder: &Path, count: u32) -> Users {
        let (locks, kept) = (folder.join("locks"), folder.join("users"));
        fs::create_dir_all(&locks).unwrap();
        fs::create_dir_all(&kept).unwrap();
        Users {
            first: 300,
            count,
            locks,
            kept,
            taken: Arc::default(),
        }
    }

    #[test]
    fn ids_differ_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let (users, elsewhere) = (users(folder.path(), 3), users(folder.path(), 3));
        let first = users.take("a", false).unwrap();
        let second = elsewhere.take("b", false).unwrap();
        let third = users.take("c", false).unwrap();
        assert_eq!([first.id, second.id, third.id], [300, 301, 302]);
        let full = users.take("d", false).unwrap_err().to_string();
        assert!(full.contains("all 3 user ids"), "{full}");
        drop(second);
        assert_eq!(users.take("d", false).unwrap().id, 301);
    }

    #[test]
    fn an_id_whose_files_remain_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let users = users(folder.path(), 2);
        drop(users.take("mine", true).unwrap());
        assert_eq!(users.take("other", false).unwrap().id, 301);
        let mine = users.take("mine", true).unwrap();
        assert_eq!(mine.id, 300);
        let twice = users.take("mine", true).unwrap_err().to_string();
        assert!(twice.contains("still runs"), "{twice}");
        drop(mine);
        users.forget("mine").unwrap();
        assert_eq!(users.take("other", false).unwrap().id, 300);
    }
}
