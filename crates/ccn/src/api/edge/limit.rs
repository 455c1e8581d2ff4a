//! How often a client may ask: reads, submissions and bytes of uploads, each
//! from a bucket of their own; and how many messages of a sender are taken.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use beth_http::{Networks, group_of};
use beth_store::rows::Outcome;
use futures::StreamExt;
use http::{Method, StatusCode};
use serde_json::Value;
use tracing::warn;

use super::Client;
use crate::api::answer::ApiError;
use crate::config::http::RateConfig;
use crate::context::Context;
use crate::limits::ADDRESS_BYTES_MAX;
use crate::rate::Buckets;

/// The buckets of a node.
pub struct Limits {
    /// Who may say who his client is.
    pub proxies: Networks,
    loopback: bool,
    doubted: AtomicBool,
    reads: Buckets<IpAddr>,
    submissions: Buckets<IpAddr>,
    upload_bytes: Buckets<IpAddr>,
    senders: Buckets<String>,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Submission,
    Upload,
}

impl Limits {
    /// As configured.
    pub fn new(rate: &RateConfig, proxies: Networks) -> Limits {
        Limits {
            proxies,
            loopback: rate.loopback,
            doubted: AtomicBool::new(false),
            reads: Buckets::new(rate.reads_per_second, rate.reads_burst),
            submissions: Buckets::new(rate.submissions_per_second, rate.submissions_burst),
            upload_bytes: Buckets::new(rate.upload_bytes_per_second, rate.upload_bytes_burst),
            senders: Buckets::new(rate.sender_messages_per_second, rate.sender_messages_burst),
        }
    }

    /// Warns, once, of a proxy that is not named.
    pub fn doubt(&self, request: &Request) {
        if let Some(peer) = Client::unnamed_proxy(request, &self.proxies)
            && !self.doubted.swap(true, Ordering::Relaxed)
        {
            warn!(
                %peer,
                "a request with X-Forwarded-For came from a near address that is no trusted proxy: its clients \
                 count as one, or as this computer, which has no limits; if it is your proxy, add its address to \
                 [ccn.http] trusted_proxies"
            );
        }
    }

    fn is_free(&self, client: Client) -> bool {
        client.is_local && !self.loopback
    }

    fn spend(&self, client: Client, kind: Kind) -> Result<(), Duration> {
        let (key, now) = (group_of(client.address), Instant::now());
        match kind {
            Kind::Read => self.reads.spend(key, 1.0, now),
            Kind::Submission => self.submissions.spend(key, 1.0, now),
            // Its bytes are charged as they pass.
            Kind::Upload => {
                self.upload_bytes.spend(key, 0.0, now)?;
                self.submissions.spend(key, 1.0, now)
            }
        }
    }
}

/// Lets a request in, or answers 429.
pub async fn limit(State(context): State<Arc<Context>>, request: Request, next: Next) -> Response {
    let client = request.extensions().get::<Client>().copied();
    let Some(client) = client.filter(|client| !context.limits.is_free(*client)) else {
        return next.run(request).await;
    };
    let Some(kind) = kind_of(request.method(), request.uri().path()) else {
        return next.run(request).await;
    };
    match context.limits.spend(client, kind) {
        Err(wait) => {
            let counter = &context.metrics.http.rate_limited;
            counter.with_label_values(&[kind.as_str()]).inc();
            too_often(kind.as_str(), wait).into_response()
        }
        Ok(()) if kind == Kind::Upload => next.run(charged(request, client, context)).await,
        Ok(()) => next.run(request).await,
    }
}

/// The sender of a message that is let in.
pub struct Sender<'a> {
    limits: &'a Limits,
    address: Option<String>,
}

impl<'a> Sender<'a> {
    /// Whether the sender that a message names may submit another one. Asking
    /// costs nothing: whoever names a sender is not thereby he.
    pub fn admit(
        context: &'a Context,
        client: Client,
        message: &Value,
    ) -> Result<Sender<'a>, ApiError> {
        let limits = &context.limits;
        let address = message["sender"]
            .as_str()
            .filter(|_| !limits.is_free(client));
        let address = address.filter(|address| address.len() <= ADDRESS_BYTES_MAX);
        if let Some(address) = address
            && let Err(wait) = limits
                .senders
                .spend(address.to_owned(), 0.0, Instant::now())
        {
            let counter = &context.metrics.http.rate_limited;
            counter.with_label_values(&["senders"]).inc();
            return Err(too_often("messages of this sender", wait));
        }
        Ok(Sender {
            limits,
            address: address.map(str::to_owned),
        })
    }

    /// A message was judged. One that is refused was perhaps not sent by the
    /// one it names, and one that was known costs nothing.
    pub fn charge(self, outcome: &Outcome) {
        if let (Some(address), Outcome::Processed | Outcome::Pending(_)) = (self.address, outcome) {
            self.limits.senders.charge(address, 1.0, Instant::now());
        }
    }
}

/// 429, and when to come back.
fn too_often(what: &str, wait: Duration) -> ApiError {
    let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
    let text = format!(
        "too many {what}: wait {seconds} s and ask again, use another node, or run your own"
    );
    ApiError::text(StatusCode::TOO_MANY_REQUESTS, text).after(seconds)
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Read => "reads",
            Kind::Submission => "submissions",
            Kind::Upload => "uploads",
        }
    }
}

/// What a request asks for; checks of whether this node lives are free.
fn kind_of(method: &Method, path: &str) -> Option<Kind> {
    let is_upload = || {
        let name = path.rsplit('/').next().unwrap_or_default();
        matches!(name, "add_file" | "add_json" | "add_car")
    };
    match (method, path) {
        (&Method::OPTIONS, _) | (_, "/health" | "/ready") => None,
        (&Method::POST, _) if is_upload() => Some(Kind::Upload),
        // Estimates only read.
        (&Method::POST, path) if path.starts_with("/api/v0/price/") => Some(Kind::Read),
        (&Method::POST, _) => Some(Kind::Submission),
        _ => Some(Kind::Read),
    }
}

/// The bytes of an upload are charged as they come.
fn charged(request: Request, client: Client, context: Arc<Context>) -> Request {
    let key = group_of(client.address);
    request.map(|body| {
        let charge = move |piece: &Result<Bytes, axum::Error>| {
            if let Ok(bytes) = piece {
                let buckets = &context.limits.upload_bytes;
                buckets.charge(key, bytes.len() as f64, Instant::now());
            }
        };
        Body::from_stream(body.into_data_stream().inspect(charge))
    })
}
