//! The body of an answer between the guest that makes it and the reader who
//! takes it.
//!
//! ```text
//!  guest ─▶ one piece or two ─▶ Pieces (the answer's body) ─▶ HTTP ─▶ reader
//!    ▲                            │ asks, takes, has gone
//!    └── stop ◀── Watch ◀─────────┘
//! ```
//!
//! The head of an answer comes within the time of its call. What follows may
//! take longer, as events and large files do, and is bound otherwise: by the
//! processor time of the guest, by the silence of either side, by the pace at
//! which the reader takes, and by an hour or what the operator says. A guest
//! whose reader has gone is gone with it. A body whose guest was stopped or
//! failed ends in a fault, never as if it were whole, and what the guest had
//! left in it is dropped at once.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::future::Either;
use http_body::Body as _;
use tokio::sync::oneshot;
use tokio::time::Instant;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::body::{Body, BodyFault};
use crate::limits;

/// Why a guest was stopped after the head of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stop {
    /// It computed for too long.
    #[error(
        "the program computed for more than {0} seconds; ask for more in resources.seconds, or do less in one call"
    )]
    Spent(u64),
    /// Its answer took too long altogether.
    #[error(
        "the answer took more than {0} seconds; end it earlier and let the client ask again, or ask the operator to raise wasm.stream_seconds_max"
    )]
    Long(u64),
    /// It was silent while somebody waited.
    #[error("the program said nothing for {0} seconds in the middle of its answer; say something")]
    Silent(u64),
    /// The reader takes too little.
    #[error("the reader took too little of the answer for {0} seconds")]
    Slow(u64),
}

/// What became of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The reader has all of it.
    Taken,
    /// The reader left before the end.
    Gone,
    /// It has to be stopped.
    Stop(Stop),
}

/// How long each side may let the other wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Of the whole answer.
    pub(super) all: Duration,
    /// Of a reader with a guest that says nothing.
    pub(super) silence: Duration,
    /// Of a guest with a reader that takes nothing, besides a second for each
    /// [`limits::ANSWER_BYTES_PER_SECOND_MIN`]: for one piece, and in all.
    pub(super) reader: Duration,
}

/// Who waits for whom, and for how long.
#[derive(Debug)]
struct Pace {
    patience: Patience,
    begun: Instant,
    /// The last time that it changed who waits.
    since: Instant,
    /// The reader waits for the guest.
    is_asked: bool,
    /// What the guest has waited for the reader before `since`.
    waited: Duration,
    bytes: u64,
    /// Of them, the newest piece.
    newest_bytes: u64,
}

impl Pace {
    fn new(patience: Patience, now: Instant) -> Pace {
        Pace {
            patience,
            begun: now,
            since: now,
            is_asked: false,
            waited: Duration::ZERO,
            bytes: 0,
            newest_bytes: 0,
        }
    }

    fn asks(&mut self, now: Instant) {
        if !self.is_asked {
            self.waited += now.duration_since(self.since);
            self.since = now;
            self.is_asked = true;
        }
    }

    fn takes(&mut self, bytes: usize, now: Instant) {
        self.newest_bytes = bytes as u64;
        self.bytes += self.newest_bytes;
        self.since = now;
        self.is_asked = false;
    }

    /// Whether somebody has waited for too long.
    fn fault(&self, now: Instant) -> Option<Stop> {
        let Patience {
            all,
            silence,
            reader,
        } = self.patience;
        if now.duration_since(self.begun) >= all {
            return Some(Stop::Long(all.as_secs()));
        }
        let waits = now.duration_since(self.since);
        if self.is_asked {
            return (waits >= silence).then_some(Stop::Silent(silence.as_secs()));
        }
        let may = |bytes| reader + Duration::from_secs(bytes / limits::ANSWER_BYTES_PER_SECOND_MIN);
        // What the system buffered at first is no reason to wait for hours.
        let is_slow = waits >= may(self.newest_bytes) || self.waited + waits >= may(self.bytes);
        is_slow.then_some(Stop::Slow(reader.as_secs()))
    }
}

/// What both sides see.
struct State {
    /// What the guest said before anybody asked.
    begun: Option<Bytes>,
    /// What it says; `None` once that has ended.
    pieces: Option<HyperOutgoingBody>,
    pace: Pace,
    /// What follows the pieces that are here instead of others.
    fault: Option<BodyFault>,
    waker: Option<Waker>,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<State>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body from its first bytes and what follows, and the guest's side of it.
pub(super) fn flow(begun: Bytes, pieces: HyperOutgoingBody, patience: Patience) -> (Body, Watch) {
    let shared = Shared(Arc::new(Mutex::new(State {
        begun: (!begun.is_empty()).then_some(begun),
        pieces: Some(pieces),
        pace: Pace::new(patience, Instant::now()),
        fault: None,
        waker: None,
    })));
    let (taken, ended) = oneshot::channel();
    let pieces = Pieces {
        shared: shared.clone(),
        taken: Some(taken),
    };
    (Body::stream(pieces, None), Watch { shared, ended })
}

/// The reader's side.
struct Pieces {
    shared: Shared,
    /// Told when all is taken; dropped before that, the reader has gone.
    taken: Option<oneshot::Sender<()>>,
}

impl Stream for Pieces {
    type Item = Result<Bytes, BodyFault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.shared.lock().poll(cx);
        if !matches!(polled, Poll::Pending | Poll::Ready(Some(Ok(_))))
            && let Some(taken) = self.taken.take()
        {
            // The guest may have gone first.
            let _ = taken.send(());
        }
        polled
    }
}

impl State {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        self.pace.asks(Instant::now());
        let polled = match self.begun.take() {
            Some(begun) => Poll::Ready(Some(Ok(begun))),
            None => self.poll_pieces(cx),
        };
        match &polled {
            Poll::Pending => self.waker = Some(cx.waker().clone()),
            Poll::Ready(Some(Ok(piece))) => self.pace.takes(piece.len(), Instant::now()),
            Poll::Ready(_) => self.pieces = None,
        }
        polled
    }

    fn poll_pieces(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        let Some(pieces) = &mut self.pieces else {
            return Poll::Ready(self.fault.take().map(Err));
        };
        match Pin::new(pieces).poll_frame(cx) {
            // After trailers nothing follows, and nobody takes them.
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(frame.into_data().ok().map(Ok)),
            Poll::Ready(Some(Err(error))) => {
                let fault = BodyFault::Broken(format!("the program ended it so: {error:?}"));
                Poll::Ready(Some(Err(fault)))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match self.fault.take() {
                Some(fault) => Poll::Ready(Some(Err(fault))),
                None => Poll::Pending,
            },
        }
    }
}

/// The guest's side.
pub(super) struct Watch {
    shared: Shared,
    ended: oneshot::Receiver<()>,
}

impl Watch {
    /// Waits until the reader has all, has gone, or somebody has waited for too
    /// long.
    pub(super) async fn end(&mut self) -> End {
        loop {
            let period = tokio::time::sleep(limits::ANSWER_WATCH_PERIOD);
            match futures::future::select(&mut self.ended, std::pin::pin!(period)).await {
                Either::Left((Ok(()), _)) => return End::Taken,
                Either::Left((Err(_), _)) => return End::Gone,
                Either::Right(_) => {}
            }
            if let Some(stop) = self.shared.lock().pace.fault(Instant::now()) {
                return End::Stop(stop);
            }
        }
    }

    /// The body ends here, with what the guest had left in it.
    pub(super) fn stop(&self, why: &Stop) {
        let mut state = self.shared.lock();
        (state.begun, state.pieces) = (None, None);
        state.ends(why.to_string());
    }

    /// The guest has failed: what it said is passed on, and a fault unless that
    /// was all. The guest's store is kept until then, since a body without one
    /// looks like a whole one.
    pub(super) async fn fail(&mut self, why: String) {
        self.shared.lock().ends(why);
        // It may also have gone.
        let taken = tokio::time::timeout(limits::AFTER_ANSWER_DEADLINE, &mut self.ended);
        if taken.await.is_err() {
            let mut state = self.shared.lock();
            (state.begun, state.pieces) = (None, None);
        }
    }
}

impl State {
    fn ends(&mut self, why: String) {
        self.fault = Some(BodyFault::Broken(why));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures::{FutureExt, StreamExt};
    use http_body_util::BodyExt;

    const PATIENCE: Patience = Patience {
        all: Duration::from_secs(3600),
        silence: Duration::from_secs(300),
        reader: Duration::from_secs(30),
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_side_waits_as_long_as_it_may() {
        let begun = Instant::now();
        let mut pace = Pace::new(PATIENCE, begun);
        assert_eq!(pace.fault(begun + seconds(29)), None);
        assert_eq!(pace.fault(begun + seconds(30)), Some(Stop::Slow(30)));

        pace.asks(begun + seconds(20));
        assert_eq!(pace.fault(begun + seconds(319)), None);
        assert_eq!(pace.fault(begun + seconds(320)), Some(Stop::Silent(300)));

        // Twenty seconds of its patience are gone; ten KiB earn ten others.
        let bytes = 10 * limits::ANSWER_BYTES_PER_SECOND_MIN as usize;
        pace.takes(bytes, begun + seconds(100));
        assert_eq!(pace.fault(begun + seconds(119)), None);
        assert_eq!(pace.fault(begun + seconds(120)), Some(Stop::Slow(30)));
        pace.asks(begun + seconds(101));
        pace.takes(1 << 30, begun + seconds(101));
        pace.asks(begun + seconds(101));
        pace.takes(1024, begun + seconds(101));
        assert_eq!(pace.fault(begun + seconds(131)), None);
        assert_eq!(pace.fault(begun + seconds(132)), Some(Stop::Slow(30)));
        pace.asks(begun + seconds(102));
        assert_eq!(
            pace.fault(begun + seconds(3600)),
            Some(Stop::Long(3600)),
            "an answer ends after all its time"
        );
    }

    /// A body as a guest makes it, and what holds it open.
    fn guests(pieces: usize) -> (HyperOutgoingBody, tokio::sync::mpsc::Sender<Bytes>) {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(2);
        for _ in 0..pieces {
            sender.try_send(Bytes::from_static(b"piece")).unwrap();
        }
        let stream = futures::stream::poll_fn(move |cx| receiver.poll_recv(cx));
        let frames = stream.map(|piece| Ok(http_body::Frame::data(piece)));
        (
            http_body_util::StreamBody::new(frames).boxed_unsync(),
            sender,
        )
    }

    #[tokio::test]
    async fn what_was_stopped_is_dropped_and_ends_in_a_fault() {
        let (pieces, sender) = guests(2);
        let (mut body, watch) = flow(Bytes::from_static(b"begun"), pieces, PATIENCE);
        watch.stop(&Stop::Long(1));
        assert!(sender.is_closed(), "nothing of it is kept");
        let fault = body.next().await.unwrap().unwrap_err();
        assert!(fault.to_string().contains("more than 1 seconds"), "{fault}");
        assert!(body.next().await.is_none());
    }

    #[tokio::test]
    async fn a_reader_that_waits_hears_of_a_stop() {
        let (pieces, _sender) = guests(0);
        let (mut body, watch) = flow(Bytes::new(), pieces, PATIENCE);
        let mut waiting = std::pin::pin!(body.next());
        assert!((&mut waiting).now_or_never().is_none());
        watch.stop(&Stop::Spent(1));
        assert!(waiting.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn what_a_failed_guest_said_comes_before_its_fault() {
        let (pieces, _sender) = guests(1);
        let (mut body, mut watch) = flow(Bytes::new(), pieces, PATIENCE);
        let failing = watch.fail("it trapped".into());
        let reading = async {
            assert_eq!(body.next().await.unwrap().unwrap(), "piece");
            body.next().await.unwrap().unwrap_err()
        };
        let (fault, ()) = tokio::join!(reading, failing);
        assert!(fault.to_string().contains("it trapped"));

        let (pieces, sender) = guests(1);
        drop(sender);
        let (mut body, mut watch) = flow(Bytes::new(), pieces, PATIENCE);
        let failing = watch.fail("it trapped after its answer".into());
        let reading = async {
            assert_eq!(body.next().await.unwrap().unwrap(), "piece");
            assert!(body.next().await.is_none(), "it had said all");
        };
        tokio::join!(reading, failing);
    }

    #[tokio::test]
    async fn leaving_and_ending_are_told_apart() {
        let (pieces, sender) = guests(1);
        let (body, mut watch) = flow(Bytes::new(), pieces, PATIENCE);
        drop(sender);
        assert_eq!(body.collect(5).await.unwrap(), "piece");
        assert_eq!(watch.end().await, End::Taken);

        let (pieces, _sender) = guests(1);
        let (mut body, mut watch) = flow(Bytes::new(), pieces, PATIENCE);
        body.next().await.unwrap().unwrap();
        drop(body);
        assert_eq!(watch.end().await, End::Gone);
    }
}
