//! `POST /control/network/recreate` and `/control/proxy/regenerate`: the
//! scheduler has a node set up its network again (compute.md §8.4–§8.5).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::error::ApiError;
use super::{Api, control, json};

/// `network/recreate`: what each machine's network is made of is made anew.
pub(super) async fn recreate(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, ApiError> {
    control::authentic(&api, request).await?;
    let remade = match &api.network {
        Some(network) => network.recreate().await,
        None => Ok(Remade::default()),
    };
    let remade = match remade {
        Ok(remade) => remade,
        Err(reason) => {
            let body = json!({"success": false, "error": format!("Failed to recreate the network: {reason}")});
            return Ok(json::response(StatusCode::INTERNAL_SERVER_ERROR, &body));
        }
    };
    let failed: Vec<_> = remade
        .failed
        .iter()
        .map(|(machine, error)| json!({"vm_hash": machine, "error": error}))
        .collect();
    let body = json!({
        "success": failed.is_empty(),
        "removed_chains_count": remade.removed_chains.len(),
        "removed_chains": remade.removed_chains,
        "recreated_count": remade.recreated.len(),
        "failed_count": failed.len(),
        "recreated_vms": remade.recreated,
        "failed_vms": failed,
    });
    let status = match remade.failed.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::MULTI_STATUS,
    };
    Ok(json::response(status, &body))
}

/// `proxy/regenerate`: domain names lead to where their machines are now.
pub(super) async fn regenerate(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, ApiError> {
    control::authentic(&api, request).await?;
    if let Some(network) = &api.network
        && let Err(reason) = network.refresh_domains().await
    {
        let body = json!({"success": false, "error": reason});
        return Ok(json::response(StatusCode::INTERNAL_SERVER_ERROR, &body));
    }
    let body =
        json!({"success": true, "message": "HAProxy configuration regenerated successfully"});
    Ok(json::response(StatusCode::OK, &body))
}

/// `GET /debug/haproxy`.
pub(super) async fn proxy(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    let domains = match &api.network {
        Some(network) => network.domains().await,
        None => None,
    };
    let none = || ApiError::new(StatusCode::NOT_FOUND, r#"{"status": "no socket"}"#);
    let body = json!({"status": "ok", "mappings": domains.ok_or_else(none)?});
    Ok(json::response(StatusCode::OK, &body))
}

pub use crate::workloads::network::{Network, Remade};
