//! One call of a component: request in, answer out, both in pieces.

use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::future::Either;
use futures::{FutureExt, StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
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
use crate::body::{Body, BodyFault};
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

/// How often a guest may give way without a piece before what it said so far
/// is passed on.
const QUIET_TURNS: u32 = 3;

/// What comes of a guest's answer first.
enum First {
    /// All of it.
    Whole(Result<Answer, Fault>),
    /// A head, perhaps some of the body; the rest when the guest has made it.
    Begun(Answer, oneshot::Receiver<()>),
    /// It gave none, or stopped in its middle.
    Nothing,
}

impl Work {
    /// Runs the guest and gives its answer to `sender` as soon as it begins, or
    /// whole if the guest makes it without a pause. The head comes before
    /// `deadline`; the guest lives as long as somebody takes its body, and a
    /// moment longer.
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
        let mut guest = pin!(guest);
        let begin = async {
            match futures::future::select(&mut guest, pin!(first(outcome))).await {
                Either::Left((ended, first)) => (Some(ended), first.await),
                Either::Right((first, _)) => (None, first),
            }
        };
        // The caller may have gone; the answer is then of no use.
        let Ok((ended, first)) = tokio::time::timeout_at(deadline, begin).await else {
            return drop(sender.send(Err(Fault::Timeout)));
        };
        let mut rest = pin!(async {
            match ended {
                Some(ended) => ended,
                None => guest.await,
            }
        });
        let after = limits::AFTER_ANSWER_DEADLINE;
        match first {
            First::Whole(answer) => {
                drop(sender.send(answer));
                let _ = tokio::time::timeout(after, rest).await;
            }
            First::Begun(answer, done) => {
                drop(sender.send(Ok(answer)));
                if let Either::Right(_) = futures::future::select(&mut rest, done).await {
                    let _ = tokio::time::timeout(after, rest).await;
                }
            }
            First::Nothing => {
                let fault = match tokio::time::timeout(after, rest).await {
                    Err(_) => Fault::Timeout,
                    Ok(Ok(())) => Fault::Raised {
                        traceback: "the program returned without an answer".into(),
                    },
                    Ok(Err(error)) => fault(&error, &self.bounds, &refused),
                };
                drop(sender.send(Err(fault)));
            }
        }
    }
}

/// The head of the answer, and as much of its body as the guest makes without a
/// pause. It must be polled in the guest's own task.
async fn first(outcome: oneshot::Receiver<Outcome>) -> First {
    let response = match outcome.await {
        Ok(Ok(response)) => response,
        Ok(Err(code)) => {
            return First::Whole(Err(Fault::Raised {
                traceback: format!("the program answered with the error {code:?}"),
            }));
        }
        Err(_) => return First::Nothing,
    };
    let (parts, body) = response.into_parts();
    let broken = |error: wasmtime_wasi_http::Error| BodyFault::Broken(format!("{error:?}"));
    let mut pieces = body.into_data_stream().map_err(broken);
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().into(), value.as_bytes().into()));
    let mut answer = Answer {
        status: parts.status.as_u16(),
        headers: headers.collect(),
        body: Body::empty(),
    };
    let mut begun = BytesMut::new();
    let mut quiet = 0;
    while quiet < QUIET_TURNS && begun.len() as u64 <= limits::BODY_WHOLE_BYTES_MAX {
        match pieces.next().now_or_never() {
            Some(Some(Ok(piece))) => {
                begun.extend_from_slice(&piece);
                quiet = 0;
            }
            Some(Some(Err(_))) => return First::Nothing,
            Some(None) => {
                answer.body = begun.freeze().into();
                return First::Whole(Ok(answer));
            }
            None => {
                quiet += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    let begun = (!begun.is_empty()).then(|| Ok(begun.freeze()));
    let (guard, done) = oneshot::channel::<()>();
    answer.body = Body::stream(futures::stream::iter(begun).chain(pieces), None);
    answer.body.hold(guard);
    First::Begun(answer, done)
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

fn request(call: Call) -> http::Request<impl http_body::Body<Data = Bytes, Error = ErrorCode>> {
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
    let body = BodyExt::map_err(call.body, |fault| {
        ErrorCode::InternalError(Some(fault.to_string()))
    });
    let mut request = http::Request::new(body);
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
