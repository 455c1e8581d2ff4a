//! Messages on streams: each behind its length.

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::frame::Message;
use super::proto::{Nonsense, put_varint};
use crate::limits::{EXCHANGE_FRAME_BYTES, EXCHANGE_LARGE_BYTES, EXCHANGE_SILENCE, EXCHANGE_WAIT};

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error("the stream broke: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Nonsense(#[from] Nonsense),
    #[error("a message of {0} bytes is longer than any may be")]
    TooLong(u64),
    #[error("the peer was silent for too long")]
    Silent,
}

/// Room for large messages: of the peer and of all.
pub(super) struct Room {
    pub(super) own: Arc<Semaphore>,
    pub(super) all: Arc<Semaphore>,
}

/// A message, and its room until it is worked on.
pub(super) type Heard = (Message, Option<[OwnedSemaphorePermit; 2]>);

/// Reads the next message; `None` at the end.
pub(super) async fn hear<S: AsyncRead + Unpin>(
    stream: &mut S,
    room: &Room,
) -> Result<Option<Heard>, StreamError> {
    let length = within(EXCHANGE_SILENCE, read_length(stream)).await?;
    let Some(length) = length else {
        return Ok(None);
    };
    let bytes = usize::try_from(length).unwrap_or(usize::MAX);
    if bytes > EXCHANGE_FRAME_BYTES {
        return Err(StreamError::TooLong(length));
    }
    let mut held = None;
    if bytes > EXCHANGE_LARGE_BYTES {
        let own = within(EXCHANGE_SILENCE, acquire(&room.own)).await?;
        held = Some([own, within(EXCHANGE_SILENCE, acquire(&room.all)).await?]);
    }
    let read = async {
        let mut frame = vec![0; bytes];
        stream.read_exact(&mut frame).await?;
        Ok(frame)
    };
    let frame = within(EXCHANGE_WAIT, read).await?;
    Ok(Some((Message::decode(&frame)?, held)))
}

/// Writes a message.
pub(super) async fn say<S: AsyncWrite + Unpin>(
    stream: &mut S,
    message: &Message,
) -> Result<usize, StreamError> {
    let body = message.encode();
    let mut head = Vec::with_capacity(5);
    put_varint(&mut head, body.len() as u64);
    let write = async {
        stream.write_all(&head).await?;
        stream.write_all(&body).await?;
        stream.flush().await?;
        Ok(head.len() + body.len())
    };
    within(EXCHANGE_WAIT, write).await
}

async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, StreamError>>,
) -> Result<T, StreamError> {
    timeout(patience, work)
        .await
        .unwrap_or(Err(StreamError::Silent))
}

async fn acquire(room: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, StreamError> {
    let permit = room.clone().acquire_owned().await;
    permit.map_err(|_| StreamError::Silent)
}

async fn read_length<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<u64>, StreamError> {
    let mut length = 0;
    for shift in (0..35).step_by(7) {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return match shift {
                0 => Ok(None),
                _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            };
        }
        let [byte] = byte;
        length |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(Some(length));
        }
    }
    Err(Nonsense.into())
}
