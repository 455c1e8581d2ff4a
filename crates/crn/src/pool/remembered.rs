//! Programs that a node comes back to when it is started again: those that are
//! kept running, and those that wait for messages (compute.md §27.3).
//!
//! ```text
//! keep, release, listen, forget ─▶ changed ─▶ programs.json ─▶ the next node
//! ```
//!
//! One task writes, a moment after a change, and replaces the file as a whole. A
//! file that cannot be read is an empty one: the scheduler says again what is
//! to run here.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use beth_protocol::ItemHash;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::Pool;
use crate::limits;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    sets: Mutex<Sets>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Sets {
    kept: HashSet<ItemHash>,
    listening: HashSet<ItemHash>,
}

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Written {
    #[serde(default)]
    kept: BTreeSet<ItemHash>,
    #[serde(default)]
    listening: BTreeSet<ItemHash>,
}

impl Remembered {
    fn lock(&self) -> MutexGuard<'_, Sets> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Sets) -> bool) {
        if change(&mut self.lock()) {
            self.changed.notify_one();
        }
    }

    /// It runs though nobody calls.
    pub(super) fn keep(&self, program: &ItemHash) {
        self.change(|sets| sets.kept.insert(program.clone()));
    }

    /// Ends [`keep`](Self::keep).
    pub(super) fn release(&self, program: &ItemHash) {
        self.change(|sets| sets.kept.remove(program));
    }

    pub(super) fn is_kept(&self, program: &ItemHash) -> bool {
        self.lock().kept.contains(program)
    }

    pub(super) fn kept(&self) -> Vec<ItemHash> {
        self.lock().kept.iter().cloned().collect()
    }

    /// It waits for messages. More than a node can know are not remembered.
    pub(super) fn listen(&self, program: &ItemHash) {
        self.change(|sets| {
            sets.listening.len() < limits::PROGRAMS_MAX && sets.listening.insert(program.clone())
        });
    }

    /// It does not any more.
    pub(super) fn unlisten(&self, program: &ItemHash) {
        self.change(|sets| sets.listening.remove(program));
    }

    fn written(&self) -> Written {
        let sets = self.lock();
        Written {
            kept: sets.kept.iter().cloned().collect(),
            listening: sets.listening.iter().cloned().collect(),
        }
    }
}

impl Pool {
    /// Takes up what an earlier node wrote to this file, and writes every change
    /// to it from now on. Blocks for the reading.
    pub fn remember_in(&self, path: PathBuf) {
        let written = read(&path);
        for program in &written.kept {
            self.keep(program);
        }
        for program in &written.listening {
            self.0.remembered.listen(program);
            // Known from now on, so that it is told of messages.
            self.slot(program);
        }
        let pool = self.clone();
        self.0.tasks.spawn(async move { pool.write_to(path).await });
    }

    async fn write_to(&self, path: PathBuf) {
        let remembered = &self.0.remembered;
        let changed = || remembered.changed.notified();
        while self.0.cancel.run_until_cancelled(changed()).await.is_some() {
            if let Err(error) = write(&path, &remembered.written()).await {
                tracing::warn!("cannot write {}: {error}", path.display());
            }
        }
    }
}

fn read(path: &Path) -> Written {
    let read = std::fs::read(path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
    read.unwrap_or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            tracing::warn!("{} is of no use: {error}", path.display());
        }
        Written::default()
    })
}

async fn write(path: &Path, written: &Written) -> io::Result<()> {
    let part = path.with_extension("part");
    tokio::fs::write(&part, serde_json::to_vec(written)?).await?;
    tokio::fs::rename(&part, path).await
}
