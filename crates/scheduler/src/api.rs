//! The scheduler's HTTP API (network.md §23.4): version 0 here, with the reasons
//! as further members, [version 1](v1) and the [list of nodes](crns) beside it.

mod crns;
mod v1;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use beth_protocol::ItemHash;
use beth_protocol::placement::{Capability, Kind, Placement, Workload, place};
use beth_protocol::registry::ResourceNode;
use serde_json::{Map, Value, json};
use tokio::sync::{broadcast, watch};

use crate::allocation::Allocation;
use crate::limits;
use crate::view::View;

/// What the routes answer from.
#[derive(Clone)]
struct Shared {
    views: watch::Receiver<Arc<View>>,
    frames: broadcast::Sender<Value>,
}

/// The routes.
pub fn router(views: watch::Receiver<Arc<View>>, frames: broadcast::Sender<Value>) -> Router {
    Router::new()
        .route("/api/v0/plan", get(show_plan))
        .route("/api/v0/nodes", get(nodes))
        .route("/api/v0/allocation/{vm_hash}", get(allocation))
        .route("/api/v0/simulate", get(simulate))
        .merge(v1::routes())
        .merge(crns::routes())
        .with_state(Shared { views, frames })
}

async fn show_plan(State(shared): State<Shared>) -> Response {
    let view = shared.views.borrow().clone();
    let mut by_node: BTreeMap<&ItemHash, Allocation> = view
        .network
        .states
        .keys()
        .map(|node| (node, Allocation::default()))
        .collect();
    let mut unplaced = Map::new();
    for (item, placement) in &view.plan {
        let Some(work) = view.workloads.get(item) else {
            continue;
        };
        match &placement.target {
            Some(target) => by_node
                .entry(&target.compute_node)
                .or_default()
                .insert(item, work.workload.kind),
            None => {
                unplaced.insert(item.to_string(), json!(reason(placement)));
            }
        }
    }
    answer(
        StatusCode::OK,
        &json!({"period": period(&view), "plan": by_node, "unplaced": unplaced, "listed": view.listed}),
    )
}

async fn nodes(State(shared): State<Shared>) -> Response {
    let view = shared.views.borrow().clone();
    let nodes: Vec<Value> = view
        .network
        .registry
        .resource_nodes
        .iter()
        .map(|node| node_item(&view, node))
        .collect();
    answer(StatusCode::OK, &json!({"nodes": nodes}))
}

async fn allocation(State(shared): State<Shared>, Path(vm_hash): Path<String>) -> Response {
    let view = shared.views.borrow().clone();
    let found = ItemHash::parse(&vm_hash)
        .ok()
        .and_then(|hash| Some((view.plan.get(&hash)?, view.workloads.get(&hash)?)));
    let Some((placement, work)) = found else {
        return answer(
            StatusCode::NOT_FOUND,
            &json!({"detail": "this scheduler knows no such workload", "vm_hash": vm_hash}),
        );
    };
    let target = placement.target.as_ref();
    let node = target.and_then(|target| view.network.registry.resource_node(&target.compute_node));
    let (Some(target), Some(node)) = (target, node) else {
        return answer(
            StatusCode::NOT_FOUND,
            &json!({"detail": "no compute node fits", "vm_hash": vm_hash, "reason": reason(placement), "refused": placement.refused}),
        );
    };
    let core = view.network.registry.core_node(&target.core_node);
    answer(
        StatusCode::OK,
        &json!({
            "vm_hash": vm_hash,
            "vm_type": vm_type(work.workload.kind),
            "vm_ipv6": null,
            "period": period(&view),
            "node": node_item(&view, node),
            "core_node": {"node_id": target.core_node, "name": core.map(|core| &core.name), "url": core.map(|core| &core.address)},
            "reason": reason(placement),
            "core_node_reason": placement.core_node_reason,
            "compute_node_reason": placement.compute_node_reason,
            "refused": placement.refused,
        }),
    )
}

/// Whether an instance of this size would find a place. Sizes in MiB.
async fn simulate(
    State(shared): State<Shared>,
    Query(wish): Query<BTreeMap<String, String>>,
) -> Response {
    let number = |name: &str, default: u64| {
        wish.get(name)
            .map_or(Some(default), |text| text.parse::<u64>().ok())
    };
    let (Some(vcpus), Some(memory_mib), Some(disk_mib)) =
        (number("vcpus", 1), number("memory", 1), number("disk", 0))
    else {
        return answer(
            StatusCode::UNPROCESSABLE_ENTITY,
            &json!({"detail": "vcpus, memory and disk are whole numbers; memory and disk in MiB"}),
        );
    };
    let view = shared.views.borrow().clone();
    let workload = Workload {
        item_hash: ItemHash::of_bytes(b"simulation"),
        kind: Kind::Instance,
        needs: Some(Capability::Instance),
        special: None,
        vcpus,
        memory_mib,
        disk_mib,
        node: None,
        cpu: None,
    };
    let placement = place(&workload, &view.network);
    if placement.target.is_some() {
        return answer(StatusCode::OK, &json!({"schedulable": true, "reasons": []}));
    }
    let reasons: BTreeSet<&str> = placement
        .refused
        .iter()
        .map(|refusal| refusal.reason.as_str())
        .collect();
    let reasons = if reasons.is_empty() {
        BTreeSet::from([placement.compute_node_reason.as_str()])
    } else {
        reasons
    };
    answer(
        StatusCode::SERVICE_UNAVAILABLE,
        &json!({"schedulable": false, "reasons": reasons}),
    )
}

fn node_item(view: &View, node: &ResourceNode) -> Value {
    let report = view.reports.get(&node.hash);
    let fault = report.map_or(Some("it has not answered yet"), |report| {
        report.state.fault.as_deref()
    });
    json!({
        "node_id": node.hash,
        "url": format!("{}/", node.url()),
        "ipv6": report.and_then(|report| report.ipv6_pool.as_deref()).map(|pool| pool.trim_end_matches("/64")),
        "supports_ipv6": report.is_some_and(crate::probe::Report::supports_ipv6),
        "name": node.name,
        "core_node": node.parent,
        "healthy": fault.is_none(),
        "fault": fault,
        "capabilities": report.map(|report| &report.state.capabilities),
    })
}

fn period(view: &View) -> Value {
    json!({"start_timestamp": view.planned_at.to_iso("Z"), "duration_seconds": limits::ALLOCATION_INTERVAL.as_secs_f64()})
}

fn reason(placement: &Placement) -> String {
    format!(
        "{}; {}",
        placement.core_node_reason, placement.compute_node_reason
    )
}

fn vm_type(kind: Kind) -> &'static str {
    match kind {
        Kind::OnDemand => "micro_vm",
        Kind::Persistent => "persistent_program",
        Kind::Instance => "instance",
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
        body.to_string(),
    )
        .into_response()
}
