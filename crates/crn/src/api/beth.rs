//! `/beth/v1`: what clients of ours ask to follow a deployment.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Path, Request, State};
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
    request: Request,
) -> Result<Response, ApiError> {
    let mut state = api.pool.state(&parse(&hash)?).ok_or_else(unknown)?;
    if !may_read_logs(&api, &request) {
        state.traceback = None;
    }
    Ok(json::response(StatusCode::OK, &state))
}

/// What it printed, a line a line.
pub(super) async fn logs(
    State(api): State<Arc<Api>>,
    Path(hash): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    if !may_read_logs(&api, &request) {
        let text = "what programs print is read from the node's own computer; ask there, or ask the operator to set public_logs";
        return Err(ApiError::numbered(StatusCode::FORBIDDEN, text));
    }
    let lines = api.pool.logs(&parse(&hash)?).ok_or_else(unknown)?;
    let text: String = lines
        .into_iter()
        .flat_map(|line| [line, "\n".into()])
        .collect();
    Ok(text.into_response())
}

/// Everybody where the operator says so, else who sits at this computer; a
/// proxy there speaks for somebody else.
fn may_read_logs(api: &Api, request: &Request) -> bool {
    let is_forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"]
        .iter()
        .any(|name| request.headers().contains_key(*name));
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let is_local = peer.is_some_and(|peer| peer.0.ip().to_canonical().is_loopback());
    api.config.public_logs || (is_local && !is_forwarded)
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
