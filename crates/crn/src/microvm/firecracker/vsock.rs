//! Virtual sockets the way Firecracker offers them: through Unix sockets
//! (compute.md §13.1).
//!
//! ```text
//! node ──"CONNECT 52\n"──▶ v.sock ──▶ guest port 52      answered by "OK <port>\n"
//! node ◀── v.sock_52 ◀── guest ──▶ port 52 of the host
//! ```
//!
//! Paths of Unix sockets are short, folders of nodes may be long: sockets are
//! reached through a descriptor of their folder.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// The port on which guests listen, and which they call when they do.
const PORT: u32 = 52;
/// The port on which the node answers programs.
const API_PORT: u32 = 53;
/// Longest line before a payload.
const LINE_BYTES_MAX: u64 = 64;

/// The virtual socket of one machine.
#[derive(Debug)]
pub(super) struct Vsock {
    folder: OwnedFd,
}

/// Name of the socket in the machine's folder, as Firecracker is told.
pub(super) const SOCKET: &str = "v.sock";

impl Vsock {
    /// Of a machine that works in this folder.
    pub(super) fn of(folder: &Path) -> io::Result<Vsock> {
        Ok(Vsock {
            folder: std::fs::File::open(folder)?.into(),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.folder.as_raw_fd()).into()
    }

    /// Listens for the guest's first words; before Firecracker starts.
    pub(super) fn listen(&self) -> io::Result<UnixListener> {
        UnixListener::bind(self.path(&format!("{SOCKET}_{PORT}")))
    }

    /// Listens for what programs ask; before Firecracker starts, so that they can
    /// ask while they are loaded.
    pub(super) fn listen_for_questions(&self) -> io::Result<UnixListener> {
        UnixListener::bind(self.path(&format!("{SOCKET}_{API_PORT}")))
    }

    /// Calls the guest.
    pub(super) async fn connect(&self) -> io::Result<BufReader<UnixStream>> {
        let stream = UnixStream::connect(self.path(SOCKET)).await?;
        let mut stream = BufReader::new(stream);
        let greeting = format!("CONNECT {PORT}\n");
        stream.get_mut().write_all(greeting.as_bytes()).await?;
        let mut line = Vec::new();
        let mut bounded = (&mut stream).take(LINE_BYTES_MAX);
        bounded.read_until(b'\n', &mut line).await?;
        if line.starts_with(b"OK ") && line.ends_with(b"\n") {
            return Ok(stream);
        }
        let text = "the guest does not listen";
        Err(io::Error::new(ErrorKind::ConnectionRefused, text))
    }
}

/// All that comes until the other side closes, at most `bytes_max`.
pub(super) async fn read_all(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
    bytes_max: usize,
) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut bounded = stream.take(bytes_max as u64 + 1);
    bounded.read_to_end(&mut bytes).await?;
    if bytes.len() > bytes_max {
        let text = format!("the guest sent more than {bytes_max} bytes");
        return Err(io::Error::new(ErrorKind::InvalidData, text));
    }
    Ok(bytes)
}
