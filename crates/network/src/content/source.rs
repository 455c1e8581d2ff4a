//! One neighbour that has the content.

use std::collections::BTreeSet;
use std::time::Duration;

use beth_protocol::hash::chain::Chunk;
use futures::AsyncReadExt;
use libp2p::{PeerId, Stream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use super::frame::{Reply, Request, SpeakError, ask, hear_reply};
use super::plan::SourceId;
use crate::limits::{CONTENT_OVERTAKE, CONTENT_QUEUE, CONTENT_TRUST};

/// What is known of it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) peer: PeerId,
    /// As it said.
    pub(super) size_bytes: u64,
    /// What is asked of it and did not come yet.
    pub(super) owes: BTreeSet<u64>,
    /// Chunks of it that wait to be checked.
    pub(super) unchecked: usize,
    /// How many chunks of it may be on the way or unchecked.
    pub(super) trust: usize,
    /// How long its chunks take, about.
    pub(super) pace: Option<Duration>,
    pub(super) gets: mpsc::Sender<u64>,
    pub(super) task: AbortHandle,
}

/// What a source does.
#[derive(Debug)]
pub(super) enum Event {
    /// It gave a chunk.
    Came(SourceId, u64, Chunk),
    /// It cannot give this chunk now.
    Later(SourceId, u64),
    /// It is gone.
    Gone(SourceId, Option<SpeakError>),
}

impl Source {
    /// True when nothing more may be asked of it now.
    pub(super) fn is_full(&self) -> bool {
        self.owes.len() + self.unchecked >= self.trust
    }

    /// A chunk came after so long.
    pub(super) fn came(&mut self, index: u64, took: Duration) {
        self.owes.remove(&index);
        self.unchecked += 1;
        self.pace = Some(self.pace.map_or(took, |pace| (pace * 7 + took) / 8));
    }

    /// One of its chunks was right. It may owe more, unless they pile up.
    pub(super) fn was_right(&mut self) {
        self.trust = match self.pace {
            Some(pace) if pace > CONTENT_QUEUE => self.trust.saturating_sub(1).max(1),
            _ => CONTENT_TRUST.min(self.trust + 1),
        };
    }

    /// How long this one leaves a chunk to somebody else who is slower.
    pub(super) fn patience(&self) -> Duration {
        let (least, most) = CONTENT_OVERTAKE;
        self.pace.map_or(most, |pace| (pace * 4).clamp(least, most))
    }

    /// Asks for a chunk. When that cannot be sent, the source is found gone.
    pub(super) fn ask(&mut self, index: u64) {
        self.owes.insert(index);
        let _ = self.gets.try_send(index);
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries questions to a source and chunks back until either side ends.
pub(super) async fn carry(
    source: SourceId,
    stream: Stream,
    mut gets: mpsc::Receiver<u64>,
    events: mpsc::Sender<Event>,
) {
    let (mut hearing, mut saying) = stream.split();
    // Silence counts only while something is owed.
    let owed = Semaphore::new(0);
    let say = async {
        while let Some(index) = gets.recv().await {
            ask(&mut saying, Request::Get(index)).await?;
            owed.add_permits(1);
        }
        Ok::<(), SpeakError>(())
    };
    let hear = async {
        loop {
            let Ok(one) = owed.acquire().await else {
                return Ok(());
            };
            one.forget();
            let event = match hear_reply(&mut hearing).await? {
                Some(Reply::Chunk(index, chunk)) => Event::Came(source, index, chunk),
                Some(Reply::Later(index)) => Event::Later(source, index),
                Some(_) => return Err(SpeakError::Nonsense),
                None => return Ok(()),
            };
            if events.send(event).await.is_err() {
                return Ok(());
            }
        }
    };
    let ended: Result<(), SpeakError> = tokio::select! {
        said = say => said,
        heard = hear => heard,
    };
    let _ = events.send(Event::Gone(source, ended.err())).await;
}
