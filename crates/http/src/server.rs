//! The loop that accepts, and its end.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::{error, warn};

use crate::networks::Networks;
use crate::pace::Least;
use crate::places::Places;
use crate::stats::{Stats, count};
use crate::stream::Watched;
use crate::{connection, limits};

/// What a server allows its clients.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Between the first byte of a request and the end of its head.
    pub head_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// While a client takes nothing of its answer.
    pub write_timeout: Duration,
    /// What a client takes of its answer while it is waited for.
    pub least: Least,
    /// For requests under way when serving ends.
    pub drain_timeout: Duration,
    /// Request line and headers, in bytes; at least 8 KiB.
    pub head_bytes_max: usize,
    /// Connections open at once.
    pub connections_max: usize,
    /// Connections of one client open at once. Clients on this machine and
    /// trusted proxies count in the whole alone.
    pub client_connections_max: usize,
    /// Proxies that speak for many clients.
    pub trusted_proxies: Networks,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            head_timeout: limits::HEAD_TIMEOUT,
            idle_timeout: limits::IDLE_TIMEOUT,
            write_timeout: limits::WRITE_TIMEOUT,
            least: Least::default(),
            drain_timeout: limits::DRAIN_TIMEOUT,
            head_bytes_max: limits::HEAD_BYTES_MAX,
            connections_max: limits::CONNECTIONS_MAX,
            client_connections_max: limits::CLIENT_CONNECTIONS_MAX,
            trusted_proxies: Networks::default(),
        }
    }
}

/// The other end of the connection that a request came by; an extension of every
/// request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Serves a service on a listener.
pub struct Server<S> {
    /// Where clients connect.
    pub listener: TcpListener,
    /// What answers them.
    pub service: S,
    /// What they are allowed.
    pub bounds: Bounds,
    /// What happened to them.
    pub stats: Arc<Stats>,
}

impl<S, B> Server<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Serves until cancelled; then requests under way are answered, and cut
    /// after a while. Nothing that a client or the system does ends it earlier.
    pub async fn run(self, cancel: CancellationToken) {
        let places = Places::new(
            self.bounds.connections_max,
            self.bounds.client_connections_max,
            self.stats.clone(),
        );
        let refusals = Arc::new(Semaphore::new(limits::REFUSALS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = cancel.cancelled() => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    if ended.is_err_and(|error| error.is_panic()) {
                        error!("a connection ended by a panic");
                    }
                    continue;
                }
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    count(&self.stats.accepted);
                    let client = self.counted(address.ip());
                    match places.take(client) {
                        Some(place) => {
                            let stream = self.watched(stream, place);
                            let answers = (self.service.clone(), self.bounds.clone());
                            connections.spawn(connection::serve(
                                stream,
                                address,
                                answers,
                                cancel.clone(),
                            ));
                        }
                        None => self.refuse(stream, &refusals, &mut connections),
                    }
                }
                Err(failure) => self.pause(&failure).await,
            }
        }
        drop(self.listener);
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(self.bounds.drain_timeout, drained).await.is_err() {
            warn!(
                connections = connections.len(),
                "requests that did not end were cut"
            );
        }
        connections.shutdown().await;
    }

    fn watched(&self, stream: TcpStream, place: crate::places::Place) -> Watched {
        // Small answers leave at once; a socket that refuses is only slower.
        let _ = stream.set_nodelay(true);
        let timeouts = [self.bounds.head_timeout, self.bounds.write_timeout];
        let limits = (timeouts, self.bounds.least);
        Watched::new(stream, place, self.stats.clone(), limits)
    }

    fn refuse(&self, stream: TcpStream, refusals: &Arc<Semaphore>, connections: &mut JoinSet<()>) {
        if let Ok(permit) = refusals.clone().try_acquire_owned() {
            connections.spawn(async move {
                connection::refuse(stream).await;
                drop(permit);
            });
        }
    }

    /// Whose connections are counted apart.
    fn counted(&self, client: IpAddr) -> Option<IpAddr> {
        let client = client.to_canonical();
        let is_free = client.is_loopback() || self.bounds.trusted_proxies.contains(client);
        (!is_free).then_some(client)
    }

    /// A client that left before it was accepted is no matter; a system without
    /// free descriptors needs some time.
    async fn pause(&self, failure: &std::io::Error) {
        use std::io::ErrorKind::{
            ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted,
        };
        if matches!(
            failure.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
        ) {
            return;
        }
        count(&self.stats.accept_failures);
        error!(%failure, "a connection could not be accepted; raise the limit of open files (ulimit -n) if this repeats");
        sleep(limits::ACCEPT_PAUSE).await;
    }
}
