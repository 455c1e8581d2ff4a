//! The newest lines of a stream, bounded: a console, an error output, a log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::limits;

/// A bounded log; all clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    complete: VecDeque<String>,
    partial: Vec<u8>,
}

impl Lines {
    /// A log that begins with what another said.
    pub(super) fn after(said: &[String]) -> Lines {
        let lines = Lines::default();
        lines.lock().complete.extend(said.iter().cloned());
        lines
    }

    /// Follows a stream until it ends.
    pub(super) async fn follow(self, mut stream: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; limits::LOG_LINE_BYTES_MAX];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            self.append(&buffer[..length]);
        }
    }

    /// All lines kept, oldest first; the last may be unfinished.
    pub(super) fn all(&self) -> Vec<String> {
        let inner = self.lock();
        let partial = (!inner.partial.is_empty())
            .then(|| String::from_utf8_lossy(&inner.partial).into_owned());
        inner.complete.iter().cloned().chain(partial).collect()
    }

    /// The last few lines that say something, as one line.
    pub(super) fn tail(&self, count: usize) -> String {
        let lines: Vec<String> = self
            .all()
            .into_iter()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let skip = lines.len().saturating_sub(count);
        lines[skip..].join(" | ")
    }

    fn append(&self, bytes: &[u8]) {
        let mut inner = self.lock();
        for &byte in bytes {
            if byte != b'\n' && byte != b'\r' {
                inner.partial.push(byte);
            }
            if byte == b'\n' || inner.partial.len() >= limits::LOG_LINE_BYTES_MAX {
                let line = std::mem::take(&mut inner.partial);
                if inner.complete.len() >= limits::LOG_LINES_MAX {
                    inner.complete.pop_front();
                }
                inner
                    .complete
                    .push_back(String::from_utf8_lossy(&line).into_owned());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_the_newest_lines() {
        let lines = Lines::default();
        let text: String = (0..limits::LOG_LINES_MAX + 2)
            .map(|number| format!("{number}\r\n"))
            .collect();
        lines.clone().follow(text.as_bytes()).await;
        assert_eq!(lines.all().len(), limits::LOG_LINES_MAX);
        assert_eq!(lines.all()[0], "2");
        lines.clone().follow(&b"\n\nunfinished"[..]).await;
        assert_eq!(
            lines.tail(2),
            format!("{} | unfinished", limits::LOG_LINES_MAX + 1)
        );
    }
}
