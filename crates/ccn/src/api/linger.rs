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

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures::{Stream, StreamExt};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::limits::{LINGER_BYTES_MAX, LINGER_TIMEOUT};

/// Reads the rest of a refused body before it answers.
pub async fn linger(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let (back, mut rest) = oneshot::channel();
    let lent = Lent {
        body: Some(body.into_data_stream()),
        back: Some(back),
    };
    let request = Request::from_parts(head, Body::from_stream(lent));
    let response = next.run(request).await;
    let refused = response.status().is_client_error() || response.status().is_server_error();
    if refused && let Ok(rest) = rest.try_recv() {
        // Too slow or too long: the connection breaks, as it would have.
        let _ = timeout(LINGER_TIMEOUT, discard(rest)).await;
    }
    response
}

async fn discard(mut body: BodyDataStream) {
    let mut left = LINGER_BYTES_MAX;
    while let Some(Ok(chunk)) = body.next().await {
        match left.checked_sub(chunk.len()) {
            Some(less) => left = less,
            None => return,
        }
    }
}

/// A body that comes back when its reader has had enough.
struct Lent {
    body: Option<BodyDataStream>,
    back: Option<oneshot::Sender<BodyDataStream>>,
}

impl Stream for Lent {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = body.poll_next_unpin(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take()) {
            // Nobody waits any more: the request was cancelled.
            let _ = back.send(body);
        }
    }
}
