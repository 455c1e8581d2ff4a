//! `wasi:http/outgoing-handler`: requests to public addresses.
//!
//! ```text
//! guest ─▶ internet granted? ─▶ literal address public? ─▶ name ─▶ every address it
//!     resolves to public? ─▶ connect to exactly those ─▶ answer, redirects as they are
//! ```
//!
//! The check is in the resolver that the client connects by, so that a name
//! cannot mean one address to the check and another to the connection.

pub(in crate::wasm) mod address;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use http_body_util::{BodyExt, BodyStream};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::{Rights, Services};
use crate::executor::Fault;
use crate::limits;
use crate::wasm::log::Log;

/// The node's client for programs.
#[derive(Debug)]
pub(in crate::wasm) struct Outgoing {
    client: reqwest::Client,
    places: Arc<Semaphore>,
    /// Addresses that are allowed although they are not public.
    allowed: Vec<SocketAddr>,
}

impl Outgoing {
    pub(in crate::wasm) fn new(allowed: Vec<SocketAddr>) -> Result<Outgoing, Fault> {
        crate::core_node::install_tls();
        let client = reqwest::Client::builder()
            .connect_timeout(limits::CONNECT_DEADLINE)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .pool_max_idle_per_host(limits::WASM_IDLE_CONNECTIONS_MAX)
            .dns_resolver(Arc::new(PublicNames))
            .build();
        Ok(Outgoing {
            client: client.map_err(|error| {
                Fault::NotHere(format!("no HTTP client for Wasm programs: {error}"))
            })?,
            places: Arc::new(Semaphore::new(limits::WASM_REQUESTS_MAX)),
            allowed,
        })
    }

    /// Refuses a URL whose host is an address that is not public. Names are
    /// looked at when they are resolved.
    fn check(&self, url: &reqwest::Url) -> Result<(), Error> {
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let Ok(ip) = literal.parse::<IpAddr>() else {
            return Ok(());
        };
        let port = url.port_or_known_default().unwrap_or_default();
        if self.allowed.contains(&SocketAddr::new(ip, port)) || address::is_public(ip) {
            return Ok(());
        }
        Err(Error::DestinationIpProhibited)
    }
}

/// Resolves names to public addresses only.
struct PublicNames;

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = found.collect();
            if !addresses.iter().all(|found| address::is_public(found.ip())) {
                return Err(Box::new(Prohibited) as Box<dyn std::error::Error + Send + Sync>);
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// A name of something that programs may not reach.
#[derive(Debug, thiserror::Error)]
#[error("the name has an address that is not public")]
struct Prohibited;

/// The requests of one call.
pub(in crate::wasm) struct Requests {
    services: Arc<Services>,
    rights: Arc<Rights>,
    log: Log,
    places: Option<Arc<Semaphore>>,
}

impl Requests {
    pub(in crate::wasm) fn new(services: Arc<Services>, rights: Arc<Rights>, log: Log) -> Requests {
        Requests {
            services,
            rights,
            log,
            places: None,
        }
    }

    /// A place of this call and one of the node, without waiting: a guest that
    /// holds all of its answers unread would wait for itself.
    fn place(&mut self) -> Result<[OwnedSemaphorePermit; 2], Error> {
        let own = self
            .places
            .get_or_insert_with(|| Arc::new(Semaphore::new(limits::WASM_CALL_REQUESTS_MAX)));
        let own = own.clone().try_acquire_owned();
        let node = self.services.outgoing.places.clone().try_acquire_owned();
        match (own, node) {
            (Ok(own), Ok(node)) => Ok([own, node]),
            _ => Err(Error::ConnectionLimitReached),
        }
    }

    fn admit(
        &mut self,
        uri: &http::Uri,
    ) -> Result<(reqwest::Url, [OwnedSemaphorePermit; 2]), Error> {
        if !self.rights.internet {
            return Err(Error::HttpRequestDenied);
        }
        let url: reqwest::Url = uri
            .to_string()
            .parse()
            .map_err(|_| Error::HttpRequestUriInvalid)?;
        self.services.outgoing.check(&url)?;
        Ok((url, self.place()?))
    }
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answered = Result<(http::Response<WasiBody>, Io), Error>;

impl WasiHttpHooks for Requests {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        limits::WASM_PIECE_BYTES_MAX
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Io,
    ) -> Box<dyn Future<Output = Answered> + Send> {
        let uri = request.uri().clone();
        let (url, places) = match self.admit(&uri) {
            Ok(admitted) => admitted,
            Err(error) => {
                let advice = advice(&error);
                self.log.line(&format!(
                    "outgoing request to {uri} refused: {error}{advice}"
                ));
                return Box::new(std::future::ready(Err(error)));
            }
        };
        let (client, log) = (self.services.outgoing.client.clone(), self.log.clone());
        Box::new(async move {
            let sent = send(client, url, request, options, places).await;
            if let Err(error) = &sent {
                let advice = advice(error);
                log.line(&format!(
                    "outgoing request to {uri} failed: {error}{advice}"
                ));
            }
            sent
        })
    }
}

fn advice(error: &Error) -> &'static str {
    match error {
        Error::HttpRequestDenied => "; set environment.internet in the message",
        Error::DestinationIpProhibited => "; programs reach public addresses only",
        Error::ConnectionLimitReached => "; read the answers to earlier requests first",
        _ => "",
    }
}

async fn send(
    client: reqwest::Client,
    url: reqwest::Url,
    request: http::Request<WasiBody>,
    options: Option<RequestOptions>,
    places: [OwnedSemaphorePermit; 2],
) -> Answered {
    let options = options.unwrap_or_default();
    let (mut parts, body) = request.into_parts();
    // The client names the host itself, after the URL that was checked.
    parts.headers.remove(http::header::HOST);
    let chunks = BodyStream::new(body).filter_map(|frame| {
        let chunk = frame.map(|frame| frame.into_data().ok()).transpose();
        std::future::ready(chunk.map(|chunk| chunk.map_err(|error| error.to_string())))
    });
    let has_body = parts.headers.contains_key(http::header::CONTENT_LENGTH)
        || !matches!(parts.method, http::Method::GET | http::Method::HEAD);
    let mut builder = client.request(parts.method, url).headers(parts.headers);
    if has_body {
        builder = builder.body(reqwest::Body::wrap_stream(chunks));
    }
    let first_byte = bounded(options.first_byte_timeout);
    let response = tokio::time::timeout(first_byte, builder.send()).await;
    let response = response.map_err(|_| Error::HttpResponseTimeout)?;
    let response: http::Response<reqwest::Body> = response.map_err(|error| fault(&error))?.into();
    let body = response.map(|body| {
        let body = body.map_err(|error| fault(&error)).map_frame(move |frame| {
            // The places are taken until the answer is read or dropped.
            let _held = &places;
            frame
        });
        body.boxed_unsync()
    });
    Ok((body, Box::new(std::future::ready(Ok(())))))
}

fn bounded(asked: Option<Duration>) -> Duration {
    asked.map_or(limits::WASM_FIRST_BYTE_DEADLINE, |asked| {
        asked.min(limits::WASM_FIRST_BYTE_DEADLINE)
    })
}

/// What the guest is told about a request that failed.
fn fault(error: &reqwest::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    let mut refused = false;
    while let Some(deeper) = cause {
        if deeper.is::<Prohibited>() {
            return Error::DestinationIpProhibited;
        }
        let io = deeper.downcast_ref::<std::io::Error>();
        refused |= io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused);
        cause = deeper.source();
    }
    match (error.is_timeout(), error.is_connect()) {
        (true, true) => Error::ConnectionTimeout,
        (true, false) => Error::ConnectionReadTimeout,
        (false, true) if refused => Error::ConnectionRefused,
        (false, true) => Error::DestinationUnavailable,
        (false, false) if error.is_body() => Error::HttpResponseIncomplete,
        (false, false) => Error::HttpProtocolError,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn sent(outgoing: &Outgoing, url: &str) -> Answered {
        let url: reqwest::Url = url.parse().unwrap();
        outgoing.check(&url)?;
        let body = http_body_util::Empty::new().map_err(|never| match never {});
        let request = http::Request::new(body.boxed_unsync());
        let place = || outgoing.places.clone().try_acquire_owned().unwrap();
        let places = [place(), place()];
        send(outgoing.client.clone(), url, request, None, places).await
    }

    #[tokio::test]
    async fn names_and_numbers_of_this_computer_are_refused() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let outgoing = Outgoing::new(Vec::new()).unwrap();
        for host in [
            "localhost",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "[::1]",
            "[::ffff:7f00:1]",
            "0",
            "169.254.169.254",
        ] {
            let answer = sent(&outgoing, &format!("http://{host}:{port}/")).await;
            assert!(
                matches!(answer, Err(Error::DestinationIpProhibited)),
                "{host}: {:?}",
                answer.map(drop)
            );
        }
        assert_eq!(
            outgoing.places.available_permits(),
            limits::WASM_REQUESTS_MAX
        );
    }

    #[tokio::test]
    async fn an_allowed_address_is_one_port() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let outgoing = Outgoing::new(vec![address]).unwrap();
        let answer = sent(&outgoing, &format!("http://{address}/")).await;
        assert!(
            matches!(answer, Err(Error::ConnectionRefused)),
            "{:?}",
            answer.map(drop)
        );
        let other = address.port() ^ 1;
        let answer = sent(&outgoing, &format!("http://127.0.0.1:{other}/")).await;
        assert!(matches!(answer, Err(Error::DestinationIpProhibited)));
    }
}
