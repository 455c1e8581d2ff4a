//! Visits that are received.

use std::sync::Arc;

use futures::StreamExt;
use libp2p_stream::IncomingStreams;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::blame;
use super::frame::{Frame, SpeakError, hear, say};
use super::guests::Guests;
use super::library::{Judging, Library, LibraryError, Tally};
use crate::fault::Fault;
use crate::limits::{SYNC_BATCH_BYTES, SYNC_QUESTIONS};
use crate::network::Network;

/// Why a visit ended early.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Speak(#[from] SpeakError),
    #[error(transparent)]
    Library(#[from] LibraryError),
    #[error("the peer asked more than {SYNC_QUESTIONS} questions")]
    TooCurious,
    #[error("the node is stopping")]
    Stopping,
}

impl ServeError {
    /// What the peer is blamed for.
    fn fault(&self) -> Option<Fault> {
        match self {
            ServeError::Speak(SpeakError::Nonsense) => Some(Fault::Garbage),
            ServeError::TooCurious => Some(Fault::Flood),
            _ => None,
        }
    }
}

/// Receives visits until cancelled. Those beyond the bounds are sent away.
pub(crate) async fn serve(
    mut incoming: IncomingStreams,
    (library, guests, network): (Arc<dyn Library>, Guests, Network),
    (tasks, cancel): (TaskTracker, CancellationToken),
) {
    loop {
        let next = tokio::select! {
            () = cancel.cancelled() => return,
            next = incoming.next() => next,
        };
        let Some((peer, mut stream)) = next else {
            return;
        };
        let Some(stay) = guests.receive(peer) else {
            tracing::debug!(%peer, "a peer that reconciles too much at once is sent away");
            continue;
        };
        let (library, cancel) = (library.clone(), cancel.clone());
        let network = network.clone();
        tasks.spawn(async move {
            let visit = receive(&mut stream, &library);
            let ended = tokio::select! {
                () = cancel.cancelled() => Err(ServeError::Stopping),
                ended = visit => ended,
            };
            match ended {
                Ok(tally) => blame(&network, peer, tally.wrong),
                Err(error) => {
                    tracing::debug!(%peer, %error, "a peer's reconciliation ended early");
                    if let Some(fault) = error.fault() {
                        network.demote(&peer.to_string(), fault);
                    }
                }
            }
            drop(stay);
        });
    }
}

async fn receive(
    stream: &mut libp2p::Stream,
    library: &Arc<dyn Library>,
) -> Result<Tally, ServeError> {
    let mut questions = 0;
    let mut judging = Judging::default();
    while let Some((frame, _)) = hear(stream).await? {
        match frame {
            Frame::Ask(request) => {
                questions += 1;
                if questions > SYNC_QUESTIONS {
                    return Err(ServeError::TooCurious);
                }
                let reply = blocking(library, move |library| library.answer(&request)).await?;
                say(stream, &Frame::Told(reply)).await?;
            }
            Frame::Want(mut wanted) => {
                while !wanted.is_empty() {
                    let batch = blocking(library, move |library| {
                        library.messages(wanted, SYNC_BATCH_BYTES)
                    });
                    let batch = batch.await?;
                    say(stream, &Frame::Messages(batch.messages)).await?;
                    wanted = batch.rest;
                }
                say(stream, &Frame::Done).await?;
            }
            Frame::Messages(messages) => {
                if !judging.add(library.take(messages).await).await {
                    return Err(ServeError::Stopping);
                }
                say(stream, &Frame::Done).await?;
            }
            Frame::Told(_) | Frame::Done => return Err(SpeakError::Nonsense.into()),
        }
    }
    judging.end().await.ok_or(ServeError::Stopping)
}

/// Reads from the library where waiting for a disk is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    library: &Arc<dyn Library>,
    read: impl FnOnce(&dyn Library) -> Result<T, LibraryError> + Send + 'static,
) -> Result<T, LibraryError> {
    let library = library.clone();
    let read = tokio::task::spawn_blocking(move || read(&*library));
    read.await
        .unwrap_or_else(|_| Err(LibraryError("the node is stopping".into())))
}
