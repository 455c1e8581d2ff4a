//! Frames of a stream: length, kind, body.

use std::time::Duration;

use beth_protocol::reconcile::frame::{Reply, Request};
use beth_protocol::reconcile::{Element, Range};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::library::Wanted;
use crate::limits::{SYNC_FRAME_BYTES, SYNC_WAIT};

/// What one side says.
#[derive(Debug)]
pub(super) enum Frame {
    /// A question about sets.
    Ask(Request),
    /// Its answer.
    Told(Reply),
    /// These messages, please.
    Want(Wanted),
    /// Some messages; asked for, or offered.
    Messages(Vec<Vec<u8>>),
    /// No more of what was wanted; or, what was offered is taken.
    Done,
}

/// Why a visit ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpeakError {
    #[error("the stream broke: {0}")]
    Stream(#[from] std::io::Error),
    #[error("the peer said nothing for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the peer said something that is no frame")]
    Nonsense,
}

const ASK: u8 = 1;
const TOLD: u8 = 2;
const WANT: u8 = 3;
const MESSAGES: u8 = 4;
const DONE: u8 = 5;

impl Frame {
    fn parts(&self) -> (u8, Vec<u8>) {
        match self {
            Frame::Ask(request) => (ASK, request.to_bytes()),
            Frame::Told(reply) => (TOLD, reply.to_bytes()),
            Frame::Want(wanted) => (WANT, write_wanted(wanted)),
            Frame::Messages(messages) => {
                let bytes = messages.iter().map(|message| message.len() + 4).sum();
                let mut body = Vec::with_capacity(bytes);
                for message in messages {
                    body.extend_from_slice(&(message.len() as u32).to_be_bytes());
                    body.extend_from_slice(message);
                }
                (MESSAGES, body)
            }
            Frame::Done => (DONE, Vec::new()),
        }
    }

    fn read(kind: u8, body: &[u8]) -> Option<Frame> {
        Some(match kind {
            ASK => Frame::Ask(Request::from_bytes(body).ok()?),
            TOLD => Frame::Told(Reply::from_bytes(body).ok()?),
            WANT => Frame::Want(read_wanted(body)?),
            MESSAGES => Frame::Messages(read_messages(body)?),
            DONE if body.is_empty() => Frame::Done,
            _ => return None,
        })
    }
}

/// Says something; answers how many bytes that took.
pub(super) async fn say(
    stream: &mut (impl AsyncWrite + Unpin),
    frame: &Frame,
) -> Result<u64, SpeakError> {
    let (kind, body) = frame.parts();
    let said = async {
        stream
            .write_all(&(body.len() as u32 + 1).to_be_bytes())
            .await?;
        stream.write_all(&[kind]).await?;
        stream.write_all(&body).await?;
        stream.flush().await
    };
    match timeout(SYNC_WAIT, said).await {
        Ok(said) => said?,
        Err(_) => return Err(SpeakError::Silent(SYNC_WAIT)),
    }
    Ok(body.len() as u64 + 5)
}

/// Hears the next frame and how many bytes it took; `None` at the end.
pub(super) async fn hear(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<(Frame, u64)>, SpeakError> {
    let heard = async {
        let mut length = [0; 4];
        match stream.read_exact(&mut length).await {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let length = u32::from_be_bytes(length) as usize;
        if length == 0 || length > SYNC_FRAME_BYTES {
            return Err(SpeakError::Nonsense);
        }
        // It grows with what arrives, not with what was announced.
        let mut frame = Vec::new();
        stream.take(length as u64).read_to_end(&mut frame).await?;
        let (kind, body) = frame.split_first().ok_or(SpeakError::Nonsense)?;
        if frame.len() != length {
            return Err(SpeakError::Nonsense);
        }
        let frame = Frame::read(*kind, body).ok_or(SpeakError::Nonsense)?;
        Ok(Some((frame, length as u64 + 4)))
    };
    match timeout(SYNC_WAIT, heard).await {
        Ok(heard) => heard,
        Err(_) => Err(SpeakError::Silent(SYNC_WAIT)),
    }
}

fn write_wanted(wanted: &Wanted) -> Vec<u8> {
    let mut body = (wanted.elements.len() as u32).to_be_bytes().to_vec();
    for element in &wanted.elements {
        body.extend_from_slice(&element.to_bytes());
    }
    for range in &wanted.ranges {
        body.extend_from_slice(&range.start.to_bytes());
        body.extend_from_slice(&range.end.to_bytes());
    }
    body
}

fn read_wanted(body: &[u8]) -> Option<Wanted> {
    let (count, rest) = body.split_first_chunk::<4>()?;
    let bytes = (u32::from_be_bytes(*count) as usize).checked_mul(16)?;
    let (elements, ranges) = rest.split_at_checked(bytes)?;
    let (elements, _) = elements.as_chunks::<16>();
    let (ranges, odd) = ranges.as_chunks::<32>();
    let mut wanted = Wanted {
        elements: elements.iter().copied().map(Element::from_bytes).collect(),
        ranges: Vec::with_capacity(ranges.len()),
    };
    for range in ranges {
        let (start, end) = (range.first_chunk()?, range.last_chunk()?);
        let range = Range {
            start: Element::from_bytes(*start),
            end: Element::from_bytes(*end),
        };
        if range.start >= range.end {
            return None;
        }
        wanted.ranges.push(range);
    }
    odd.is_empty().then_some(wanted)
}

fn read_messages(mut body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut messages = Vec::new();
    while let Some((length, rest)) = body.split_first_chunk::<4>() {
        let (message, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        messages.push(message.to_vec());
        body = rest;
    }
    body.is_empty().then_some(messages)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn through(frame: &Frame) -> Frame {
        let mut bytes = Vec::new();
        let said = say(&mut bytes, frame).await.unwrap();
        assert_eq!(said, bytes.len() as u64);
        let (heard, length) = hear(&mut bytes.as_slice()).await.unwrap().unwrap();
        assert_eq!(length, said);
        heard
    }

    #[tokio::test]
    async fn frames_come_through() {
        let wanted = Wanted {
            elements: vec![Element::at(5), Element::FIRST],
            ranges: vec![Range::ALL],
        };
        let heard = through(&Frame::Want(wanted.clone())).await;
        assert!(matches!(heard, Frame::Want(heard) if heard == wanted));
        let messages = vec![b"{}".to_vec(), Vec::new()];
        let heard = through(&Frame::Messages(messages.clone())).await;
        assert!(matches!(heard, Frame::Messages(heard) if heard == messages));
        assert!(matches!(through(&Frame::Done).await, Frame::Done));
    }

    #[tokio::test]
    async fn what_is_no_frame_is_refused() {
        for bytes in [
            &[0, 0, 0, 0][..],
            &[255, 255, 255, 255, 1],
            &[0, 0, 0, 2, DONE, 0],
            &[0, 0, 0, 1, 9],
            &[0, 0, 0, 4, DONE],
            &[0, 0, 0, 6, WANT, 0, 0, 0, 1, 0],
            &[0, 0, 0, 6, MESSAGES, 0, 0, 0, 2, 0],
            &[0, 0, 0, 3, MESSAGES, 0, 0],
        ] {
            let heard = hear(&mut &*bytes).await;
            let is_refused = matches!(heard, Err(SpeakError::Nonsense));
            assert!(is_refused, "{bytes:?}: {heard:?}");
        }
        assert!(matches!(hear(&mut &[][..]).await, Ok(None)));
    }

    proptest::proptest! {
        /// Peers send what they like: it is read, or refused.
        #[test]
        fn any_frame(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200), kind in 0..8_u8) {
            if let Some(Frame::Want(wanted)) = Frame::read(kind, &body) {
                proptest::prop_assert!(wanted.elements.len() + wanted.ranges.len() <= body.len());
            }
            if let Some(Frame::Messages(messages)) = Frame::read(kind, &body) {
                let bytes: usize = messages.iter().map(Vec::len).sum();
                proptest::prop_assert!(bytes <= body.len());
            }
        }
    }
}
