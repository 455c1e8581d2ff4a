//! Answers compressed for clients that take it (core-api.md §1.4): JSON and
//! text of more than a kilobyte, gzip rather than deflate.
//!
//! Never a raw file, whose length clients read, and never the answer to HEAD: it
//! has the length of the plain body.
//!
//! Compressing takes the time of an async thread, a few KiB at a time;
//! [`turns`] lets other requests in between.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header;
use http_body::{Frame, SizeHint};
use tower_http::CompressionLevel;
use tower_http::compression::{CompressionLayer, Predicate};

use super::Route;
use crate::limits::{COMPRESSED_BYTES_MIN, COMPRESSED_FRAMES_TURN};

/// Compresses what is [`Worth`] it.
pub fn layer() -> CompressionLayer<Worth> {
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(Worth)
}

/// Gives others their turn while a long answer is compressed.
pub async fn turns(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if !response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    response.map(|inner| Body::new(Turns { inner, frames: 0 }))
}

/// Which answers are compressed.
#[derive(Clone, Copy, Debug)]
pub struct Worth;

impl Predicate for Worth {
    fn should_compress<B: HttpBody>(&self, response: &http::Response<B>) -> bool {
        let is_raw = |route: &Route| {
            let path = route.0.as_str();
            path.starts_with("/api/v0/storage/raw/") || path.starts_with("/ipfs/")
        };
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let is_text = content_type
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.starts_with("application/json") || kind.starts_with("text/"));
        let size = response.body().size_hint();
        let is_long = size
            .upper()
            .is_none_or(|bytes| bytes >= COMPRESSED_BYTES_MIN);
        is_text && is_long && !response.extensions().get::<Route>().is_some_and(is_raw)
    }
}

/// A body that rests after some frames.
struct Turns {
    inner: Body,
    frames: usize,
}

impl HttpBody for Turns {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.frames += 1;
        if self.frames > COMPRESSED_FRAMES_TURN {
            self.frames = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
