//! Refusals that clients get to read.
//!
//! A request may be refused before its body was read: too large, badly signed,
//! unpaid. Clients that are still sending then would see a broken connection
//! instead of the answer. So what is left of a refused body is read and thrown
//! away first, within bounds.
//!
//! ```text
//!  body ─▶ handler ─▶ refusal ─▶ rest of the body ─▶ nowhere ─▶ answer
//!            └── what it did not read comes back when it drops the body
//! ```
//!
//! Who asks before he sends (`Expect: 100-continue`) is told instead: to begin
//! to read would tell him to send. A body that comes in drops ends early.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use beth_http::{Least, Pace};
use futures::{Stream, StreamExt};
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, StatusCode};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::limits::{LINGER_BYTES_MAX, LINGER_TIMEOUT, LINGER_UNREAD_BYTES_MAX};

/// Reads the rest of a refused body before it answers.
pub async fn linger(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let asks_first = request.headers().contains_key(EXPECT);
    let (head, body) = request.into_parts();
    let (back, mut rest) = oneshot::channel();
    let lent = Lent {
        body: Some(body.into_data_stream()),
        back: Some(back),
        pace: Pace::new(Least::default()),
        is_begun: false,
    };
    let request = Request::from_parts(head, Body::from_stream(lent));
    let mut response = next.run(request).await;
    let status = response.status();
    let refused = status.is_client_error() || status.is_server_error();
    if refused && let Ok(rest) = rest.try_recv() {
        if asks_first && !rest.is_begun {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
            return response;
        }
        // Too slow or too long: the connection breaks, as it would have.
        let discarded = discard(rest.body, left_of(status, rest.is_begun));
        let _ = timeout(LINGER_TIMEOUT, discarded).await;
    }
    response
}

/// Bytes that are read of what is left.
fn left_of(status: StatusCode, is_begun: bool) -> usize {
    match status {
        StatusCode::TOO_MANY_REQUESTS => LINGER_UNREAD_BYTES_MAX,
        StatusCode::PAYLOAD_TOO_LARGE => LINGER_BYTES_MAX,
        _ if is_begun => LINGER_BYTES_MAX,
        _ => LINGER_UNREAD_BYTES_MAX,
    }
}

async fn discard(mut body: BodyDataStream, mut left: usize) {
    while let Some(Ok(chunk)) = body.next().await {
        match left.checked_sub(chunk.len()) {
            Some(less) => left = less,
            None => return,
        }
    }
}

/// What a reader left of a body.
struct Rest {
    body: BodyDataStream,
    is_begun: bool,
}

/// A body that comes back when its reader has had enough.
struct Lent {
    body: Option<BodyDataStream>,
    back: Option<oneshot::Sender<Rest>>,
    pace: Pace,
    is_begun: bool,
}

impl Stream for Lent {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.is_begun = true;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = body.poll_next_unpin(context);
        match &polled {
            Poll::Pending => self.pace.wait(Instant::now()),
            Poll::Ready(Some(Ok(bytes))) if self.pace.went(bytes.len(), Instant::now()) => {}
            Poll::Ready(Some(Ok(_))) => {
                self.body = None;
                let slow = std::io::Error::from(std::io::ErrorKind::TimedOut);
                return Poll::Ready(Some(Err(axum::Error::new(slow))));
            }
            Poll::Ready(None | Some(Err(_))) => self.body = None,
        }
        polled
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let is_begun = self.is_begun;
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take()) {
            // Nobody waits any more: the request was cancelled.
            let _ = back.send(Rest { body, is_begun });
        }
    }
}
