//! The list of compute nodes with what they say of themselves, for clients that
//! choose a node (network.md §19, `crns.json`).

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use beth_protocol::registry::ResourceNode;
use serde_json::{Value, json};

use super::{Shared, answer};
use crate::probe::Report;

/// The route.
pub fn routes() -> Router<Shared> {
    Router::new().route("/crns.json", get(list))
}

async fn list(
    State(shared): State<Shared>,
    Query(wishes): Query<BTreeMap<String, String>>,
) -> Response {
    let view = shared.views.borrow().clone();
    let only_active = wishes
        .get("filter_inactive")
        .is_some_and(|wish| wish.eq_ignore_ascii_case("true"));
    let mut nodes: Vec<&ResourceNode> = view
        .network
        .registry
        .resource_nodes
        .iter()
        .filter(|node| !only_active || node.inactive_since.is_none())
        .collect();
    nodes.sort_by(|a, b| b.score.total_cmp(&a.score));
    let items: Vec<Value> = nodes
        .iter()
        .map(|node| item(node, view.reports.get(&node.hash)))
        .collect();
    let last = view.reports.values().map(|report| report.at).max();
    answer(
        StatusCode::OK,
        &json!({"last_refresh": last.map(|at| at.to_iso("")), "crns": items}),
    )
}

/// Every member of the registry, and what the node answered.
fn item(node: &ResourceNode, report: Option<&Report>) -> Value {
    let mut item = serde_json::to_value(node).unwrap_or_default();
    let answered = report.filter(|report| report.state.fault.is_none());
    let fault = report.and_then(|report| report.state.fault.as_ref());
    let config = |path: &str| answered.and_then(|report| report.config.pointer(path).cloned());
    let asked_at = report.map(|report| report.at.to_iso(""));
    let ipv6 = answered.map(Report::supports_ipv6);
    let own = json!({
        "config_from_crn": answered.is_some(),
        "debug_config_from_crn_at": asked_at,
        "debug_config_from_crn_error": fault,
        "debug_usage_from_crn_at": asked_at,
        "usage_from_crn_error": fault,
        "version": config("/version"),
        "payment_receiver_address": config("/payment/PAYMENT_RECEIVER_ADDRESS"),
        "gpu_support": config("/computing/ENABLE_GPU_SUPPORT"),
        "confidential_support": config("/computing/ENABLE_CONFIDENTIAL_COMPUTING"),
        "qemu_support": config("/computing/ENABLE_QEMU_SUPPORT"),
        "system_usage": answered.map(|report| &report.usage),
        "compatible_gpus": [],
        "compatible_available_gpus": answered.map(|report| report.gpus.clone()).unwrap_or_default(),
        "ipv6_check": ipv6.map(|ipv6| json!({"host": ipv6, "vm": ipv6})),
    });
    if let (Value::Object(members), Value::Object(own)) = (&mut item, own) {
        members.extend(own);
    }
    item
}
