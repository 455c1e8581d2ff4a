//! Giving contents away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::PeerId;
use libp2p_stream::IncomingStreams;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Digest;
use super::frame::{Reply, Request, SpeakError, answer, flush, hear_request};
use super::shelf::{Contents, ContentsError, OpenContent, Opening};
use crate::fault::Fault;
use crate::limits::{
    CONTENT_CHUNKS_READ, CONTENT_GUEST_PATIENCE, CONTENT_GUESTS, CONTENT_GUESTS_OF_PEER,
};
use crate::network::Network;

/// Why a guest left early.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Speak(#[from] SpeakError),
    #[error(transparent)]
    Contents(#[from] ContentsError),
    #[error("the peer asked for a chunk that the content does not have")]
    NoSuchChunk,
    #[error("the node is stopping")]
    Stopping,
}

impl ServeError {
    fn is_garbage(&self) -> bool {
        matches!(
            self,
            ServeError::Speak(SpeakError::Nonsense) | ServeError::NoSuchChunk
        )
    }
}

/// Who is here how often.
type Guests = Arc<Mutex<HashMap<PeerId, usize>>>;

/// Answers until cancelled. Who asks too much at once is sent away.
pub(super) async fn serve(
    mut incoming: IncomingStreams,
    (contents, network): (Arc<dyn Contents>, Network),
    (tasks, cancel): (TaskTracker, CancellationToken),
) {
    let guests = Guests::default();
    loop {
        let next = tokio::select! {
            () = cancel.cancelled() => return,
            next = incoming.next() => next,
        };
        let Some((peer, stream)) = next else {
            return;
        };
        let Some(stay) = Stay::of(&guests, peer) else {
            tracing::debug!(%peer, "a peer that fetches too much at once is sent away");
            continue;
        };
        let (contents, cancel) = (contents.clone(), cancel.clone());
        let network = network.clone();
        tasks.spawn(async move {
            let ended = tokio::select! {
                () = cancel.cancelled() => Err(ServeError::Stopping),
                ended = receive(stream, &contents) => ended,
            };
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "a peer that fetches left early");
                if error.is_garbage() {
                    network.demote(&peer.to_string(), Fault::Garbage);
                }
            }
            drop(stay);
        });
    }
}

/// One stream of one peer.
struct Stay(Guests, PeerId);

impl Stay {
    fn of(guests: &Guests, peer: PeerId) -> Option<Stay> {
        let mut here = guests.lock().unwrap_or_else(PoisonError::into_inner);
        if here.values().sum::<usize>() >= CONTENT_GUESTS {
            return None;
        }
        let own = here.entry(peer).or_default();
        if *own >= CONTENT_GUESTS_OF_PEER {
            return None;
        }
        *own += 1;
        Some(Stay(guests.clone(), peer))
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut here = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = here.get_mut(&self.1) {
            *own -= 1;
            if *own == 0 {
                here.remove(&self.1);
            }
        }
    }
}

async fn receive(stream: libp2p::Stream, contents: &Arc<dyn Contents>) -> Result<(), ServeError> {
    let (mut hearing, mut saying) = stream.split();
    let first = hear_request(&mut hearing, CONTENT_GUEST_PATIENCE).await?;
    let Some(Request::Have(digest)) = first else {
        return Ok(());
    };
    let size = blocking(contents, move |contents| contents.size_bytes(&digest)).await?;
    let reply = size.map_or(Reply::Lacks, Reply::Has);
    answer(&mut saying, &reply).await?;
    flush(&mut saying).await?;

    // While one chunk is on its way the next ones are read.
    let (ready, mut replies) = mpsc::channel(CONTENT_CHUNKS_READ);
    let read = async {
        let mut open = None;
        while let Some(request) = hear_request(&mut hearing, CONTENT_GUEST_PATIENCE).await? {
            let Request::Get(index) = request else {
                return Err(SpeakError::Nonsense.into());
            };
            let reply = chunk(contents, &mut open, (digest, index)).await?;
            if ready.send(reply).await.is_err() {
                break;
            }
        }
        drop(ready);
        Ok(())
    };
    let write = async {
        while let Some(reply) = replies.recv().await {
            answer(&mut saying, &reply).await?;
            if let Reply::Chunk(_, chunk) = &reply {
                contents.given(chunk.bytes.len() as u64);
            }
            if replies.is_empty() {
                flush(&mut saying).await?;
            }
        }
        saying.close().await.map_err(SpeakError::from)?;
        Ok::<(), ServeError>(())
    };
    futures::try_join!(read, write).map(|_| ())
}

/// A chunk of a content that is opened when the first one is asked for.
async fn chunk(
    contents: &Arc<dyn Contents>,
    open: &mut Option<Arc<dyn OpenContent>>,
    (digest, index): (Digest, u64),
) -> Result<Reply, ServeError> {
    let known = open.clone();
    let look = move |contents: &dyn Contents| {
        let content = match known {
            Some(content) => content,
            None => match contents.open(&digest)? {
                Opening::Open(content) => content,
                Opening::Later => return Ok((None, Some(Reply::Later(index)))),
                Opening::Absent => return Ok((None, None)),
            },
        };
        let chunk = content.chunk(index)?;
        Ok((Some(content), chunk.map(|chunk| Reply::Chunk(index, chunk))))
    };
    let (content, reply) = blocking(contents, look).await?;
    *open = content;
    reply.ok_or(ServeError::NoSuchChunk)
}

/// Reads where waiting for a disk is allowed.
async fn blocking<T: Send + 'static>(
    contents: &Arc<dyn Contents>,
    read: impl FnOnce(&dyn Contents) -> Result<T, ContentsError> + Send + 'static,
) -> Result<T, ContentsError> {
    let contents = contents.clone();
    let read = tokio::task::spawn_blocking(move || read(&*contents));
    read.await
        .unwrap_or_else(|_| Err(ContentsError("the node is stopping".into())))
}
