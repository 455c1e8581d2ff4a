//! `/status`: configuration and self-checks (compute.md §6.12–§6.14).

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::error::ApiError;
use super::version::Version;
use super::{Api, VERSION, json};
use crate::microvm;

/// The configuration that other nodes and clients read.
pub(super) async fn config(State(api): State<Arc<Api>>) -> Response {
    let config = &api.config;
    let executors: &[&str] = match microvm::is_installed(config.guest_folder.as_deref()) {
        true => &["wasm", "microvm"],
        false => &["wasm"],
    };
    let body = json!({
        "DOMAIN_NAME": config.domain_name,
        "node_hash": config.node_hash,
        "version": VERSION,
        "references": {
            "API_SERVER": config.core_node.trim_end_matches('/'),
            "CHECK_FASTAPI_VM_ID": "d2b74aa29898457bde0560e47f7cdd4e77287e9f1f7a1456161d2fd7d5c855d7",
            "CONNECTOR_URL": "http://localhost:4021/",
        },
        "security": {
            "USE_JAILER": false,
            "PRINT_SYSTEM_LOGS": false,
            "WATCH_FOR_UPDATES": false,
            "ALLOW_VM_NETWORKING": false,
            "USE_DEVELOPER_SSH_KEYS": false,
        },
        "networking": {
            "IPV6_ADDRESS_POOL": "fc00:1:2:3::/64",
            "IPV6_ALLOCATION_POLICY": "IPv6AllocationPolicy.static",
            "IPV6_SUBNET_PREFIX": 124,
            "IPV6_FORWARDING_ENABLED": false,
            "USE_NDP_PROXY": false,
        },
        "debug": {"SENTRY_DSN_CONFIGURED": false, "DEBUG_ASYNCIO": false, "EXECUTION_LOG_ENABLED": false},
        "payment": {
            "PAYMENT_RECEIVER_ADDRESS": config.owner,
            "AVAILABLE_PAYMENTS": {},
            "PAYMENT_MONITOR_INTERVAL": 60.0,
        },
        "computing": {
            "ENABLE_QEMU_SUPPORT": false,
            "INSTANCE_DEFAULT_HYPERVISOR": "qemu",
            "ENABLE_CONFIDENTIAL_COMPUTING": false,
            "ENABLE_GPU_SUPPORT": false,
        },
        "beth": {"executors": executors},
    });
    json::response(StatusCode::OK, &body)
}

/// The version to compare with.
#[derive(Deserialize)]
pub(super) struct Reference {
    reference: Option<String>,
}

/// Whether this node is at least the version asked for.
pub(super) async fn version(
    Query(Reference { reference }): Query<Reference>,
) -> Result<Response, ApiError> {
    let Some(reference) = reference.filter(|reference| !reference.is_empty()) else {
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

/// Whether host and machines reach the internet over IPv6: not yet.
pub(super) async fn ipv6() -> Response {
    json::response(StatusCode::OK, &json!({"host": false, "vm": false}))
}
