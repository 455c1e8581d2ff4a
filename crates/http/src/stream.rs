//! A TCP stream whose silence is measured.
//!
//! ```text
//!   head ──request complete──▶ serving ──answer written──▶ idle ──first byte──▶ head
//!    │ deadline                   │ becomes a WebSocket       (hyper's deadline)
//!    ▼                            ▼
//!   cut                        upgraded: reading has no deadline here
//! ```
//!
//! Writing has a deadline in every phase: it runs while the client takes
//! nothing. Whoever takes drops at a time is cut too, but for WebSockets: what
//! they are behind is bounded by whoever serves them.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::pace::{Least, Pace};
use crate::places::Place;
use crate::stats::{Stats, count};

/// What a connection is doing, shared by its stream and its service.
#[derive(Clone, Default)]
pub(crate) struct Phase(Arc<AtomicU8>);

const HEAD: u8 = 0;
const SERVING: u8 = 1;
const IDLE: u8 = 2;
const UPGRADED: u8 = 3;

impl Phase {
    /// A request is complete as far as its head.
    pub fn serve(&self) {
        self.0.store(SERVING, Ordering::Relaxed);
    }

    /// Its answer is written.
    pub fn rest(&self) {
        // A WebSocket never rests.
        let _ = self
            .0
            .compare_exchange(SERVING, IDLE, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// From now on this is a WebSocket.
    pub fn upgrade(&self) {
        self.0.store(UPGRADED, Ordering::Relaxed);
    }

    fn is(&self, phase: u8) -> bool {
        self.0.load(Ordering::Relaxed) == phase
    }
}

/// The stream. It holds the place of its connection as long as it lives.
pub(crate) struct Watched {
    inner: TcpStream,
    phase: Phase,
    head: Clock,
    write: Clock,
    pace: Pace,
    stats: Arc<Stats>,
    _place: Place,
}

impl Watched {
    pub fn new(
        inner: TcpStream,
        place: Place,
        stats: Arc<Stats>,
        ([head, write], least): ([Duration; 2], Least),
    ) -> Watched {
        Watched {
            inner,
            phase: Phase::default(),
            head: Clock {
                limit: head,
                running: Some(Box::pin(sleep(head))),
            },
            write: Clock {
                limit: write,
                running: None,
            },
            pace: Pace::new(least),
            stats,
            _place: place,
        }
    }

    pub fn phase(&self) -> Phase {
        self.phase.clone()
    }

    /// Measures how long a write has been waiting, and what it brought.
    fn watch(&mut self, written: Poll<Result<usize>>, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        let now = Instant::now();
        if let Poll::Ready(written) = written {
            self.write.stop();
            let bytes = *written.as_ref().unwrap_or(&0);
            if self.pace.went(bytes, now) || self.phase.is(UPGRADED) {
                return Poll::Ready(written);
            }
        } else {
            self.pace.wait(now);
            ready!(self.write.poll(cx));
        }
        count(&self.stats.cut_write);
        Poll::Ready(Err(Error::new(
            ErrorKind::TimedOut,
            "the client does not read its answer, or far too slowly",
        )))
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if read.is_ready() {
            if self.phase.is(IDLE) && buffer.filled().len() > before {
                self.phase.0.store(HEAD, Ordering::Relaxed);
                self.head.start();
            }
            return read;
        }
        if self.phase.is(HEAD) {
            ready!(self.head.poll(cx));
            count(&self.stats.cut_head);
            return Poll::Ready(Err(Error::new(
                ErrorKind::TimedOut,
                "the head of a request did not end",
            )));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watch(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.watch(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A deadline that is started and stopped.
struct Clock {
    limit: Duration,
    running: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    fn start(&mut self) {
        self.running = Some(Box::pin(sleep(self.limit)));
    }

    fn stop(&mut self) {
        self.running = None;
    }

    /// Starts if it does not run; ready when the time is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let running = self.running.get_or_insert_with(|| Box::pin(sleep(limit)));
        running.as_mut().poll(cx)
    }
}
