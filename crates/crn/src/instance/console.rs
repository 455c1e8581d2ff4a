//! What a guest says on its serial console: kept within bounds, and live.
//!
//! ```text
//! QEMU's socket ─▶ lines ─┬▶ console.log ─ full ─▶ console.log.1
//!                         └▶ broadcast ─▶ who follows
//! ```
//!
//! The guest decides how much it says, so files are bounded, lines are cut, and
//! who reads too slowly misses lines. While no node runs, nobody listens: what is
//! said then is lost, and the guest is not held up.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use beth_protocol::time::Timestamp;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::broadcast;
use tokio_util::task::AbortOnDropHandle;

use super::record::now;
use crate::limits;

/// A line of a console.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsoleLine {
    /// When it came.
    pub time: Timestamp,
    /// Without its end; bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// The console of an instance; outlives its guests.
#[derive(Clone, Debug)]
pub struct Console {
    path: PathBuf,
    lines: broadcast::Sender<ConsoleLine>,
}

impl Console {
    /// Keeps lines in `folder`.
    pub fn new(folder: &Path) -> Console {
        Console {
            path: folder.join("console.log"),
            lines: broadcast::Sender::new(limits::CONSOLE_LINES_MAX),
        }
    }

    /// Lines from now on. Whoever is too slow misses some and is told so.
    pub fn follow(&self) -> broadcast::Receiver<ConsoleLine> {
        self.lines.subscribe()
    }

    /// The kept lines, oldest first; blocks.
    pub fn kept(&self) -> Vec<ConsoleLine> {
        let mut lines = Vec::new();
        for path in [self.older(), self.path.clone()] {
            let Ok(mut file) = std::fs::File::open(path) else {
                continue;
            };
            let excess = file
                .metadata()
                .map_or(0, |data| data.len())
                .saturating_sub(limits::CONSOLE_FILE_BYTES_MAX * 2);
            let mut bytes = Vec::new();
            if file.seek(SeekFrom::Start(excess)).is_ok() && file.read_to_end(&mut bytes).is_ok() {
                lines.extend(String::from_utf8_lossy(&bytes).lines().filter_map(parse));
            }
        }
        lines
    }

    /// Reads a guest's console until its end or until the handle is dropped.
    pub async fn attach(&self, socket: &Path) -> Result<AbortOnDropHandle<()>, String> {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|error| format!("its console: {error}"))?;
        let console = self.clone();
        Ok(AbortOnDropHandle::new(tokio::spawn(console.read(stream))))
    }

    async fn read(self, mut stream: UnixStream) {
        let (mut buffer, mut pending) = (vec![0; 16 << 10], Vec::new());
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            let mut lines = Vec::new();
            for byte in buffer.iter().take(count) {
                match byte {
                    b'\n' => lines.push(std::mem::take(&mut pending)),
                    b'\r' => {}
                    byte => pending.push(*byte),
                }
                if pending.len() >= limits::LOG_LINE_BYTES_MAX {
                    lines.push(std::mem::take(&mut pending));
                }
            }
            self.keep(lines).await;
        }
        if !pending.is_empty() {
            self.keep(vec![pending]).await;
        }
    }

    async fn keep(&self, lines: Vec<Vec<u8>>) {
        if lines.is_empty() {
            return;
        }
        let time = now();
        let lines: Vec<ConsoleLine> = lines
            .iter()
            .map(|line| ConsoleLine {
                time,
                text: String::from_utf8_lossy(line).into_owned(),
            })
            .collect();
        let (console, kept) = (self.clone(), lines.clone());
        let written = tokio::task::spawn_blocking(move || console.write(&kept)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!("cannot keep {}: {error}", self.path.display());
        }
        for line in lines {
            // Nobody follows: that is no error.
            drop(self.lines.send(line));
        }
    }

    fn write(&self, lines: &[ConsoleLine]) -> std::io::Result<()> {
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.path)?;
        if file.metadata()?.len() > limits::CONSOLE_FILE_BYTES_MAX {
            std::fs::rename(&self.path, self.older())?;
            file = std::fs::File::create(&self.path)?;
        }
        let mut text = String::new();
        for line in lines {
            text.push_str(&format!("{} {}\n", line.time.micros(), line.text));
        }
        file.write_all(text.as_bytes())
    }

    fn older(&self) -> PathBuf {
        self.path.with_extension("log.1")
    }
}

fn parse(line: &str) -> Option<ConsoleLine> {
    let (time, text) = line.split_once(' ')?;
    Some(ConsoleLine {
        time: Timestamp::from_micros(time.parse().ok()?),
        text: text.to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixListener;

    #[tokio::test]
    async fn lines_are_kept_within_bounds_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let console = Console::new(folder.path());
        let mut follower = console.follow();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let reading = console.attach(&path).await.unwrap();
        let (mut guest, _) = listener.accept().await.unwrap();
        guest.write_all(b"first\r\nsecond\xff\nlast").await.unwrap();
        assert_eq!(follower.recv().await.unwrap().text, "first");
        let flood = vec![b'x'; 3 * limits::CONSOLE_FILE_BYTES_MAX as usize];
        guest.write_all(&flood).await.unwrap();
        drop(guest);
        reading.await.unwrap();
        let files: u64 = ["console.log", "console.log.1"]
            .iter()
            .map(|name| folder.path().join(name).metadata().unwrap().len())
            .sum();
        assert!(files < 3 * limits::CONSOLE_FILE_BYTES_MAX, "{files}");
        let kept = console.kept();
        assert!(kept.last().unwrap().text.starts_with("xxx"));
        assert!(
            kept.iter()
                .all(|line| line.text.len() <= limits::LOG_LINE_BYTES_MAX)
        );
    }
}
