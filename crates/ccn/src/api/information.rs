//! What the node is (core-api.md §10.1–§10.4, §10.6).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa_axum::routes;

use super::answer::{ApiError, Json, ok};
use super::openapi::{Routes, node as schemas, params as described};
use super::params::Params;
use crate::context::Context;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Version, addresses, metrics, channels.
pub fn routes() -> Routes {
    Routes::new()
        .with(routes!(version))
        .also("/version", routes!(version))
        .with(routes!(info))
        .with(routes!(metrics_text))
        .with(routes!(metrics_json))
        .with(routes!(digest))
        .with(routes!(channels))
        .with(routes!(triggers))
}

/// What runs here.
#[utoipa::path(get, path = "/api/v0/version", operation_id = "showVersion", tag = "node",
    responses((status = 200, description = "Version and name.", body = schemas::Version)))]
async fn version() -> Response {
    ok(json!({"version": VERSION, "name": "beth"})).into_response()
}

/// Where other nodes reach this one.
#[utoipa::path(get, path = "/api/v0/info/public.json", operation_id = "showInformation", tag = "node",
    responses((status = 200, description = "Addresses.", body = schemas::PublicInformation)))]
async fn info(State(context): State<Arc<Context>>) -> Response {
    ok(json!({"node_multi_addresses": context.network.addresses()})).into_response()
}

/// The digest of the state.
///
/// Nodes with the same messages have it in common; where two nodes differ, the
/// digests of the parts say in what.
#[utoipa::path(get, path = "/api/v0/state/digest", operation_id = "showDigest", tag = "node",
    responses((status = 200, description = "Digests.", body = schemas::StateDigest)))]
async fn digest(State(context): State<Arc<Context>>) -> Result<Response, ApiError> {
    let digest = context.read(|state| state.digest()).await?;
    let parts = digest.parts.into_iter();
    let parts = parts.map(|(part, sum)| (part.as_str().to_owned(), sum.into()));
    Ok(ok(json!({
        "digest": digest.whole,
        "messages": digest.messages,
        "parts": parts.collect::<Map<String, Value>>(),
    }))
    .into_response())
}

/// Every channel in use.
#[utoipa::path(get, path = "/api/v0/channels/list.json", operation_id = "listChannels", tag = "node",
    responses((status = 200, description = "Channels, sorted.", body = schemas::Channels)))]
async fn channels(State(context): State<Arc<Context>>) -> Result<Response, ApiError> {
    let channels = context.read(|state| state.channels()).await?;
    Ok(ok(json!({"channels": channels})).into_response())
}

/// Programs that messages start.
///
/// The one route that refuses parameters it does not know.
#[utoipa::path(get, path = "/api/v0/programs/on/message", operation_id = "listTriggers", tag = "node",
    params(described::TriggerOrder),
    responses((status = 200, description = "Programs.", body = Vec<schemas::Trigger>),
        (status = 400, description = "An unknown or unreadable parameter.", body = schemas::FaultsAsText)))]
async fn triggers(
    State(context): State<Arc<Context>>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let order = params.order();
    if let Err(text) = params.finish_strictly(&["sort_order", "sortOrder"]) {
        return Ok(Json(StatusCode::BAD_REQUEST, text).into_response());
    }
    let found = context.read(move |state| state.triggers(order)).await?;
    let items = found
        .into_iter()
        .map(|(hash, wanted)| json!({"item_hash": hash, "content": {"on": {"message": wanted}}}));
    Ok(ok(items.collect::<Vec<_>>()).into_response())
}

/// Measurements, by the names of upstream's.
#[utoipa::path(get, path = "/metrics.json", operation_id = "showMetrics", tag = "node",
    responses((status = 200, description = "Measurements.", body = schemas::Metrics)))]
async fn metrics_json(State(context): State<Arc<Context>>) -> Result<Response, ApiError> {
    Ok(ok(Value::Object(metrics(&context).await?)).into_response())
}

/// Measurements, one a line.
#[utoipa::path(get, path = "/metrics", operation_id = "listMetrics", tag = "node",
    responses((status = 200, description = "Names and values.", body = String, content_type = "text/plain")))]
async fn metrics_text(State(context): State<Arc<Context>>) -> Result<Response, ApiError> {
    let mut lines = Vec::new();
    for (name, value) in metrics(&context).await? {
        match value {
            Value::Object(labels) => {
                let labels: Vec<String> = labels
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect();
                lines.push(format!("{name}{{{}}} 1", labels.join(",")));
            }
            Value::Number(number) => lines.push(format!("{name} {number}")),
            _ => {}
        }
    }
    Ok(lines.join("\n").into_response())
}

/// Upstream's names, in upstream's order; null where there is nothing to count
/// yet, 0 where upstream's readers expect a number.
pub(super) async fn metrics(context: &Context) -> Result<Map<String, Value>, ApiError> {
    let totals = context.read(|state| state.totals()).await?;
    let connected = context.network.connected_peers().await.len() as u64;
    let mut metrics = Map::new();
    let mut put = |name: &str, value: Value| metrics.insert(name.to_owned(), value);
    // Readers of the network look for a python version here.
    put(
        "pyaleph_build_info",
        json!({"python_version": "none", "version": VERSION}),
    );
    put("pyaleph_status_peers_total", connected.into());
    put("pyaleph_status_sync_messages_total", totals.messages.into());
    put(
        "pyaleph_status_sync_permanent_files_total",
        totals.file_pins.into(),
    );
    put(
        "pyaleph_status_sync_pending_messages_total",
        totals.pending_messages.into(),
    );
    put("pyaleph_status_sync_pending_txs_total", 0.into());
    put(
        "pyaleph_status_chain_eth_last_committed_height",
        Value::Null,
    );
    put(
        "pyaleph_processing_pending_messages_seen_ids_total",
        Value::Null,
    );
    put("pyaleph_processing_pending_messages_tasks_total", 0.into());
    for kind in ["aggregate", "forget", "post", "program", "store"] {
        put(
            &format!("pyaleph_processing_pending_messages_{kind}_tasks"),
            0.into(),
        );
    }
    put(
        "pyaleph_processing_pending_messages_action_total",
        Value::Null,
    );
    put("pyaleph_status_sync_messages_reference_total", Value::Null);
    put("pyaleph_status_sync_messages_remaining_total", Value::Null);
    put(
        "pyaleph_status_chain_eth_height_reference_total",
        Value::Null,
    );
    put("pyaleph_status_chain_eth_height_remaining_total", 0.into());
    for (name, count) in context.streams.counters.upstream() {
        put(name, count.into());
    }
    Ok(metrics)
}
