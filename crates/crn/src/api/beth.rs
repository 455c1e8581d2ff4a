//! `/beth/v1`: what clients of ours ask to follow a deployment.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use beth_protocol::ItemHash;
use serde_json::{Value, json};

use super::error::ApiError;
use super::{Api, VERSION, json};
use crate::reservation::disk_available_mib;
use crate::workloads::Known;

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
        return Err(not_from_here());
    }
    let lines = api.pool.logs(&parse(&hash)?).ok_or_else(unknown)?;
    let text: String = lines
        .into_iter()
        .flat_map(|line| [line, "\n".into()])
        .collect();
    Ok(text.into_response())
}

/// Everything that runs here for others, and what the node has.
pub(super) async fn machines(State(api): State<Arc<Api>>) -> Response {
    let (room, known, used_mib) = api.room().await;
    let machines: Vec<Value> = known.iter().map(|known| machine_of(&api, known)).collect();
    let running = known.iter().filter(|known| known.is_running);
    let promised = running.fold((0, 0), |(vcpus, memory_mib), known| {
        let demand = &known.demand;
        (vcpus + demand.vcpus, memory_mib + demand.memory_mib)
    });
    let body = json!({
        "machines": machines,
        "node": {
            "node_hash": api.identity.node_hash(), "is_draining": api.is_draining(), "version": VERSION,
            "vcpus": room.vcpus, "vcpus_promised": promised.0,
            "memory_mib": room.instance_memory_mib + room.program_memory_mib,
            "memory_promised_mib": promised.1,
            "disk_free_mib": disk_available_mib(&room, &known, used_mib),
            "gpus": room.gpus.len(),
            "gpus_free": api.reservations.free(&room, &known, None).len(),
        },
    });
    json::response(StatusCode::OK, &body)
}

/// One of them.
pub(super) async fn machine(
    State(api): State<Arc<Api>>,
    Path(hash): Path<String>,
) -> Result<Response, ApiError> {
    let found = api.machines.find(&parse(&hash)?).await;
    let (known, _) = found.ok_or_else(unknown)?;
    Ok(json::response(StatusCode::OK, &machine_of(&api, &known)))
}

/// What it printed, with the time of each line.
pub(super) async fn machine_logs(
    State(api): State<Arc<Api>>,
    Path(hash): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    if !may_read_logs(&api, &request) {
        return Err(not_from_here());
    }
    let item_hash = parse(&hash)?;
    let found = api.machines.find(&item_hash).await;
    let (_, workloads) = found.ok_or_else(unknown)?;
    let lines = workloads.logs(&item_hash).await.unwrap_or_default();
    let lines: Vec<Value> = lines
        .into_iter()
        .map(|line| json!({"time": line.time.to_iso("Z"), "is_error": line.is_error, "text": line.text}))
        .collect();
    Ok(json::response(StatusCode::OK, &json!({"lines": lines})))
}

fn machine_of(api: &Api, known: &Known) -> Value {
    let seconds = |time: Option<std::time::SystemTime>| {
        let since = time?.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(since.as_secs())
    };
    let state = match known {
        Known {
            awaits_secret: true,
            ..
        } => "awaits_secret",
        Known {
            is_running: true, ..
        } => "running",
        Known {
            is_starting: true, ..
        } => "starting",
        _ => "stopped",
    };
    let program = api.pool.state(&known.item_hash);
    json!({
        "item_hash": known.item_hash,
        "kind": known.kind,
        "owner": known.owner,
        "state": state,
        "executor": program.as_ref().and_then(|program| program.executor),
        "calls": program.as_ref().map(|program| program.calls),
        "fault": program.as_ref().and_then(|program| program.fault.clone()),
        "vcpus": known.demand.vcpus,
        "memory_mib": known.demand.memory_mib,
        "disk_mib": known.demand.disk_mib,
        "disk_used_mib": known.disk_used_mib,
        "gpus": known.demand.gpus.len(),
        "is_confidential": known.is_confidential,
        "payment": known.payment.as_ref().map(|payment| payment.payment_type.as_str()),
        "defined_at": seconds(known.steps.defined_at),
        "started_at": seconds(known.steps.started_at),
        "stopped_at": seconds(known.steps.stopped_at),
        "networking": known.networking,
    })
}

fn not_from_here() -> ApiError {
    let text = "what programs print is read from the node's own computer; ask there, or ask the operator to set public_logs";
    ApiError::numbered(StatusCode::FORBIDDEN, text)
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
