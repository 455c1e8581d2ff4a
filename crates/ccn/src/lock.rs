//! One process works with the folder of a core node at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use crate::error::Error;

/// Name of the file in the node's folder.
const NAME: &str = "lock";

/// The right to work with a folder, until dropped. The system takes it back
/// when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] File);

impl Lock {
    /// Takes the right, or says which process has it.
    pub fn take(folder: &Path) -> Result<Lock, Error> {
        let failed = |error: std::io::Error| {
            Error::Config(format!(
                "the folder {} cannot be used: {error}; check its permissions",
                folder.display()
            ))
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(folder.join(NAME)).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Whoever holds it may not have written its name yet.
                let _ = file.read_to_string(&mut holder);
                return Err(Error::Config(format!(
                    "the folder {} is in use by a running core node or import (process {}); stop that first",
                    folder.display(),
                    holder.trim()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let named = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        named.map_err(failed)?;
        Ok(Lock(file))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_user() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(folder.path()).unwrap();
        let refused = Lock::take(folder.path()).unwrap_err().to_string();
        let id = std::process::id().to_string();
        assert!(refused.contains(&id), "{refused}");
        drop(lock);
        Lock::take(folder.path()).unwrap();
    }
}
