//! What is held for a jailed process while it runs, and what is done for it
//! before it starts.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::control::Group;
use super::enter;
use super::host;
use super::users::User;

/// The jail of one process: what is given back when it has ended. Drop it then.
#[derive(Debug)]
pub struct Cell {
    pub(super) processes: bool,
    pub(super) told: UnixStream,
    pub(super) names: Vec<String>,
    pub(super) group: Option<Group>,
    pub(super) user: Option<User>,
}

impl Cell {
    pub(super) fn open(told: UnixStream, names: Vec<String>) -> Cell {
        Cell {
            processes: false,
            told,
            names,
            group: None,
            user: None,
        }
    }

    /// Runs `spawn`, which spawns the command; an error names the step into the
    /// jail that failed. The thread starts nothing else meanwhile, and lives as
    /// long as the process if that is to die with it.
    pub fn start<T>(&mut self, spawn: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let started = match self.processes {
            true => enter::in_own_process_namespace(spawn),
            false => spawn(),
        };
        started.map_err(|error| host::explained(error, &mut self.told, &self.names))
    }

    /// The user id of the process, if it has one of its own.
    pub fn user(&self) -> Option<u32> {
        self.user.as_ref().map(|user| user.id)
    }

    /// Leaves everything to a process that outlives the node.
    pub fn leave(mut self) {
        if let Some(group) = self.group.take() {
            group.leave();
        }
    }
}

/// The path of a program, which may be a bare name.
pub(super) fn found(program: &Path) -> PathBuf {
    if program.components().count() > 1 {
        return program.to_owned();
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .unwrap_or_else(|| program.to_owned())
}

/// The node's environment may hold what tenants must not read.
pub(super) fn only_own_environment(command: &mut Command) {
    let own: Vec<(OsString, Option<OsString>)> = command
        .get_envs()
        .map(|(name, value)| (name.to_owned(), value.map(OsString::from)))
        .collect();
    command.env_clear();
    for (name, value) in own {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
}

/// Gives a file, or a folder and the files in it, to a user.
pub(super) fn hand_over(path: &Path, is_folder: bool, user: u32) -> io::Result<()> {
    let mode = if is_folder { 0o700 } else { 0o600 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    if is_folder {
        for entry in fs::read_dir(path)? {
            lchown(entry?.path(), Some(user), Some(user))?;
        }
    }
    lchown(path, Some(user), Some(user))
}
