//! Bodies that come in pieces, requests and answers alike.
//!
//! ```text
//! who makes it ─▶ Whole(bytes)            ┐
//!                 Stream(pieces, hint)    ├─▶ limit, idle clock ─▶ who takes it
//!                                         ┘        └─ guards: held until the end
//! ```
//!
//! A body holds no more than what its maker hands over at a time: whoever makes
//! a stream bounds it, and makes the next piece only when it is asked for. After
//! a fault nothing follows. The idle clock runs only while somebody waits for a
//! piece, so that a slow taker is not blamed on the maker.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// Why a body ended before its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// Larger than allowed.
    #[error("the body is longer than {bytes_max} bytes")]
    TooLong {
        /// The limit.
        bytes_max: u64,
        /// What had come by then.
        bytes: u64,
    },
    /// Nothing came for too long.
    #[error("nothing of the body came for {seconds} seconds")]
    Idle {
        /// The limit.
        seconds: u64,
    },
    /// Who made it has gone or failed.
    #[error("the body broke off: {0}")]
    Broken(String),
}

/// A body: what is left of it.
pub struct Body {
    source: Source,
    limit: Option<Limit>,
    idle: Option<Idle>,
    guards: Vec<Box<dyn Any + Send>>,
    witness: Option<Witness>,
}

enum Source {
    Whole(Bytes),
    Stream(BoxStream<'static, Result<Bytes, BodyFault>>, Option<u64>),
    Ended,
}

#[derive(Clone, Copy)]
struct Limit {
    bytes_max: u64,
    bytes: u64,
}

struct Idle {
    limit: Duration,
    clock: Option<Pin<Box<Sleep>>>,
}

/// Tells afterwards what went wrong with a body that somebody else takes. All
/// clones are one.
#[derive(Clone, Debug, Default)]
pub struct Witness(Arc<Mutex<Option<BodyFault>>>);

impl Witness {
    /// The fault, if there was one so far.
    pub fn fault(&self) -> Option<BodyFault> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn saw(&self, fault: &BodyFault) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get_or_insert_with(|| fault.clone());
    }
}

impl Body {
    fn of(source: Source) -> Body {
        Body {
            source,
            limit: None,
            idle: None,
            guards: Vec::new(),
            witness: None,
        }
    }

    /// No bytes.
    pub fn empty() -> Body {
        Body::of(Source::Whole(Bytes::new()))
    }

    /// Pieces as a stream makes them; `bytes` if their sum is known.
    pub fn stream(
        pieces: impl Stream<Item = Result<Bytes, BodyFault>> + Send + 'static,
        bytes: Option<u64>,
    ) -> Body {
        Body::of(Source::Stream(pieces.boxed(), bytes))
    }

    /// From now on at most that many bytes follow; more are a fault.
    #[must_use]
    pub fn limited(mut self, bytes_max: u64) -> Body {
        let bytes = 0;
        self.limit = Some(Limit { bytes_max, bytes });
        self
    }

    /// Longer waits for one piece are a fault.
    #[must_use]
    pub fn timed(mut self, limit: Duration) -> Body {
        self.idle = Some(Idle { limit, clock: None });
        self
    }

    /// Tells the witness of a fault.
    #[must_use]
    pub fn witnessed(mut self, witness: Witness) -> Body {
        self.witness = Some(witness);
        self
    }

    /// Holds something until the body has ended or is dropped.
    pub fn hold(&mut self, guard: impl Any + Send) {
        if !matches!(self.source, Source::Ended) {
            self.guards.push(Box::new(guard));
        }
    }

    /// The bytes, if all of them are here.
    pub fn as_whole(&self) -> Option<&Bytes> {
        match &self.source {
            Source::Whole(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// How many bytes follow, if that is known.
    pub fn size_bytes(&self) -> Option<u64> {
        match &self.source {
            Source::Whole(bytes) => Some(bytes.len() as u64),
            Source::Stream(_, size) => *size,
            Source::Ended => Some(0),
        }
    }

    /// All bytes to the end; a fault beyond `bytes_max`.
    pub async fn collect(mut self, bytes_max: u64) -> Result<Bytes, BodyFault> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.next().await {
            let piece = piece?;
            let bytes = all.len() as u64 + piece.len() as u64;
            if bytes > bytes_max {
                return Err(BodyFault::TooLong { bytes_max, bytes });
            }
            if all.is_empty() && self.size_bytes() == Some(0) {
                return Ok(piece);
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        let piece = match &mut self.source {
            Source::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.source = Source::Ended;
                return Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes)));
            }
            Source::Ended => return Poll::Ready(None),
            Source::Stream(pieces, size) => {
                let piece = pieces.poll_next_unpin(cx);
                if let (Poll::Ready(Some(Ok(piece))), Some(size)) = (&piece, size) {
                    *size = size.saturating_sub(piece.len() as u64);
                }
                piece
            }
        };
        let Some(idle) = &mut self.idle else {
            return piece;
        };
        if piece.is_ready() {
            idle.clock = None;
            return piece;
        }
        let limit = idle.limit;
        let clock = idle.clock.get_or_insert_with(|| Box::pin(sleep(limit)));
        clock.as_mut().poll(cx).map(|()| {
            let seconds = limit.as_secs();
            Some(Err(BodyFault::Idle { seconds }))
        })
    }

    fn check(&mut self, piece: Result<Bytes, BodyFault>) -> Result<Bytes, BodyFault> {
        let piece = piece?;
        if let Some(limit) = &mut self.limit {
            limit.bytes += piece.len() as u64;
            if limit.bytes > limit.bytes_max {
                return Err(BodyFault::TooLong {
                    bytes_max: limit.bytes_max,
                    bytes: limit.bytes,
                });
            }
        }
        Ok(piece)
    }
}

impl Stream for Body {
    type Item = Result<Bytes, BodyFault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let piece = std::task::ready!(this.poll_source(cx)).map(|piece| this.check(piece));
        if !matches!(piece, Some(Ok(_))) {
            this.source = Source::Ended;
        }
        if let (Some(Err(fault)), Some(witness)) = (&piece, &this.witness) {
            witness.saw(fault);
        }
        if matches!(this.source, Source::Ended) {
            this.guards.clear();
        }
        Poll::Ready(piece)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.poll_next(cx)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Stream(..) => false,
            Source::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.size_bytes()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Whole(bytes) => f.debug_tuple("Whole").field(bytes).finish(),
            Source::Stream(_, size) => f.debug_tuple("Stream").field(size).finish(),
            Source::Ended => f.write_str("Ended"),
        }
    }
}

impl Default for Body {
    fn default() -> Body {
        Body::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body::of(Source::Whole(bytes))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body::from(Bytes::from(bytes))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Body {
        Body::from(Bytes::from_static(text.as_bytes()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures::stream;

    fn pieces(texts: [&'static str; 3]) -> Body {
        let texts = texts.map(|text| Ok(Bytes::from_static(text.as_bytes())));
        Body::stream(stream::iter(texts), None)
    }

    #[tokio::test]
    async fn whole_bodies_and_streams_are_collected() {
        let whole = Body::from("hello");
        assert_eq!(whole.size_bytes(), Some(5));
        assert_eq!(whole.collect(5).await.unwrap(), "hello");
        assert_eq!(pieces(["a", "", "bc"]).collect(3).await.unwrap(), "abc");
        assert_eq!(Body::empty().collect(0).await.unwrap(), "");
        assert!(pieces(["a", "", "bc"]).collect(2).await.is_err());
    }

    #[tokio::test]
    async fn beyond_a_limit_nothing_follows() {
        let witness = Witness::default();
        let mut body = pieces(["12", "34", "56"])
            .limited(3)
            .witnessed(witness.clone());
        assert_eq!(body.next().await.unwrap().unwrap(), "12");
        let fault = body.next().await.unwrap().unwrap_err();
        let bytes_max = 3;
        assert_eq!(
            fault,
            BodyFault::TooLong {
                bytes_max,
                bytes: 4
            }
        );
        assert!(body.next().await.is_none());
        assert_eq!(witness.fault(), Some(fault));
    }

    #[tokio::test]
    async fn silence_is_a_fault_but_a_slow_taker_is_none() {
        let limit = Duration::from_millis(20);
        let texts = pieces(["1", "2", "3"]);
        let mut body = Body::stream(texts.chain(stream::pending()), None).timed(limit);
        for _ in 0..3 {
            sleep(limit * 2).await;
            body.next().await.unwrap().unwrap();
        }
        let seconds = 0;
        assert_eq!(
            body.next().await.unwrap().unwrap_err(),
            BodyFault::Idle { seconds }
        );
    }

    #[tokio::test]
    async fn guards_are_held_to_the_end() {
        let guard = Arc::new(());
        let mut body = pieces(["1", "2", "3"]);
        body.hold(guard.clone());
        for _ in 0..3 {
            body.next().await.unwrap().unwrap();
            assert_eq!(Arc::strong_count(&guard), 2);
        }
        assert!(body.next().await.is_none());
        assert_eq!(Arc::strong_count(&guard), 1);
        let mut dropped = Body::from("x");
        dropped.hold(guard.clone());
        drop(dropped);
        assert_eq!(Arc::strong_count(&guard), 1);
    }
}
