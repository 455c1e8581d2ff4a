//! One connection: its requests, one after the other, and how it ends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::pin;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};
use tracing::debug;

use crate::limits;
use crate::server::{Bounds, Peer};
use crate::stream::{Phase, Watched};

/// Serves a connection until its client leaves or is cut; when cancelled, until
/// the request under way is answered.
pub(crate) async fn serve<S, B>(
    stream: Watched,
    address: SocketAddr,
    (service, bounds): (S, Bounds),
    cancel: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let phase = stream.phase();
    let answer = service_fn(move |mut request: Request<Incoming>| {
        phase.serve();
        request.extensions_mut().insert(Peer(address));
        let (phase, answered) = (phase.clone(), service.clone().oneshot(request));
        async move {
            let response = answered.await?;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                phase.upgrade();
            }
            Ok::<_, Infallible>(response.map(|inner| Answer { inner, phase }))
        }
    });
    let connection = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.idle_timeout)
        .max_buf_size(bounds.head_bytes_max.max(limits::HEAD_BYTES_MIN))
        .serve_connection(TokioIo::new(stream), answer)
        .with_upgrades();
    pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(failure) = ended {
        debug!(%failure, %address, "a connection was cut");
    }
}

/// Tells a client that there is no place for it.
pub(crate) async fn refuse(mut stream: TcpStream) {
    const BODY: &str =
        "this node has too many connections; close some of yours, or try again later";
    let text = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nRetry-After: {}\r\nConnection: close\r\n\r\n{BODY}",
        BODY.len(),
        limits::RETRY_AFTER_SECONDS,
    );
    let told = async {
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would take the answer back.
        let mut rest = vec![0; limits::REFUSED_BYTES_MAX];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    // A client that does not listen is not told.
    let _ = timeout(limits::REFUSAL_TIMEOUT, told).await;
}

/// The body of an answer, which says when it is written.
struct Answer<B> {
    inner: B,
    phase: Phase,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        self.phase.rest();
    }
}
