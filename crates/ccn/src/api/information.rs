//! What the node is (core-api.md §10.1, §10.2, §10.4, §10.6).

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
use crate::metrics::VERSION;

/// Version, addresses, digest, channels, triggers.
pub fn routes() -> Routes {
    Routes::new()
        .with(routes!(version))
        .also("/version", routes!(version))
        .with(routes!(info))
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
