//! `/about`: what the node is and runs (compute.md §6.1–§6.9).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use beth_protocol::Content;
use beth_protocol::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::machines::python_time;
use super::{Api, json, settings, system};
use crate::reservation::disk_available_mib;
use crate::workloads::{Known, Steps};

#[derive(Deserialize)]
pub(super) struct Login {
    token: Option<String>,
}

/// Who has the node's token gets a cookie; the scoring service requires 401
/// for everybody else.
pub(super) async fn login(State(api): State<Arc<Api>>, Query(login): Query<Login>) -> Response {
    let token = login.token.filter(|token| api.token.is(token));
    let Some(token) = token else {
        return json::response(StatusCode::UNAUTHORIZED, &json!({"success": false}));
    };
    let cookie = format!("token={token}; HttpOnly; Path=/about; SameSite=Strict");
    let mut response = json::response(StatusCode::FOUND, &json!({"success": true}));
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_static("/about/config"));
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

/// 401 for who has no cookie of [`login`].
fn has_cookie(api: &Api, headers: &HeaderMap) -> Result<(), ApiError> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    let mut cookies = cookies.flat_map(|cookies| cookies.split(';'));
    let is_right = |cookie: &str| {
        let token = cookie.trim().strip_prefix("token=");
        token.is_some_and(|token| api.token.is(token.trim_matches('"')))
    };
    match cookies.any(is_right) {
        true => Ok(()),
        false => Err(ApiError::new(StatusCode::UNAUTHORIZED, "401 Invalid token")),
    }
}

/// Machines that run, or wait for their owner's secret, and have addresses.
pub(super) async fn executions(State(api): State<Arc<Api>>) -> Response {
    let mut list = Map::new();
    for known in api.machines.all().await {
        let is_listed = known.is_running || known.awaits_secret;
        let Some(networking) = known.networking.filter(|_| is_listed) else {
            continue;
        };
        let entry = json!({
            "networking": {"ipv4": networking.ipv4_network, "ipv6": networking.ipv6_network},
            "vm_type": known.kind,
            "awaiting_confidential_init": known.awaits_secret,
        });
        list.insert(known.item_hash.to_string(), entry);
    }
    json::response(StatusCode::OK, &list)
}

/// Every machine whose addresses are known; clients reject a whole list for
/// one entry without.
pub(super) async fn executions_v2(State(api): State<Arc<Api>>) -> Response {
    let mut list = Map::new();
    for known in api.machines.all().await {
        if let Some(networking) = &known.networking {
            let entry = json!({
                "networking": networking,
                "status": steps(&known.steps),
                "running": known.is_running,
                "awaiting_confidential_init": known.awaits_secret,
                "vm_type": known.kind,
            });
            list.insert(known.item_hash.to_string(), entry);
        }
    }
    json::response(StatusCode::OK, &list)
}

fn steps(steps: &Steps) -> Value {
    let time = |time: Option<std::time::SystemTime>| {
        let since = time?.duration_since(std::time::UNIX_EPOCH).ok()?;
        let micros = i64::try_from(since.as_micros()).ok()?;
        Some(python_time(Timestamp::from_micros(micros), "+00:00"))
    };
    json!({
        "defined_at": time(steps.defined_at),
        "preparing_at": time(steps.preparing_at),
        "prepared_at": time(steps.prepared_at),
        "starting_at": time(steps.starting_at),
        "started_at": time(steps.started_at),
        "stopping_at": time(steps.stopping_at),
        "stopped_at": time(steps.stopped_at),
    })
}

/// Everything known of every machine; for who has the cookie.
pub(super) async fn details(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    has_cookie(&api, &headers)?;
    let mut list = Vec::new();
    for known in api.machines.all().await {
        let message = content(&api, &known).await;
        let mut dump = record(&known, message);
        dump["networking"] = json!(known.networking);
        dump["times"] = steps(&known.steps);
        list.push(json!({known.item_hash.as_str(): dump}));
    }
    Ok(json::response(StatusCode::OK, &list))
}

/// What runs here beyond calls, newest first; without the variables of the
/// messages, which are nobody else's business.
pub(super) async fn records(State(api): State<Arc<Api>>) -> Response {
    let mut all = api.machines.all().await;
    all.retain(|known| known.kind != crate::workloads::Kind::Microvm || known.is_running);
    all.sort_by_key(|known| std::cmp::Reverse(known.steps.defined_at));
    let mut rows = Vec::new();
    for known in all {
        let mut message = content(&api, &known).await;
        if let Some(variables) = message.get_mut("variables") {
            *variables = Value::Null;
        }
        rows.push(record(&known, message));
    }
    json::response(StatusCode::OK, &rows)
}

async fn content(api: &Api, known: &Known) -> Value {
    let described = api.contents.describe(&known.item_hash).await;
    let value = described.map(|described| match &described.content {
        Content::Program(program) => json!(program),
        Content::Instance(instance) => json!(instance),
        _ => Value::Null,
    });
    value.unwrap_or_default()
}

fn record(known: &Known, message: Value) -> Value {
    let steps = steps(&known.steps);
    json!({
        "vm_hash": known.item_hash,
        "time_defined": steps["defined_at"],
        "time_prepared": steps["prepared_at"],
        "time_started": steps["started_at"],
        "time_stopping": steps["stopping_at"],
        "vcpus": known.demand.vcpus,
        "memory": known.demand.memory_mib,
        "message": message,
        "original_message": message,
        "persistent": known.kind != crate::workloads::Kind::Microvm,
        "gpus": known.demand.gpus,
        "mapped_ports": known.networking.as_ref().map(|networking| &networking.mapped_ports),
    })
}

/// Processors, memory, disk, cards.
pub(super) async fn usage(State(api): State<Arc<Api>>) -> Response {
    let folder = api.config.folder.clone();
    let measured = tokio::task::spawn_blocking(move || system::measure(&folder)).await;
    let mut measured = measured.unwrap_or_default();
    let (room, known, used_mib) = api.room().await;
    let free = disk_available_mib(&room, &known, used_mib).saturating_mul(1 << 20);
    measured.disk_available_bytes = measured.disk_available_bytes.min(free);
    let free_cards = api.reservations.free(&room, &known, None);
    let usage = system::usage(&measured, &room.gpus, &free_cards);
    json::response(StatusCode::OK, &usage)
}

/// What the hardware is.
pub(super) async fn capability(State(api): State<Arc<Api>>) -> Response {
    let folder = api.config.folder.clone();
    let body = api.capability.get_or_init(|| async move {
        let measured = tokio::task::spawn_blocking(move || system::measure(&folder)).await;
        let measured = measured.unwrap_or_default();
        let memory = system::memory_kind(&measured).await;
        system::capability(&measured, &memory)
    });
    json::response(StatusCode::OK, body.await)
}

/// Certificates of confidential computing: the file that the operator exported
/// from the processor.
pub(super) async fn certificates(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    let unavailable = |text: &str| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text);
    if !api.config.enable_confidential {
        let text = "Confidential computing setting not enabled on that server";
        return Err(unavailable(text));
    }
    let path = api
        .config
        .folder
        .join("confidential/platform/certs_export.cert");
    let bytes = tokio::fs::read(&path).await.map_err(|error| {
        tracing::warn!("{}: {error}; export it with sevctl", path.display());
        unavailable("the certificates of this node's processor were not exported yet")
    })?;
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    let name = HeaderValue::from_static("attachment; filename=\"certs_export.cert\"");
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

/// All settings, under upstream's names; for who has the cookie.
pub(super) async fn config(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    has_cookie(&api, &headers)?;
    let settings = settings::all(&api.config, api.identity.node_hash());
    Ok(json::response(StatusCode::OK, &settings))
}
