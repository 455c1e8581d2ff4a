//! `/about`: what the node is and runs (compute.md §6.1–§6.7).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::error::ApiError;
use super::{Api, json, system};

/// Nobody logs in here yet; the scoring service requires the 401.
pub(super) async fn login() -> Response {
    json::response(StatusCode::UNAUTHORIZED, &json!({"success": false}))
}

/// Running machines that have network addresses, by item hash. Programs of
/// this node have none yet, so nothing is listed; `/beth/v1/programs` lists
/// them.
pub(super) async fn executions() -> Response {
    json::response(StatusCode::OK, &json!({}))
}

/// As [`executions`]; clients reject entries without addresses (compute.md
/// §6.3), so there are none.
pub(super) async fn executions_v2() -> Response {
    json::response(StatusCode::OK, &json!({}))
}

/// Processors, memory, disk.
pub(super) async fn usage(State(api): State<Arc<Api>>) -> Response {
    let folder = api.config.folder.clone();
    let usage = tokio::task::spawn_blocking(move || system::usage(&folder)).await;
    json::response(StatusCode::OK, &usage.unwrap_or_default())
}

/// Certificates of confidential computing.
pub(super) async fn certificates() -> ApiError {
    let text = "Confidential computing setting not enabled on that server";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text)
}
