//! What a program prints: the newest lines, bounded.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::limits;

/// A program's log; all clones are one log.
#[derive(Clone, Debug, Default)]
pub(super) struct Log(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    complete: VecDeque<String>,
    partial: Vec<u8>,
}

impl Log {
    /// Adds a line of the node's own.
    pub(super) fn line(&self, text: &str) {
        self.lock().push(text.to_owned());
    }

    /// The lines so far, oldest first; the last may be unfinished.
    pub(super) fn lines(&self) -> Vec<String> {
        let lines = self.lock();
        let partial = (!lines.partial.is_empty())
            .then(|| String::from_utf8_lossy(&lines.partial).into_owned());
        lines.complete.iter().cloned().chain(partial).collect()
    }

    fn append(&self, bytes: &[u8]) {
        let mut lines = self.lock();
        for &byte in bytes {
            if byte != b'\n' {
                lines.partial.push(byte);
            }
            if byte == b'\n' || lines.partial.len() >= limits::LOG_LINE_BYTES_MAX {
                let line = std::mem::take(&mut lines.partial);
                lines.push(String::from_utf8_lossy(&line).into_owned());
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn push(&mut self, line: String) {
        if self.complete.len() >= limits::LOG_LINES_MAX {
            self.complete.pop_front();
        }
        self.complete.push_back(line);
    }
}

impl IsTerminal for Log {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Log {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Log {
    async fn ready(&mut self) {}
}

impl OutputStream for Log {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.append(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * 1024)
    }
}

impl AsyncWrite for Log {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.append(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_lines_and_cuts_long_ones() {
        let log = Log::default();
        log.append(b"one\ntw");
        assert_eq!(log.lines(), ["one", "tw"]);
        log.append(b"o\n");
        assert_eq!(log.lines(), ["one", "two"]);
        log.append(&vec![b'x'; limits::LOG_LINE_BYTES_MAX + 1]);
        assert_eq!(log.lines()[3], "x");
        for number in 0..limits::LOG_LINES_MAX {
            log.line(&number.to_string());
        }
        assert_eq!(
            log.lines().len(),
            limits::LOG_LINES_MAX + 1,
            "the unfinished line comes on top"
        );
        assert_eq!(log.lines()[0], "0");
    }
}
