//! The socket of operators: `control.sock` in the folder of a running node. Who
//! may open it (its owner) may ask more than the public interface tells.
//!
//! ```text
//!  beth ccn peers, repair ──HTTP over control.sock──▶ api/control.rs ──▶ the node
//! ```
//! A socket that a crash left behind belongs to nobody, since the folder is
//! locked; it is replaced. It is made in a folder of its own and moved, so that
//! nobody else can ever open it.

mod client;

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

pub use client::{Client, ControlError};

use crate::limits::SOCKET_PATH_BYTES_MAX;

/// Name of the socket in the folder.
pub const NAME: &str = "control.sock";

/// Name of the folder in which it is made.
const DRAFT: &str = "control.new";

/// A socket that is listened on; dropping it removes its name.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
}

/// A way to a folder that is short enough for the path of a socket.
#[derive(Debug)]
pub struct Way {
    path: PathBuf,
    /// Keeps the way open.
    _folder: Option<File>,
}

impl Way {
    /// The socket in this folder. The system knows paths of sockets up to some
    /// 100 bytes only: longer ones lead through the open folder.
    pub fn to(folder: &Path, name: &str) -> io::Result<Way> {
        let path = folder.join(name);
        if path.as_os_str().as_bytes().len() <= SOCKET_PATH_BYTES_MAX {
            return Ok(Way {
                path,
                _folder: None,
            });
        }
        let open = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())).join(name);
        Ok(Way {
            path,
            _folder: Some(open),
        })
    }

    /// A path that can be connected to while the way is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Listens in the folder of a node, which must be locked.
pub(crate) fn listen(folder: &Path) -> io::Result<(UnixListener, Socket)> {
    let draft = folder.join(DRAFT);
    match fs::remove_dir_all(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(&draft)?;
    let way = Way::to(&draft, NAME)?;
    let listener = UnixListener::bind(way.path())?;
    let made = draft.join(NAME);
    fs::set_permissions(&made, Permissions::from_mode(0o600))?;
    let path = folder.join(NAME);
    fs::rename(&made, &path)?;
    fs::remove_dir(&draft)?;
    Ok((listener, Socket { path }))
}

impl Drop for Socket {
    fn drop(&mut self) {
        // What is left behind is replaced at the next start.
        let _ = fs::remove_file(&self.path);
    }
}
