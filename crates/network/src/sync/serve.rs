//! Visits that are received.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use libp2p::PeerId;
use libp2p_stream::IncomingStreams;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::frame::{Frame, SpeakError, hear, say};
use super::library::{Library, LibraryError};
use crate::limits::{SYNC_BATCH_BYTES, SYNC_QUESTIONS, SYNC_VISITORS, SYNC_VISITS_OF_PEER};

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

/// Who is here how often.
type Guests = Arc<Mutex<HashMap<PeerId, usize>>>;

/// Receives visits until cancelled. Those beyond the bounds are sent away.
pub(crate) async fn serve(
    mut incoming: IncomingStreams,
    library: Arc<dyn Library>,
    (tasks, cancel): (TaskTracker, CancellationToken),
) {
    let guests = Guests::default();
    loop {
        let next = tokio::select! {
            () = cancel.cancelled() => return,
            next = incoming.next() => next,
        };
        let Some((peer, mut stream)) = next else {
            return;
        };
        let Some(stay) = Stay::of(&guests, peer) else {
            tracing::debug!(%peer, "a peer that reconciles too much at once is sent away");
            continue;
        };
        let (library, cancel) = (library.clone(), cancel.clone());
        tasks.spawn(async move {
            let visit = receive(&mut stream, &library);
            let ended = tokio::select! {
                () = cancel.cancelled() => Err(ServeError::Stopping),
                ended = visit => ended,
            };
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "a peer's reconciliation ended early");
            }
            drop(stay);
        });
    }
}

/// One visit of one peer.
struct Stay(Guests, PeerId);

impl Stay {
    fn of(guests: &Guests, peer: PeerId) -> Option<Stay> {
        let mut here = guests.lock().unwrap_or_else(PoisonError::into_inner);
        if here.values().sum::<usize>() >= SYNC_VISITORS {
            return None;
        }
        let own = here.entry(peer).or_default();
        if *own >= SYNC_VISITS_OF_PEER {
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

async fn receive(
    stream: &mut libp2p::Stream,
    library: &Arc<dyn Library>,
) -> Result<(), ServeError> {
    let mut questions = 0;
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
                if !library.take(messages).await {
                    return Err(ServeError::Stopping);
                }
                say(stream, &Frame::Done).await?;
            }
            Frame::Told(_) | Frame::Done => return Err(SpeakError::Nonsense.into()),
        }
    }
    Ok(())
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
