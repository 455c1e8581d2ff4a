//! Each request gets an id and is counted; what fails or is slow is logged.
//!
//! The id is that of the client or of a proxy if it is a sane one, else ours; it
//! stands in the answer's `x-request-id` and in every line of the log that
//! belongs to the request. Bodies of errors are fixed by core-api.md, so the
//! header is where a client finds it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context as Task, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::{Frame, SizeHint};
use prometheus::{IntCounter, IntGauge};
use tracing::{Instrument, debug, error, field, info, info_span};

use super::{Client, Route};
use crate::api::answer::ApiError;
use crate::context::Context;
use crate::limits::REQUEST_ID_BYTES_MAX;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SERVER: HeaderValue = HeaderValue::from_static(concat!("beth/", env!("CARGO_PKG_VERSION")));

/// Counts, names and logs a request; a handler that panics answers 500.
pub async fn observe(
    State(context): State<Arc<Context>>,
    mut request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let metrics = &context.metrics.http;
    let id = request_id(request.headers());
    let client = Client::of(&request, &context.limits.proxies);
    context.limits.doubt(&request);
    request.extensions_mut().insert(client);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = info_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        client = %client.address,
        %method,
        path,
        route = field::Empty,
        status = field::Empty,
    );
    let in_flight = Flight::begin(&metrics.in_flight);
    let request =
        request.map(|body| counted(body, &metrics.body_bytes.with_label_values(&["in"]), None));
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind();
    let mut response = match answered.instrument(span.clone()).await {
        Ok(response) => response,
        Err(panic) => {
            metrics.panics.inc();
            span.in_scope(|| {
                error!(
                    panic = text_of(&*panic),
                    "a handler panicked; please report it"
                )
            });
            ApiError::internal().into_response()
        }
    };
    let route = response.extensions().get::<Route>().cloned();
    let status = response.status();
    let route = match &route {
        Some(route) => route.0.as_str(),
        // Refused before it was looked at.
        None if status == StatusCode::TOO_MANY_REQUESTS => "limited",
        None => "unknown",
    };
    span.record("route", route)
        .record("status", status.as_u16());
    let took = begun.elapsed();
    metrics
        .requests
        .with_label_values(&[route, method_name(&method), class_of(status)])
        .inc();
    metrics
        .seconds
        .with_label_values(&[route])
        .observe(took.as_secs_f64());
    let slow = Duration::from_millis(context.config.http.slow_request_milliseconds);
    span.in_scope(|| log(&response, took, took >= slow));
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(header::SERVER, SERVER);
    let bytes = metrics.body_bytes.with_label_values(&["out"]);
    response.map(|body| counted(body, &bytes, Some(in_flight)))
}

/// One line: our failures as errors, what is slow as news, the rest for those
/// who look closely.
fn log(response: &Response, took: Duration, is_slow: bool) {
    let status = response.status();
    let milliseconds = took.as_secs_f64() * 1e3;
    let bytes = response.body().size_hint().exact();
    // Busy is no fault of ours: the metrics tell how often.
    let is_fault = status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE;
    if is_fault {
        error!(milliseconds, bytes, "a request failed");
    } else if is_slow && status != StatusCode::SWITCHING_PROTOCOLS {
        info!(milliseconds, bytes, "a request was slow");
    } else {
        debug!(milliseconds, bytes, "answered");
    }
}

/// The client's own id, if it is short and plain.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_sane = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/=+".contains(byte);
        (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(plain)
    };
    headers
        .get(REQUEST_ID)
        .filter(is_sane)
        .cloned()
        .unwrap_or_else(new_id)
}

/// An id that no other process is likely to give.
fn new_id() -> HeaderValue {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let text = format!("{:010x}{:08x}", *PROCESS >> 24, count);
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("0"))
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("?")
}

/// Methods that somebody made up must not make up series.
fn method_name(method: &Method) -> &str {
    const KNOWN: [Method; 7] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::OPTIONS,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
    ];
    if KNOWN.contains(method) {
        method.as_str()
    } else {
        "other"
    }
}

fn class_of(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// A request under way, until its answer is written.
struct Flight(IntGauge);

impl Flight {
    fn begin(gauge: &IntGauge) -> Flight {
        gauge.inc();
        Flight(gauge.clone())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts the bytes of a body as they pass.
fn counted(inner: Body, bytes: &IntCounter, flight: Option<Flight>) -> Body {
    if inner.is_end_stream() {
        return inner;
    }
    Body::new(Counted {
        inner,
        bytes: bytes.clone(),
        _flight: flight,
    })
}

struct Counted {
    inner: Body,
    bytes: IntCounter,
    _flight: Option<Flight>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.bytes.inc_by(data.len() as u64);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_clients_if_it_is_sane() {
        let given = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_static(text));
            request_id(&headers) == text
        };
        assert!(given("0f8fad5b-d9cb-469f-a165-70867728950e"));
        for strange in ["", "a b", "a\tb", "{\"a\":1}"] {
            assert!(!given(strange), "{strange:?}");
        }
        assert_ne!(new_id(), new_id());
    }
}
