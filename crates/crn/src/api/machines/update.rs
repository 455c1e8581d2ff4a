//! `POST …/update`: "my configuration changed, look again" (compute.md §7.10).
//!
//! Nobody has to sign: it only has the node read what the owner published.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::super::error::ApiError;
use super::super::{Api, json};
use super::parse;

/// The handler.
pub(super) async fn update(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
) -> Result<Response, ApiError> {
    let item_hash = parse(&reference)?;
    let Some((known, _)) = api.machines.find(&item_hash).await else {
        return Err(ApiError::numbered(StatusCode::NOT_FOUND, "VM not found"));
    };
    if known.networking.is_none() && !known.is_running {
        let body = json!({"status": "ok", "msg": "VM not starting yet"});
        return Ok(json::response(StatusCode::OK, &body));
    }
    api.machines
        .refresh_ports(api.contents.core(), &known)
        .await?;
    Ok(json::response(StatusCode::OK, &json!({})))
}

/// Any other path below `/control`: the one that one SDK takes by mistake
/// (`/control/{ref}/update`), or nothing.
pub(in super::super) async fn misnamed(
    State(api): State<Arc<Api>>,
    Path(rest): Path<String>,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::numbered(StatusCode::NOT_FOUND, "Invalid message reference");
    let reference = rest.strip_suffix("/update").ok_or_else(unknown)?;
    let item_hash = parse(reference).map_err(|_| unknown())?;
    api.machines.find(&item_hash).await.ok_or_else(unknown)?;
    update(State(api), Path(reference.to_owned())).await
}
