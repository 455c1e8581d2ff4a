//! Is this node alive, is it ready? For whoever restarts it or sends clients to
//! it.
//!
//! ```text
//!  /health   the process answers                                      200
//!  /ready    state reads? writer commits? queues move?                200, or 503
//!            somebody to gossip with? room on the disk?               and which is not
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use tokio::time::timeout;
use utoipa_axum::routes;

use super::answer::{Json, ok};
use super::openapi::{Routes, node as schemas};
use crate::context::Context;
use crate::limits::{CHECK_AGE_MAX, CHECK_TIMEOUT, INTAKE_QUEUE, WRITER_QUEUE};
use crate::metrics::sample::disk_free_bytes;

/// `/health` and `/ready`.
pub fn routes() -> Routes {
    Routes::new().with(routes!(health)).with(routes!(ready))
}

/// Whether the process answers.
#[utoipa::path(get, path = "/health", operation_id = "showHealth", tag = "node",
    responses((status = 200, description = "It does.", body = schemas::Health)))]
async fn health(State(context): State<Arc<Context>>) -> Response {
    let uptime = context.metrics.started.elapsed().as_secs();
    ok(json!({"status": "alive", "uptime_seconds": uptime})).into_response()
}

/// What was found last.
#[derive(Default)]
pub struct Checks(Mutex<Option<(Instant, StatusCode, Value)>>);

/// Whether this node can serve clients, and what is in its way.
///
/// Looked at once a second at most.
#[utoipa::path(get, path = "/ready", operation_id = "showReadiness", tag = "node",
    responses((status = 200, description = "It can.", body = schemas::Readiness),
        (status = 503, description = "It cannot.", body = schemas::Readiness)))]
async fn ready(State(context): State<Arc<Context>>) -> Response {
    let mut last = context.checks.0.lock().await;
    if let Some((at, status, answer)) = &*last
        && at.elapsed() < CHECK_AGE_MAX
    {
        return Json(*status, answer.clone()).into_response();
    }
    let (status, answer) = check(&context).await;
    *last = Some((Instant::now(), status, answer.clone()));
    Json(status, answer).into_response()
}

/// One thing that was looked at: a sentence, good or bad.
type Check = Result<String, String>;

async fn check(context: &Context) -> (StatusCode, Value) {
    let (database, writer, gossip) =
        tokio::join!(database(context), writer(context), gossip(context));
    let checks = [
        ("database", database),
        ("writer", writer),
        ("queues", queues(context)),
        ("gossip", gossip),
        ("disk", disk(context)),
    ];
    let is_ready = checks.iter().all(|(_, check)| check.is_ok());
    let (status, word) = match is_ready {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    let shown = checks.into_iter().map(|(name, check)| {
        let is_good = check.is_ok();
        let (Ok(text) | Err(text)) = check;
        (name.to_owned(), json!({"ok": is_good, "text": text}))
    });
    let shown: Map<String, Value> = shown.collect();
    (status, json!({"status": word, "checks": shown}))
}

async fn database(context: &Context) -> Check {
    match timeout(CHECK_TIMEOUT, context.read(|state| state.is_readable())).await {
        Ok(Ok(())) => Ok("answers".into()),
        Ok(Err(failure)) => Err(format!("{failure}; see the log")),
        Err(_) => Err(slow("the database does not answer")),
    }
}

async fn writer(context: &Context) -> Check {
    match timeout(CHECK_TIMEOUT, context.pipeline.work(|_| Ok(()))).await {
        Ok(Ok(())) => Ok("commits".into()),
        Ok(Err(_)) => Err("the writer does not commit; see the log, and restart the node".into()),
        Err(_) => Err(slow("the writer does not commit")),
    }
}

/// A full queue is good as long as something is committed.
fn queues(context: &Context) -> Check {
    let queues = context.pipeline.queues();
    let text = format!(
        "{} messages wait for a verifier, {} for the writer",
        queues.intake, queues.writer
    );
    let is_full = queues.intake >= INTAKE_QUEUE || queues.writer >= WRITER_QUEUE;
    let last = Duration::from_millis(context.metrics.last_commit.load(Ordering::Relaxed));
    let silence = context.metrics.started.elapsed().saturating_sub(last);
    match is_full && silence > 2 * CHECK_TIMEOUT {
        true => Err(format!(
            "{text}, and nothing was committed for {} s",
            silence.as_secs()
        )),
        false => Ok(text),
    }
}

async fn gossip(context: &Context) -> Check {
    let peers = context.network.connected_peers().await.len();
    match (peers, context.config.p2p.bootstrap.len()) {
        (0, 0) => Ok("alone, as configured".into()),
        (0, _) => Err("no peer is connected; check `[ccn.p2p] bootstrap` and the network".into()),
        (peers, _) => Ok(format!("{peers} peers")),
    }
}

fn disk(context: &Context) -> Check {
    let least = context.config.http.disk_free_bytes_min;
    match disk_free_bytes(&context.config.folder) {
        None => Err("the disk of the node's folder cannot be asked for its free room".into()),
        Some(bytes) if bytes < least => Err(format!(
            "{bytes} bytes are free, {least} are wanted; make room, or lower `[ccn.http] disk_free_bytes_min`"
        )),
        Some(bytes) => Ok(format!("{bytes} bytes are free")),
    }
}

fn slow(what: &str) -> String {
    format!("{what} within {} s", CHECK_TIMEOUT.as_secs())
}
