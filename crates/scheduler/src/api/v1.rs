//! Version 1 of the API: rows of workloads and nodes, their history, and a
//! stream of changes (network.md §23.4).

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use beth_protocol::ItemHash;
use beth_protocol::registry::ResourceNode;
use beth_protocol::time::Timestamp;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, interval_at, timeout};

use super::{Shared, answer, vm_type};
use crate::history::Change;
use crate::limits::{FRAME_TIMEOUT, LISTENER_PING_PERIOD, LISTENERS_MAX, PAGE_ROWS, PAGE_ROWS_MAX};
use crate::view::View;
use crate::work::Work;

type Wishes = BTreeMap<String, String>;

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/v1/vms", get(vms))
        .route("/api/v1/vms/{hash}", get(vm))
        .route("/api/v1/vms/{hash}/history", get(vm_history))
        .route("/api/v1/nodes", get(nodes))
        .route("/api/v1/nodes/{hash}", get(node))
        .route("/api/v1/nodes/{hash}/history", get(node_history))
        .route("/api/v1/stats", get(stats))
        .route("/api/v1/ws", get(changes))
}

async fn vms(State(shared): State<Shared>, Query(wishes): Query<Wishes>) -> Response {
    let view = shared.views.borrow().clone();
    let is = |name: &str, value: &str| wishes.get(name).is_none_or(|wish| wish == value);
    let since = wishes
        .get("active_since")
        .and_then(|text| text.parse::<f64>().ok())
        .and_then(Timestamp::from_seconds_f64);
    let named = |item: &ItemHash| {
        let start = wishes.get("vm_hash");
        start.is_none_or(|start| item.as_str().starts_with(start.as_str()))
    };
    let active = |item: &ItemHash| since.is_none_or(|since| last_activity(&view, item) >= since);
    let found: Vec<(&ItemHash, &Work)> = view
        .workloads
        .iter()
        .filter(|(item, _)| named(item) && active(item))
        .filter(|(_, work)| {
            is("sender", &work.sender) && is("owner", &work.owner) && is("owners", &work.owner)
        })
        .filter(|(item, _)| {
            let node = allocated(&view, item);
            is("node", node.map_or("", ItemHash::as_str))
                && is("status", vm_status(&view, item, node))
                && is("scheduling_status", scheduling(node))
        })
        .collect();
    page(&found, &wishes, |(item, work)| vm_row(&view, item, work))
}

async fn vm(State(shared): State<Shared>, Path(hash): Path<String>) -> Response {
    let view = shared.views.borrow().clone();
    let found = ItemHash::parse(&hash)
        .ok()
        .and_then(|hash| Some(vm_row(&view, &hash, view.workloads.get(&hash)?)));
    found.map_or_else(unknown, |row| answer(StatusCode::OK, &row))
}

async fn vm_history(
    State(shared): State<Shared>,
    Path(hash): Path<String>,
    Query(wishes): Query<Wishes>,
) -> Response {
    let view = shared.views.borrow().clone();
    history(&view, &wishes, |change| change.item.as_str() == hash)
}

async fn nodes(State(shared): State<Shared>, Query(wishes): Query<Wishes>) -> Response {
    let view = shared.views.borrow().clone();
    let named = |node: &&ResourceNode| {
        wishes.get("hash").is_none_or(|part| {
            let hash = node.hash.as_str();
            hash.starts_with(part.as_str()) || hash.ends_with(part.as_str())
        })
    };
    let status = wishes.get("status");
    let found: Vec<&ResourceNode> = view
        .network
        .registry
        .resource_nodes
        .iter()
        .filter(named)
        .filter(|node| status.is_none_or(|status| status_of(&view, node) == status))
        .collect();
    page(&found, &wishes, |node| node_row(&view, node))
}

async fn node(State(shared): State<Shared>, Path(hash): Path<String>) -> Response {
    let view = shared.views.borrow().clone();
    let found = ItemHash::parse(&hash)
        .ok()
        .and_then(|hash| Some(node_row(&view, view.network.registry.resource_node(&hash)?)));
    found.map_or_else(unknown, |row| answer(StatusCode::OK, &row))
}

async fn node_history(
    State(shared): State<Shared>,
    Path(hash): Path<String>,
    Query(wishes): Query<Wishes>,
) -> Response {
    let view = shared.views.borrow().clone();
    history(&view, &wishes, |change| change.node.as_str() == hash)
}

async fn stats(State(shared): State<Shared>) -> Response {
    let view = shared.views.borrow().clone();
    let nodes = &view.network.registry.resource_nodes;
    let healthy = nodes
        .iter()
        .filter(|node| status_of(&view, node) == "Healthy");
    let is_placed = |item: &ItemHash| {
        let placement = view.plan.get(item);
        placement.is_some_and(|placement| placement.target.is_some())
    };
    let allocated = view
        .workloads
        .iter()
        .filter(|(item, _)| is_placed(item))
        .map(|(_, work)| work.workload.load().vcpus);
    let capacity = view.network.states.values().map(|state| state.vcpus);
    answer(
        StatusCode::OK,
        &json!({
            "total_vms": view.workloads.len(),
            "total_nodes": nodes.len(),
            "healthy_nodes": healthy.count(),
            "total_vcpus_allocated": allocated.sum::<u64>(),
            "total_vcpus_capacity": capacity.fold(0u64, u64::saturating_add),
        }),
    )
}

async fn changes(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    let frames = shared.frames.subscribe();
    if shared.frames.receiver_count() > LISTENERS_MAX {
        return answer(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({"detail": "too many listen already; try again later"}),
        );
    }
    upgrade.on_upgrade(async move |socket| tell(socket, frames).await)
}

/// Ends when the client leaves, is silent, or reads too slowly.
async fn tell(mut socket: WebSocket, mut frames: Receiver<Value>) {
    let start = Instant::now() + LISTENER_PING_PERIOD;
    let mut pings = interval_at(start, LISTENER_PING_PERIOD);
    let mut heard = true;
    loop {
        let frame = tokio::select! {
            frame = frames.recv() => match frame {
                Ok(frame) => Frame::Text(frame.to_string().into()),
                Err(_) => return,
            },
            _ = pings.tick() => {
                if !std::mem::take(&mut heard) {
                    return;
                }
                Frame::Ping(Default::default())
            }
            received = socket.recv() => match received {
                Some(Ok(_)) => {
                    heard = true;
                    continue;
                }
                _ => return,
            },
        };
        if !matches!(timeout(FRAME_TIMEOUT, socket.send(frame)).await, Ok(Ok(()))) {
            return;
        }
    }
}

fn vm_row(view: &View, item: &ItemHash, work: &Work) -> Value {
    let workload = &work.workload;
    let node = allocated(view, item);
    let seen = view.history.seen.get(item);
    let cpu = serde_json::to_value(&workload.cpu).unwrap_or_default();
    json!({
        "vm_hash": item,
        "vm_type": vm_type(workload.kind),
        "allocated_node": node,
        "allocated_at": view.history.allocated_at.get(item).map(|at| at.to_iso("Z")),
        "observed_nodes": seen.map(|seen| &seen.nodes).into_iter().flatten().collect::<Vec<_>>(),
        "last_observed_at": seen.map(|seen| seen.last.to_iso("Z")),
        "status": vm_status(view, item, node),
        "requirements_vcpus": workload.vcpus,
        "requirements_memory_mb": workload.memory_mib,
        "requirements_disk_mb": workload.disk_mib,
        "payment_type": work.payment.as_str(),
        // The core node lists only what is paid.
        "payment_status": "validated",
        "updated_at": last_activity(view, item).to_iso("Z"),
        "requires_confidential": false,
        "gpu_requirements": [],
        "cpu_architecture": cpu["architecture"],
        "cpu_vendor": cpu["vendor"],
        "cpu_features": cpu["features"].as_array().cloned().unwrap_or_default(),
        "scheduling_status": scheduling(node),
        "migration_target": null,
        "migration_started_at": null,
        "owner": work.owner,
        "reason": view.plan.get(item).map(super::reason),
    })
}

/// The node a workload was given to.
fn allocated<'a>(view: &'a View, item: &ItemHash) -> Option<&'a ItemHash> {
    let target = view.plan.get(item)?.target.as_ref()?;
    Some(&target.compute_node)
}

fn scheduling(node: Option<&ItemHash>) -> &'static str {
    if node.is_some() {
        "scheduled"
    } else {
        "unschedulable"
    }
}

/// What is wanted, compared with what was seen.
fn vm_status(view: &View, item: &ItemHash, node: Option<&ItemHash>) -> &'static str {
    let seen = view.history.seen.get(item);
    let now = seen.map_or(0, |seen| seen.nodes.len());
    match (node, seen) {
        (_, Some(_)) if now > 1 => "duplicated",
        (Some(node), Some(seen)) if seen.nodes.contains(node) => "dispatched",
        (Some(_), Some(_)) if now == 1 => "misplaced",
        (Some(_), Some(_)) => "missing",
        (Some(_), None) => "scheduled",
        (None, _) if now > 0 => "orphaned",
        (None, _) => "unschedulable",
    }
}

fn last_activity(view: &View, item: &ItemHash) -> Timestamp {
    let seen = view.history.seen.get(item).map(|seen| seen.last);
    let allocated = view.history.allocated_at.get(item).copied();
    seen.max(allocated).unwrap_or(view.planned_at)
}

fn node_row(view: &View, node: &ResourceNode) -> Value {
    let state = view.network.states.get(&node.hash);
    let report = view.reports.get(&node.hash);
    let items = view.by_node.get(&node.hash).into_iter().flatten();
    let own: Vec<&Work> = items.filter_map(|item| view.workloads.get(item)).collect();
    let loads = own.iter().map(|work| work.workload.load());
    let (vcpus, memory_mib) = loads.fold((0, 0), |(vcpus, memory), load| {
        (vcpus + load.vcpus, memory + load.memory_mib)
    });
    let registered = Timestamp::from_seconds_f64(node.time);
    json!({
        "node_hash": node.hash,
        "name": node.name,
        "owner": node.owner,
        "address": format!("{}/", node.url()),
        "status": status_of(view, node),
        "staked": node.is_linked(),
        "vcpus_total": state.map(|state| state.vcpus),
        "memory_total_mb": state.map(|state| state.memory_mib),
        "disk_total_mb": state.map(|state| state.disk_mib),
        "vcpus_available": state.map(|state| state.vcpus.saturating_sub(vcpus)),
        "memory_available_mb": state.map(|state| state.memory_mib.saturating_sub(memory_mib)),
        "disk_available_mb": report.map(|report| report.disk_available_mib),
        "supports_ipv6": report.is_some_and(crate::probe::Report::supports_ipv6),
        "confidential_computing_enabled": report.is_some_and(|report| report.confidential),
        "cpu_architecture": state.map(|state| &state.cpu.architecture),
        "cpu_vendor": state.map(|state| &state.cpu.vendor),
        "cpu_features": state.map(|state| state.cpu.features.clone()).unwrap_or_default(),
        "gpus": {"used": [], "available": report.map(|report| report.gpus.clone()).unwrap_or_default()},
        "payment_receiver": if node.stream_reward.is_empty() { &node.reward } else { &node.stream_reward },
        "vm_count": own.len(),
        "discovered_at": registered.map(|at| at.to_iso("Z")),
        "updated_at": report.map(|report| report.at.to_iso("Z")),
        "fault": state.and_then(|state| state.fault.as_ref()),
    })
}

fn status_of(view: &View, node: &ResourceNode) -> &'static str {
    match view.network.states.get(&node.hash) {
        None => "Unknown",
        Some(state) if state.fault.is_some() => "Unreachable",
        Some(_) => "Healthy",
    }
}

fn history(view: &View, wishes: &Wishes, matches: impl Fn(&Change) -> bool) -> Response {
    page(&view.history.of(matches), wishes, |change| {
        json!({
            "id": change.id, "vm_hash": change.item, "node_hash": change.node,
            "action": change.action.as_str(), "reason": change.reason, "timestamp": change.at.to_iso("Z"),
        })
    })
}

/// One page of what was found; a page past the end is empty.
fn page<T>(found: &[T], wishes: &Wishes, row: impl Fn(&T) -> Value) -> Response {
    let number = |name: &str, default: usize| match wishes.get(name) {
        None => Some(default),
        Some(text) => text.parse::<usize>().ok().filter(|number| *number > 0),
    };
    let (Some(page), Some(size)) = (number("page", 1), number("page_size", PAGE_ROWS)) else {
        return answer(
            StatusCode::UNPROCESSABLE_ENTITY,
            &json!({"detail": "page and page_size are whole numbers from 1"}),
        );
    };
    let size = size.min(PAGE_ROWS_MAX);
    let total = found.len();
    let start = (page - 1).saturating_mul(size);
    let items: Vec<Value> = found.iter().skip(start).take(size).map(row).collect();
    answer(
        StatusCode::OK,
        &json!({
            "items": items,
            "pagination": {
                "page": page, "page_size": size, "total_items": total, "total_pages": total.div_ceil(size),
            },
        }),
    )
}

fn unknown() -> Response {
    answer(
        StatusCode::NOT_FOUND,
        &json!({"detail": "this scheduler knows nothing by this hash"}),
    )
}
