//! `/beth/v1`: what clients of ours ask to follow a deployment.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use beth_protocol::ItemHash;
use serde_json::json;

use super::error::ApiError;
use super::{Api, json};

/// Every program this node knows.
pub(super) async fn programs(State(api): State<Arc<Api>>) -> Response {
    json::response(StatusCode::OK, &json!({"programs": api.pool.list()}))
}

/// One of them.
pub(super) async fn program(
    State(api): State<Arc<Api>>,
    Path(hash): Path<String>,
) -> Result<Response, ApiError> {
    let state = api.pool.state(&parse(&hash)?).ok_or_else(unknown)?;
    Ok(json::response(StatusCode::OK, &state))
}

/// What it printed, a line a line.
pub(super) async fn logs(
    State(api): State<Arc<Api>>,
    Path(hash): Path<String>,
) -> Result<Response, ApiError> {
    let lines = api.pool.logs(&parse(&hash)?).ok_or_else(unknown)?;
    let text: String = lines
        .into_iter()
        .flat_map(|line| [line, "\n".into()])
        .collect();
    Ok(text.into_response())
}

fn parse(hash: &str) -> Result<ItemHash, ApiError> {
    ItemHash::parse(hash)
        .map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, format!("Invalid ref: '{hash}'")))
}

fn unknown() -> ApiError {
    let text =
        "this node was not asked for that program yet; call it, or wait until it is allocated here";
    ApiError::numbered(StatusCode::NOT_FOUND, text)
}
