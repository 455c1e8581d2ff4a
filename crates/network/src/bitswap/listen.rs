//! What peers say: the streams that they open.

use std::sync::Arc;

use futures::StreamExt;
use libp2p::{PeerId, Stream};
use libp2p_stream::IncomingStreams;

use super::board::Ends;
use super::hall::Hall;
use super::stream::{Room, StreamError, hear};
use crate::Fault;

/// Takes streams until the network stops. Does nothing else: whoever comes
/// while nobody takes is turned away.
pub(super) async fn listen(hall: Arc<Hall>, mut incoming: IncomingStreams) {
    loop {
        let next = tokio::select! {
            () = hall.cancel.cancelled() => return,
            next = incoming.next() => next,
        };
        let Some((peer, stream)) = next else {
            return;
        };
        let Some(ends) = hall.meet(peer) else {
            continue;
        };
        let Some(stay) = Stay::of(&hall, peer, ends) else {
            tracing::debug!(%peer, "a peer that has too many streams is turned away");
            continue;
        };
        hall.tasks.spawn(read(stay, stream));
    }
}

/// A stream that is read.
struct Stay {
    hall: Arc<Hall>,
    peer: PeerId,
    ends: Ends,
}

impl Stay {
    fn of(hall: &Arc<Hall>, peer: PeerId, ends: Ends) -> Option<Stay> {
        hall.board.enter(peer).then(|| Stay {
            hall: hall.clone(),
            peer,
            ends,
        })
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.hall.board.leave(self.peer, &self.ends);
    }
}

async fn read(stay: Stay, mut stream: Stream) {
    let Stay { hall, peer, ends } = &stay;
    let ended = tokio::select! {
        () = hall.cancel.cancelled() => return,
        () = ends.gone.cancelled() => return,
        ended = read_all(&stay, &mut stream) => ended,
    };
    match ended {
        Err(StreamError::Nonsense(_)) => hall.blame(*peer, Fault::Garbage).await,
        Err(StreamError::TooLong(_)) => hall.blame(*peer, Fault::Oversized).await,
        Err(error) => tracing::debug!(%peer, %error, "a stream of the exchange ended early"),
        Ok(()) => {}
    }
}

async fn read_all(stay: &Stay, stream: &mut Stream) -> Result<(), StreamError> {
    let room = Room {
        own: stay.ends.large.clone(),
        all: stay.hall.large.clone(),
    };
    while let Some((message, held)) = hear(stream, &room).await? {
        stay.hall.hear(stay.peer, message, &stay.ends).await;
        drop(held);
    }
    Ok(())
}
