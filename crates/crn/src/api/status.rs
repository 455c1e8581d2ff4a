//! `/status`: configuration and self-checks (compute.md §6.10–§6.14).

mod diagnosis;
mod reach;

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::error::ApiError;
use super::version::Version;
use super::{Api, VERSION, json, settings};

pub(super) use diagnosis::{fastapi, fastapi_legacy};
pub(super) use reach::host;

/// The configuration that other nodes and clients read.
pub(super) async fn config(State(api): State<Arc<Api>>) -> Response {
    let streams = api.payments.stream_chains();
    let runs_instances = api.machines.instances().is_some();
    let node_hash = api.identity.node_hash();
    let body = settings::public(
        &api.config,
        node_hash,
        &streams,
        (runs_instances, api.network.is_some()),
    );
    json::response(StatusCode::OK, &body)
}

#[derive(Deserialize)]
pub(super) struct Reference {
    reference: Option<String>,
}

/// Whether this node is as new as a reference.
pub(super) async fn version(Query(query): Query<Reference>) -> Result<Response, ApiError> {
    let Some(reference) = query.reference else {
        let text = "Query field '?reference=` must be specified";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, text));
    };
    let (Some(own), Some(wanted)) = (Version::parse(VERSION), Version::parse(&reference)) else {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            format!("Invalid version: '{reference}'"),
        ));
    };
    if own < wanted {
        let text = format!("Outdated: version {VERSION} < {reference}");
        return Err(ApiError::new(StatusCode::FORBIDDEN, text));
    }
    Ok(format!("Up-to-date: version {VERSION} >= {reference}").into_response())
}

/// Whether host and machines reach the internet over IPv6.
pub(super) async fn ipv6(State(api): State<Arc<Api>>) -> Response {
    let (host, vm) = tokio::join!(
        reach::egress(&api.config.checks.ipv6_url, reach::Family::V6),
        diagnosis::reaches_ipv6(&api),
    );
    json::response(StatusCode::OK, &json!({"host": host, "vm": vm}))
}
