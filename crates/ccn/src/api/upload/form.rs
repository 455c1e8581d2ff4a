//! Files that arrive: a raw body, or the parts `file` and `metadata` of a form
//! in any order, which is why a file is received before it is known whose it
//! is. The bytes go to the disk in pieces; at no time is more than a piece of
//! them in memory.

use std::pin::Pin;
use std::task::Poll;

use axum::body::{Body, Bytes};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::response::IntoResponse;
use beth_store::Error;
use beth_store::blobs::Incoming;
use beth_store::blobs::archive::IncomingArchive;
use bytes::BytesMut;
use futures::{Stream, StreamExt, stream};
use http::{StatusCode, header};

use super::super::answer::ApiError;
use super::super::body;
use super::super::storage::blocking;
use super::space::Claim;
use crate::limits::{JSON_BODY_BYTES_MAX, UPLOAD_PIECE_BYTES};

/// What takes the bytes of an upload.
pub trait Sink: Send + Sized + 'static {
    /// Adds bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error>;
    /// Bytes so far.
    fn size_bytes(&self) -> u64;
}

impl Sink for Incoming {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Incoming::write(self, bytes)
    }

    fn size_bytes(&self) -> u64 {
        Incoming::size_bytes(self)
    }
}

impl Sink for IncomingArchive {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        IncomingArchive::write(self, bytes)
    }

    fn size_bytes(&self) -> u64 {
        IncomingArchive::size_bytes(self)
    }
}

/// The parts of a form that mean something.
pub struct Form<S> {
    /// The part `file`.
    pub file: Option<FilePart<S>>,
    /// The part `metadata`: who wants the file to be kept.
    pub metadata: Option<Bytes>,
}

/// A received file.
pub struct FilePart<S> {
    /// What took its bytes.
    pub sink: S,
    /// `filename` of the part.
    pub name: Option<String>,
}

/// True when the body is a form, whatever is in it.
pub fn is_form(request: &Request) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    content_type
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.to_ascii_lowercase().starts_with("multipart/form-data"))
}

/// Reads a form; the file goes to the sink that `begin` opens, at most
/// `bytes_max` of it. Other parts are skipped.
pub async fn receive<S: Sink>(
    request: Request,
    (bytes_max, claim): (u64, Claim),
    begin: impl FnOnce() -> Result<S, Error> + Send + 'static,
) -> Result<Form<S>, ApiError> {
    let request = request.map(|body| Body::from_stream(paced(body)));
    let mut parts = Multipart::from_request(request, &())
        .await
        .map_err(|refusal| {
            ApiError::reason(refusal.into_response().status(), "the form has no boundary")
        })?;
    let (mut begin, mut file, mut metadata) = (Some(begin), None, None);
    let (mut skipped, mut claim) = (0, Some(claim));
    while let Some(mut field) = body::timely(parts.next_field())
        .await?
        .map_err(unreadable)?
    {
        match (field.name(), begin.take()) {
            (Some("file"), Some(begin)) => {
                let name = field.file_name().map(str::to_owned);
                let sink = blocking(begin).await?;
                let claim = claim.take().ok_or_else(ApiError::internal)?;
                let sink = fill(Filling::new(sink, bytes_max, claim), &mut field).await?;
                file = Some(FilePart { sink, name });
                continue;
            }
            (_, unused) => begin = unused,
        }
        if field.name() == Some("metadata") {
            metadata = Some(small(field).await?);
            continue;
        }
        while let Some(chunk) = piece(&mut field).await? {
            skipped += chunk.len() as u64;
            if skipped > bytes_max {
                return Err(ApiError::too_large(bytes_max));
            }
        }
    }
    Ok(Form { file, metadata })
}

/// The whole body as a file of at most `bytes_max` bytes.
pub async fn receive_raw<S: Sink>(
    body: Body,
    (bytes_max, claim): (u64, Claim),
    begin: impl FnOnce() -> Result<S, Error> + Send + 'static,
) -> Result<S, ApiError> {
    let mut stream = body.into_data_stream();
    let mut filling = Filling::new(blocking(begin).await?, bytes_max, claim);
    while let Some(chunk) = body::timely(stream.next()).await? {
        filling.add(chunk.map_err(|_| body::broken())?).await?;
    }
    filling.end().await
}

async fn fill<S: Sink>(mut filling: Filling<S>, field: &mut Field<'_>) -> Result<S, ApiError> {
    while let Some(chunk) = piece(field).await? {
        filling.add(chunk).await?;
    }
    filling.end().await
}

/// Gathers small chunks, so that the disk is asked for seldom.
struct Filling<S> {
    sink: Option<S>,
    waiting: BytesMut,
    size_bytes: u64,
    bytes_max: u64,
    claim: Claim,
}

impl<S: Sink> Filling<S> {
    fn new(sink: S, bytes_max: u64, claim: Claim) -> Filling<S> {
        Filling {
            size_bytes: sink.size_bytes(),
            sink: Some(sink),
            waiting: BytesMut::new(),
            bytes_max,
            claim,
        }
    }

    async fn add(&mut self, chunk: Bytes) -> Result<(), ApiError> {
        self.size_bytes += chunk.len() as u64;
        if self.size_bytes > self.bytes_max {
            return Err(ApiError::too_large(self.bytes_max));
        }
        self.claim.take(chunk.len() as u64)?;
        self.waiting.extend_from_slice(&chunk);
        if self.waiting.len() < UPLOAD_PIECE_BYTES {
            return Ok(());
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), ApiError> {
        let Some(mut sink) = self.sink.take() else {
            return Err(ApiError::internal());
        };
        let bytes = std::mem::take(&mut self.waiting);
        let (sink, mut bytes) = blocking(move || {
            sink.write(&bytes)?;
            Ok((sink, bytes))
        })
        .await?;
        bytes.clear();
        self.waiting = bytes;
        self.sink = Some(sink);
        Ok(())
    }

    async fn end(mut self) -> Result<S, ApiError> {
        self.flush().await?;
        self.sink.take().ok_or_else(ApiError::internal)
    }
}

/// A body that rests after every chunk. The reader of forms takes what is there
/// until nothing is, and would hold a file whose sender is faster than the disk.
fn paced(body: Body) -> impl Stream<Item = Result<Bytes, axum::Error>> + Send {
    let mut chunks = body.into_data_stream();
    let mut rests = false;
    stream::poll_fn(move |task| {
        if std::mem::take(&mut rests) {
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = Pin::new(&mut chunks).poll_next(task);
        rests = matches!(next, Poll::Ready(Some(Ok(_))));
        next
    })
}

async fn piece(field: &mut Field<'_>) -> Result<Option<Bytes>, ApiError> {
    body::timely(field.chunk()).await?.map_err(unreadable)
}

/// The form ends early, or is none.
fn unreadable(error: MultipartError) -> ApiError {
    let text = format!("the form cannot be read: {}", error.body_text());
    ApiError::text(StatusCode::BAD_REQUEST, text)
}

async fn small(mut field: Field<'_>) -> Result<Bytes, ApiError> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = piece(&mut field).await? {
        if (whole.len() + chunk.len()) as u64 > JSON_BODY_BYTES_MAX {
            return Err(ApiError::too_large(JSON_BODY_BYTES_MAX));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}
