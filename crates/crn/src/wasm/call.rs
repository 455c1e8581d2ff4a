//! One call of a component: request in, answer out, both in pieces.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::Either;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use wasmtime::{PoolConcurrencyLimitError, Store};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::Bounds;
use super::engine::one_line;
use super::factors::Services;
use super::flow::{End, Patience, Stop, Watch, flow};
use super::guest::Guest;
use super::log::Log;
use super::memory::Refused;
use crate::body::Body;
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
    Begun(Answer, Watch),
    /// It gave none, or stopped in its middle.
    Nothing,
}

/// How a guest ended.
enum Ended {
    /// It returned.
    Well,
    /// It failed. Its store is kept, for what it says ends with it.
    Badly(wasmtime::Error, Box<Store<Guest>>),
    /// It had all its processor time.
    Spent,
}

impl Work {
    /// Runs the guest and gives its answer to `sender` as soon as it begins, or
    /// whole if the guest makes it without a pause. The head comes before
    /// `deadline`; the guest then lives as long as somebody takes its body
    /// ([`flow`]), has computed for no more than its call may take, and for a
    /// moment longer.
    pub(super) async fn run(
        self,
        engine: &wasmtime::Engine,
        deadline: Instant,
        sender: oneshot::Sender<Result<Answer, Fault>>,
    ) {
        let (outcome_sender, outcome) = oneshot::channel();
        let mut store = Guest::store(engine, &self.services, &self.bounds, &self.log);
        let refused = store.data().memory_refused();
        let (bounds, log) = (self.bounds, self.log);
        let request = request(self.call);
        let linked = self.linked;
        let guest = async move {
            match handle(&mut store, &linked, request, outcome_sender).await {
                Ok(()) => Ended::Well,
                Err(error) => Ended::Badly(error, Box::new(store)),
            }
        };
        // What is stopped is dropped when this ends: its reader has heard of it then.
        let guest = pin!(guest);
        let mut guest = pin!(metered(guest, bounds.deadline));
        let begin = async {
            let mut first = pin!(first(outcome, bounds.patience));
            match futures::future::select(&mut guest, &mut first).await {
                Either::Left((ended, first)) => {
                    let (ended, said) = said(ended, first.as_mut()).await;
                    (Some(ended), said)
                }
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
            First::Begun(answer, watch) => {
                drop(sender.send(Ok(answer)));
                follow(rest, watch, bounds.deadline, &log).await;
            }
            First::Nothing => {
                let fault = match tokio::time::timeout(after, &mut rest).await {
                    Err(_) | Ok(Ended::Spent) => Fault::Timeout,
                    Ok(Ended::Well) => Fault::Raised {
                        traceback: "the program returned without an answer".into(),
                    },
                    Ok(Ended::Badly(error, _)) => fault(&error, &bounds, &refused),
                };
                drop(sender.send(Err(fault)));
            }
        }
    }
}

/// Instantiates the component and lets it handle the request.
async fn handle(
    store: &mut Store<Guest>,
    linked: &ProxyPre<Guest>,
    request: http::Request<impl http_body::Body<Data = Bytes, Error = ErrorCode> + Send + 'static>,
    outcome: oneshot::Sender<Outcome>,
) -> wasmtime::Result<()> {
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(Scheme::Http, request)?;
    let response_out = http.new_response_outparam(outcome)?;
    let instance = linked.instantiate_async(&mut *store).await?;
    instance
        .wasi_http_incoming_handler()
        .call_handle(store, request, response_out)
        .await
}

/// The guest, until it has computed for longer than `limit`. It gives way every
/// tick, so that it is stopped a tick later at most.
async fn metered(
    mut guest: Pin<&mut (impl Future<Output = Ended> + Send)>,
    limit: Duration,
) -> Ended {
    let mut spent = Duration::ZERO;
    std::future::poll_fn(|cx| {
        let begun = std::time::Instant::now();
        let polled = guest.as_mut().poll(cx);
        spent += begun.elapsed();
        match polled {
            Poll::Pending if spent >= limit => Poll::Ready(Ended::Spent),
            polled => polled,
        }
    })
    .await
}

/// What a guest that has ended said of its answer.
async fn said(
    ended: Ended,
    first: Pin<&mut (impl Future<Output = First> + Send)>,
) -> (Ended, First) {
    if let Ended::Well = ended {
        return (ended, first.await);
    }
    // It may have failed after its answer; what it has not ended never ends.
    let turns = pin!(async {
        for _ in 0..2 * QUIET_TURNS {
            tokio::task::yield_now().await;
        }
    });
    match futures::future::select(first, turns).await {
        Either::Left((First::Whole(answer), _)) => (ended, First::Whole(answer)),
        _ => (ended, First::Nothing),
    }
}

/// Lets the guest go on while its answer is taken.
async fn follow(
    mut rest: Pin<&mut (impl Future<Output = Ended> + Send)>,
    mut watch: Watch,
    limit: Duration,
    log: &Log,
) {
    let ended = match futures::future::select(&mut rest, pin!(watch.end())).await {
        Either::Left((ended, _)) => Either::Left(ended),
        Either::Right((end, _)) => Either::Right(end),
    };
    let stop = match ended {
        Either::Left(Ended::Well) | Either::Right(End::Gone) => return,
        Either::Left(Ended::Badly(error, store)) => {
            let why = format!("the program failed in its answer: {}", one_line(&error));
            log.line(&why);
            watch.fail(why).await;
            return drop(store);
        }
        Either::Left(Ended::Spent) => Stop::Spent(limit.as_secs()),
        Either::Right(End::Stop(stop)) => stop,
        Either::Right(End::Taken) => {
            let _ = tokio::time::timeout(limits::AFTER_ANSWER_DEADLINE, rest).await;
            return;
        }
    };
    log.line(&stop.to_string());
    watch.stop(&stop);
}

/// The head of the answer, and as much of its body as the guest makes without a
/// pause. It must be polled in the guest's own task.
async fn first(outcome: oneshot::Receiver<Outcome>, patience: Patience) -> First {
    let response = match outcome.await {
        Ok(Ok(response)) => response,
        Ok(Err(code)) => {
            return First::Whole(Err(Fault::Raised {
                traceback: format!("the program answered with the error {code:?}"),
            }));
        }
        Err(_) => return First::Nothing,
    };
    let (parts, mut pieces) = response.into_parts();
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().into(), value.as_bytes().into()));
    let mut answer = Answer {
        status: parts.status.as_u16(),
        headers: headers.collect(),
        body: Body::empty(),
    };
    let mut begun = Begun::default();
    let mut quiet = 0;
    while quiet < QUIET_TURNS && begun.size_bytes() <= limits::BODY_WHOLE_BYTES_MAX {
        match pieces.frame().now_or_never() {
            Some(Some(Ok(frame))) => {
                if let Ok(piece) = frame.into_data() {
                    begun.add(piece);
                }
                quiet = 0;
            }
            Some(Some(Err(_))) => return First::Nothing,
            Some(None) => {
                answer.body = begun.into_bytes().into();
                return First::Whole(Ok(answer));
            }
            None => {
                quiet += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    let (body, watch) = flow(begun.into_bytes(), pieces, patience);
    answer.body = body;
    First::Begun(answer, watch)
}

/// The first bytes of a body: one piece as it is, more of them as one.
#[derive(Default)]
struct Begun {
    first: Bytes,
    more: BytesMut,
}

impl Begun {
    fn add(&mut self, piece: Bytes) {
        if self.first.is_empty() {
            self.first = piece;
            return;
        }
        if self.more.is_empty() {
            self.more.extend_from_slice(&self.first);
        }
        self.more.extend_from_slice(&piece);
    }

    fn size_bytes(&self) -> u64 {
        self.first.len().max(self.more.len()) as u64
    }

    fn into_bytes(self) -> Bytes {
        match self.more.is_empty() {
            true => self.first,
            false => self.more.freeze(),
        }
    }
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
