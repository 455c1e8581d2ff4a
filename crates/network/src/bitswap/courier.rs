//! What goes to one peer: our questions, and answers to its own.
//!
//! ```text
//!   wake ─▶ questions of the desk ─┐
//!           wants of the ledger ───┴─ a turn ─▶ look up ─▶ message ─▶ stream
//! ```
//!
//! One task a peer, one message at a time. A message holds a turn, of which
//! there are few, from the first look-up until it is written: so peers are
//! served in turns, and the bytes of blocks on their way are bounded. The
//! stream is opened when there is something to say and closed soon after.

use std::borrow::Cow;
use std::sync::Arc;

use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::{Control, OpenStreamError};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};

use super::PROTOCOLS;
use super::board::{Ends, Event};
use super::cid::Cid;
use super::frame::{Block, Kind, Message, Presence, Want};
use super::hall::Hall;
use super::stream::{StreamError, say};
use crate::limits::{
    DIAL, EXCHANGE_BATCH_BYTES, EXCHANGE_BLOCK_BYTES, EXCHANGE_LOOKUPS, EXCHANGE_REUSE,
};

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("the peer does not speak bitswap")]
    Unsupported,
    #[error("no stream could be opened: {0}")]
    Open(String),
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// A message, and the turn that it takes.
type Letter = (Message, Option<OwnedSemaphorePermit>);

/// Serves a peer until it has gone.
pub(super) async fn courier(hall: Arc<Hall>, peer: PeerId, ends: Ends) {
    let gone = ends.gone.clone();
    tokio::select! {
        () = hall.cancel.cancelled() => {}
        () = gone.cancelled() => {}
        () = run(hall.clone(), peer, ends) => {}
    }
}

async fn run(hall: Arc<Hall>, peer: PeerId, ends: Ends) {
    let mut line = Line {
        control: hall.control.clone(),
        peer,
        stream: None,
    };
    loop {
        let (message, turn) = letter(&hall, peer).await;
        if message.is_empty() {
            let idle = hall.board.ledger(peer, |ledger| ledger.is_idle());
            if idle == Some(false) {
                continue;
            }
            tokio::select! {
                () = ends.wake.notified() => {}
                () = sleep(EXCHANGE_REUSE), if line.stream.is_some() => line.close().await,
            }
            continue;
        }
        let sent = line.send(&message).await;
        drop(turn);
        match sent {
            Ok(()) => hall.tallies.sent(&message),
            Err(SendError::Unsupported) => {
                hall.send(hall.board.mute(peer)).await;
                return;
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "a message of the exchange was not sent");
                hall.send(hall.board.tell_all(|| Event::Gone(peer))).await;
            }
        }
    }
}

/// The next message.
async fn letter(hall: &Hall, peer: PeerId) -> Letter {
    let mut message = Message {
        wants: hall.board.take_asks(peer),
        ..Message::default()
    };
    let busy = hall.board.ledger(peer, |ledger| !ledger.is_idle());
    if busy != Some(true) {
        return (message, None);
    }
    let turn = hall.turns.clone().acquire_owned().await.ok();
    let mut bytes = 0;
    for _ in 0..EXCHANGE_LOOKUPS {
        let next = hall.board.ledger(peer, |ledger| ledger.next()).flatten();
        let Some((key, want)) = next else {
            break;
        };
        let served = match want.kind {
            Kind::Have => tell(hall, &want, &mut message).await,
            Kind::Block => give(hall, &want, &mut message, &mut bytes).await,
        };
        hall.board.ledger(peer, |ledger| match served {
            true => ledger.served(&key),
            false => ledger.missed(&key),
        });
        if !served && want.tell_absence {
            message.presences.push(Presence {
                cid: want.cid,
                here: false,
            });
        }
        if bytes >= EXCHANGE_BATCH_BYTES {
            break;
        }
    }
    (message, turn)
}

/// Says that a block is here, if it is.
async fn tell(hall: &Hall, want: &Want, message: &mut Message) -> bool {
    let size = hall.blocks.size(&want.cid).await;
    let here = size.is_some_and(|bytes| bytes <= EXCHANGE_BLOCK_BYTES);
    if here {
        message.presences.push(Presence {
            cid: want.cid.clone(),
            here,
        });
    }
    here
}

/// Adds a block, if it is here.
async fn give(hall: &Hall, want: &Want, message: &mut Message, bytes: &mut usize) -> bool {
    let Some(prefix) = Cid::parse(&want.cid).map(|cid| cid.prefix()) else {
        return false;
    };
    let Some(block) = hall.blocks.block(&want.cid).await else {
        return false;
    };
    if block.len() > EXCHANGE_BLOCK_BYTES {
        return false;
    }
    *bytes += block.len();
    message.blocks.push(Block {
        prefix,
        bytes: block,
    });
    true
}

/// The way to a peer.
struct Line {
    control: Control,
    peer: PeerId,
    stream: Option<(Stream, StreamProtocol)>,
}

impl Line {
    /// Sends on the open stream, or once more on a new one.
    async fn send(&mut self, message: &Message) -> Result<(), SendError> {
        if let Some((stream, protocol)) = &mut self.stream {
            match say(stream, &suited(message, protocol)).await {
                Ok(_) => return Ok(()),
                Err(error) => {
                    tracing::debug!(peer = %self.peer, %error, "a stream is opened anew");
                    self.stream = None;
                }
            }
        }
        let (mut stream, protocol) = self.open().await?;
        say(&mut stream, &suited(message, &protocol)).await?;
        self.stream = Some((stream, protocol));
        Ok(())
    }

    async fn open(&mut self) -> Result<(Stream, StreamProtocol), SendError> {
        for protocol in PROTOCOLS {
            let opening = self.control.open_stream(self.peer, protocol.clone());
            match timeout(DIAL, opening).await {
                Ok(Ok(stream)) => return Ok((stream, protocol)),
                Ok(Err(OpenStreamError::UnsupportedProtocol(_))) => {}
                Ok(Err(error)) => return Err(SendError::Open(error.to_string())),
                Err(_) => return Err(SendError::Open("no answer in time".into())),
            }
        }
        Err(SendError::Unsupported)
    }

    async fn close(&mut self) {
        if let Some((mut stream, _)) = self.stream.take() {
            let closing = futures::AsyncWriteExt::close(&mut stream);
            // Whoever does not take the end of a stream has its reset.
            let _ = timeout(DIAL, closing).await;
        }
    }
}

/// A message as an older version has it: nothing about presence, and in the
/// first one blocks without a prefix.
fn suited<'a>(message: &'a Message, protocol: &StreamProtocol) -> Cow<'a, Message> {
    let [newest, second, ..] = &PROTOCOLS;
    if protocol == newest {
        return Cow::Borrowed(message);
    }
    let mut older = message.clone();
    older.presences.clear();
    for want in &mut older.wants {
        want.kind = Kind::Block;
        want.tell_absence = false;
    }
    if protocol != second {
        for block in &mut older.blocks {
            block.prefix.clear();
        }
    }
    Cow::Owned(older)
}
