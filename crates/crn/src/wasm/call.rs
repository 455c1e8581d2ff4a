//! One call of a component: request in, answer out.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::Either;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full, Limited};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use wasmtime::PoolConcurrencyLimitError;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::Bounds;
use super::factors::Services;
use super::guest::Guest;
use super::log::Log;
use super::memory::Refused;
use crate::executor::{Answer, Call, Fault, clip};
use crate::limits;

/// All that a call needs.
pub(super) struct Work {
    pub(super) linked: ProxyPre<Guest>,
    pub(super) services: Arc<Services>,
    pub(super) bounds: Bounds,
    pub(super) log: Log,
    pub(super) places: Arc<Semaphore>,
    pub(super) call: Call,
}

type Outcome = Result<http::Response<HyperOutgoingBody>, ErrorCode>;

impl Work {
    /// Runs the guest and gives its answer to `sender` as soon as it is whole.
    /// The guest may go on for a moment, and until `deadline` at the latest.
    pub(super) async fn run(
        self,
        engine: &wasmtime::Engine,
        deadline: Instant,
        sender: oneshot::Sender<Result<Answer, Fault>>,
    ) {
        let (outcome_sender, outcome) = oneshot::channel();
        let refused: Arc<Refused>;
        let guest = {
            let mut store = Guest::store(engine, &self.services, &self.bounds, &self.log);
            refused = store.data().memory_refused();
            let request = request(self.call);
            let linked = self.linked;
            async move {
                let mut http = store.data_mut().http();
                let request = http.new_incoming_request(Scheme::Http, request)?;
                let response_out = http.new_response_outparam(outcome_sender)?;
                let instance = linked.instantiate_async(&mut store).await?;
                instance
                    .wasi_http_incoming_handler()
                    .call_handle(&mut store, request, response_out)
                    .await
            }
        };
        let mut sender = Some(sender);
        let collect = async {
            if let Some(answer) = collect(outcome).await
                && let Some(sender) = sender.take()
            {
                // The caller may have gone; the answer is then of no use.
                drop(sender.send(answer));
            }
        };
        let both = async {
            match futures::future::select(pin!(guest), pin!(collect)).await {
                Either::Left((ended, collect)) => {
                    collect.await;
                    Some(ended)
                }
                Either::Right(((), guest)) => {
                    let rest = tokio::time::timeout(limits::AFTER_ANSWER_DEADLINE, guest);
                    rest.await.ok()
                }
            }
        };
        let ended = tokio::time::timeout_at(deadline, both).await;
        let Some(sender) = sender else { return };
        let fault = match ended {
            Err(_) | Ok(None) => Fault::Timeout,
            Ok(Some(Ok(()))) => Fault::Raised {
                traceback: "the program returned without an answer".into(),
            },
            Ok(Some(Err(error))) => fault(&error, &self.bounds, &refused),
        };
        drop(sender.send(Err(fault)));
    }
}

/// The whole answer; `None` when the guest gave none, or stopped in its middle.
async fn collect(outcome: oneshot::Receiver<Outcome>) -> Option<Result<Answer, Fault>> {
    let response = match outcome.await.ok()? {
        Ok(response) => response,
        Err(code) => {
            return Some(Err(Fault::Raised {
                traceback: format!("the program answered with the error {code:?}"),
            }));
        }
    };
    let (parts, body) = response.into_parts();
    let body = match Limited::new(body, limits::ANSWER_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let traceback = format!(
                "the program's answer is larger than {} bytes",
                limits::ANSWER_BYTES_MAX
            );
            return Some(Err(Fault::Raised { traceback }));
        }
        Err(_) => return None,
    };
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().into(), value.as_bytes().into()));
    Some(Ok(Answer {
        status: parts.status.as_u16(),
        headers: headers.collect(),
        body,
    }))
}

/// What to tell the caller about a guest that failed.
fn fault(error: &wasmtime::Error, bounds: &Bounds, refused: &Refused) -> Fault {
    if error.is::<PoolConcurrencyLimitError>() {
        return Fault::NotHere("all places for Wasm calls are taken; try again".into());
    }
    if refused.by_the_node() {
        return Fault::NotHere(
            "the node's memory for Wasm calls is taken; try again, or ask the operator to raise wasm.memory_mib_total".into(),
        );
    }
    let mut traceback = format!("{error:?}");
    if refused.by_its_bound() {
        traceback = format!(
            "the program was refused memory beyond its {} MiB; ask for more in resources.memory\n{traceback}",
            bounds.memory_bytes >> 20
        );
    }
    Fault::Raised {
        traceback: clip(&traceback, limits::TRACEBACK_BYTES_MAX),
    }
}

fn request(call: Call) -> http::Request<Full<Bytes>> {
    let mut headers = HeaderMap::with_capacity(call.headers.len());
    for (name, value) in &call.headers {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    let host = headers
        .get(http::header::HOST)
        .and_then(|host| host.to_str().ok());
    let uri = uri(host, &call.path, &call.query);
    let mut request = http::Request::new(Full::new(call.body));
    *request.method_mut() =
        http::Method::from_bytes(call.method.as_bytes()).unwrap_or(http::Method::GET);
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}

/// The path is encoded again; a query that no URI can hold is left out.
fn uri(host: Option<&str>, path: &str, query: &str) -> http::Uri {
    let mut target = encode_path(path);
    if !query.is_empty() {
        target.push('?');
        target.push_str(query);
    }
    let build = |authority: &str, target: &str| {
        http::Uri::builder()
            .scheme("http")
            .authority(authority)
            .path_and_query(target)
            .build()
            .ok()
    };
    host.and_then(|host| build(host, &target))
        .or_else(|| build("localhost", &target))
        .or_else(|| build("localhost", &encode_path(path)))
        .unwrap_or_default()
}

fn encode_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z'
            | b'a'..=b'z'
            | b'0'..=b'9'
            | b'/'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b'!'
            | b'$'
            | b'&'
            | b'\''
            | b'('
            | b')'
            | b'*'
            | b'+'
            | b','
            | b';'
            | b'='
            | b':'
            | b'@' => encoded.push(byte as char),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        for (host, path, query, expected) in [
            (
                Some("a.example:80"),
                "/x y/é",
                "a=%26b&c=d+e",
                "http://a.example:80/x%20y/%C3%A9?a=%26b&c=d+e",
            ),
            (None, "/", "", "http://localhost/"),
            (Some("bad host"), "/?", "", "http://localhost/%3F"),
            (None, "/p", "bad query\u{7f}", "http://localhost/p"),
        ] {
            assert_eq!(uri(host, path, query).to_string(), expected);
        }
    }
}
