//! Frames of a stream: length, kind, body.
//!
//! ```text
//!   have   digest                 has    size         lacks
//!   get    index                  chunk  index, state before, bytes      later  index
//! ```

use std::io;
use std::time::Duration;

use beth_protocol::hash::chain::{CHUNK_BYTES, Chunk, State};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::Digest;
use crate::limits::CONTENT_SILENCE;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Do you have this?
    Have(Digest),
    /// One of its chunks, please.
    Get(u64),
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Yes, so many bytes.
    Has(u64),
    /// No.
    Lacks,
    /// Here is a chunk.
    Chunk(u64, Chunk),
    /// Not now.
    Later(u64),
}

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpeakError {
    #[error("the stream broke: {0}")]
    Stream(#[from] io::Error),
    #[error("the peer moved no byte for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the peer said something that is no frame")]
    Nonsense,
}

const HAVE: u8 = 1;
const GET: u8 = 2;
const HAS: u8 = 3;
const LACKS: u8 = 4;
const CHUNK: u8 = 5;
const LATER: u8 = 6;

/// Kind, index and state of a chunk.
const CHUNK_HEAD: usize = 1 + 8 + 32;

/// Asks something.
pub(super) async fn ask(
    stream: &mut (impl AsyncWrite + Unpin),
    request: Request,
) -> Result<(), SpeakError> {
    let frame = match request {
        Request::Have(digest) => frame(HAVE, &digest),
        Request::Get(index) => frame(GET, &index.to_be_bytes()),
    };
    write(stream, &frame).await?;
    flush(stream).await
}

/// Answers; whoever has nothing more to say flushes.
pub(super) async fn answer(
    stream: &mut (impl AsyncWrite + Unpin),
    reply: &Reply,
) -> Result<(), SpeakError> {
    match reply {
        Reply::Has(size_bytes) => write(stream, &frame(HAS, &size_bytes.to_be_bytes())).await,
        Reply::Lacks => write(stream, &frame(LACKS, &[])).await,
        Reply::Later(index) => write(stream, &frame(LATER, &index.to_be_bytes())).await,
        Reply::Chunk(index, chunk) => {
            let mut head = Vec::with_capacity(4 + CHUNK_HEAD);
            let length = CHUNK_HEAD + chunk.bytes.len();
            head.extend_from_slice(&(length as u32).to_be_bytes());
            head.push(CHUNK);
            head.extend_from_slice(&index.to_be_bytes());
            head.extend_from_slice(&chunk.before.0);
            write(stream, &head).await?;
            write(stream, &chunk.bytes).await
        }
    }
}

/// Hands on what was answered.
pub(super) async fn flush(stream: &mut (impl AsyncWrite + Unpin)) -> Result<(), SpeakError> {
    patiently(CONTENT_SILENCE, stream.flush()).await
}

/// The next question, waited for as long as that; `None` at the end.
pub(super) async fn hear_request(
    stream: &mut (impl AsyncRead + Unpin),
    patience: Duration,
) -> Result<Option<Request>, SpeakError> {
    let Some(body) = patiently(patience, head(stream)).await? else {
        return Ok(None);
    };
    let mut bytes = vec![0; body.checked_within(33)?];
    fill(stream, &mut bytes).await?;
    let request = match bytes.split_first() {
        Some((&HAVE, digest)) => digest.try_into().ok().map(Request::Have),
        Some((&GET, index)) => number(index).map(Request::Get),
        _ => None,
    };
    request.map(Some).ok_or(SpeakError::Nonsense)
}

/// The next answer; `None` at the end.
pub(super) async fn hear_reply(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<Reply>, SpeakError> {
    let Some(body) = patiently(CONTENT_SILENCE, head(stream)).await? else {
        return Ok(None);
    };
    let length = body.checked_within(CHUNK_HEAD + CHUNK_BYTES)?;
    let mut head = vec![0; length.min(CHUNK_HEAD)];
    fill(stream, &mut head).await?;
    let reply = match head.split_first() {
        Some((&CHUNK, told)) => {
            let (index, state) = told.split_at_checked(8).ok_or(SpeakError::Nonsense)?;
            let index = number(index).ok_or(SpeakError::Nonsense)?;
            let before = State(state.try_into().map_err(|_| SpeakError::Nonsense)?);
            let mut bytes = vec![0; length - CHUNK_HEAD];
            fill(stream, &mut bytes).await?;
            Some(Reply::Chunk(index, Chunk { before, bytes }))
        }
        Some((&HAS, size)) => number(size).map(Reply::Has),
        Some((&LACKS, [])) => Some(Reply::Lacks),
        Some((&LATER, index)) => number(index).map(Reply::Later),
        _ => None,
    };
    reply.map(Some).ok_or(SpeakError::Nonsense)
}

/// The length of a frame.
struct Length(usize);

impl Length {
    fn checked_within(self, bytes_max: usize) -> Result<usize, SpeakError> {
        match self.0 {
            length if (1..=bytes_max).contains(&length) => Ok(length),
            _ => Err(SpeakError::Nonsense),
        }
    }
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Length>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
        Ok(()) => Ok(Some(Length(u32::from_be_bytes(length) as usize))),
    }
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32 + 1).to_be_bytes().to_vec();
    frame.push(kind);
    frame.extend_from_slice(body);
    frame
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// Reads as long as bytes keep coming.
async fn fill(stream: &mut (impl AsyncRead + Unpin), bytes: &mut [u8]) -> Result<(), SpeakError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = patiently(CONTENT_SILENCE, stream.read(rest)).await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        rest = rest.split_at_mut(count).1;
    }
    Ok(())
}

/// Writes as long as bytes keep going.
async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), SpeakError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = patiently(CONTENT_SILENCE, stream.write(rest)).await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        rest = rest.split_at(count).1;
    }
    Ok(())
}

async fn patiently<T>(
    patience: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, SpeakError> {
    match timeout(patience, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(SpeakError::Silent(patience)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_through() {
        for request in [Request::Have([7; 32]), Request::Get(1 << 40)] {
            let mut bytes = Vec::new();
            ask(&mut bytes, request).await.unwrap();
            let heard = hear_request(&mut &*bytes, CONTENT_SILENCE).await;
            assert_eq!(heard.unwrap(), Some(request));
        }
        let chunk = |size| Chunk {
            before: State::INITIAL,
            bytes: vec![3; size],
        };
        for reply in [
            Reply::Has(u64::MAX),
            Reply::Lacks,
            Reply::Chunk(5, chunk(CHUNK_BYTES)),
            Reply::Chunk(0, chunk(0)),
            Reply::Later(9),
        ] {
            let mut bytes = Vec::new();
            answer(&mut bytes, &reply).await.unwrap();
            assert_eq!(hear_reply(&mut &*bytes).await.unwrap(), Some(reply));
        }
    }

    #[tokio::test]
    async fn what_is_no_frame_is_refused() {
        for bytes in [
            &[0, 0, 0, 0][..],
            &[255, 255, 255, 255, CHUNK],
            &[0, 4, 0, 42, CHUNK, 0],
            &[0, 0, 0, 1, CHUNK],
            &[0, 0, 0, 2, LACKS, 0],
            &[0, 0, 0, 2, HAS, 0],
            &[0, 0, 0, 1, 99],
        ] {
            let heard = hear_reply(&mut &*bytes).await;
            assert!(
                matches!(heard, Err(SpeakError::Nonsense)),
                "{bytes:?}: {heard:?}"
            );
            assert!(hear_request(&mut &*bytes, CONTENT_SILENCE).await.is_err());
        }
        let mut cut = vec![0, 0, 0, 100, CHUNK];
        cut.resize(60, 0);
        assert!(matches!(
            hear_reply(&mut &*cut).await,
            Err(SpeakError::Stream(_))
        ));
        assert!(matches!(hear_reply(&mut &[][..]).await, Ok(None)));
    }

    proptest::proptest! {
        /// A length, then what a peer likes: read or refused, never more.
        #[test]
        fn any_frame(body in proptest::collection::vec(proptest::num::u8::ANY, 1..100), kind in 0..8_u8) {
            let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
            bytes.extend(&body);
            bytes[4] = kind;
            let threads = tokio::runtime::Builder::new_current_thread().enable_time().build();
            threads.unwrap().block_on(async {
                if let Ok(Some(reply)) = hear_now(&bytes).await {
                    let mut again = Vec::new();
                    answer(&mut again, &reply).await.unwrap();
                    assert_eq!(hear_now(&again).await.unwrap(), Some(reply));
                }
            });
        }
    }

    async fn hear_now(bytes: &[u8]) -> Result<Option<Reply>, SpeakError> {
        hear_reply(&mut &*bytes).await
    }
}
