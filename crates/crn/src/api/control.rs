//! `POST /control/allocations`: what the scheduler wants here (compute.md §8.1).
//!
//! Programs called on demand are prepared: fetched, compiled, made into images,
//! so that the first call need not wait. What this node cannot host is reported
//! as failing, with the reason.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use beth_protocol::ItemHash;
use bytes::Bytes;
use futures::StreamExt;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::auth::SignedRequest;
use super::error::ApiError;
use super::{Api, body, json};
use crate::limits;

/// The outcome of an allocation.
#[derive(Debug, Default, Serialize)]
struct Report {
    success: bool,
    successful: Vec<ItemHash>,
    failing: Vec<ItemHash>,
    stopped: Vec<ItemHash>,
    errors: Map<String, Value>,
}

/// The handler.
pub(super) async fn allocations(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = body::read(body).await?;
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    authenticate(&api, target, &parts.headers, &body)?;
    let body: Value = serde_json::from_slice(&body).map_err(|error| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            format!("Body is not valid JSON: {error}"),
        )
    })?;
    let wanted = match Wanted::parse(&body) {
        Ok(wanted) => wanted,
        Err(errors) => return Ok(json::response(StatusCode::BAD_REQUEST, &errors)),
    };
    let report = carry_out(&api, wanted).await;
    let status = match (report.successful.is_empty(), report.failing.is_empty()) {
        (_, true) => StatusCode::OK,
        (true, false) => StatusCode::SERVICE_UNAVAILABLE,
        (false, false) => StatusCode::MULTI_STATUS,
    };
    Ok(json::response(status, &report).into_response())
}

fn authenticate(
    api: &Api,
    target: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<(), ApiError> {
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    let request = SignedRequest {
        method: "POST",
        target,
        authorization: text(header::AUTHORIZATION.as_str()),
        token: text("x-auth-signature"),
        has_length: headers.contains_key(header::CONTENT_LENGTH),
        body,
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    if api
        .auth
        .accepts(&request, i64::try_from(now).unwrap_or_default())
    {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::UNAUTHORIZED,
        "Authentication token received is invalid",
    ))
}

/// What an allocation names, each list without duplicates.
#[derive(Debug, Default)]
struct Wanted {
    on_demand: BTreeSet<ItemHash>,
    persistent: BTreeSet<ItemHash>,
    instances: BTreeSet<ItemHash>,
}

impl Wanted {
    /// Reads a body; the faults have upstream's form (compute.md §3.5).
    fn parse(body: &Value) -> Result<Wanted, Vec<Value>> {
        let Value::Object(fields) = body else {
            return Err(vec![json!({
                "type": "model_type", "loc": [], "msg": "Input should be a JSON object", "input": body,
            })]);
        };
        let mut errors = Vec::new();
        let mut list = |name: &str| names(fields.get(name), name, &mut errors);
        let wanted = Wanted {
            on_demand: list("on_demand_vms"),
            persistent: list("persistent_vms"),
            instances: list("instances"),
        };
        if errors.is_empty() {
            Ok(wanted)
        } else {
            Err(errors)
        }
    }
}

fn names(list: Option<&Value>, name: &str, errors: &mut Vec<Value>) -> BTreeSet<ItemHash> {
    let items = match list {
        None | Some(Value::Null) => return BTreeSet::new(),
        Some(Value::Array(items)) if items.len() <= limits::ALLOCATION_NAMES_MAX => items,
        Some(other) => {
            errors.push(json!({"type": "set_type", "loc": [name], "msg": "Input should be a valid set", "input": other}));
            return BTreeSet::new();
        }
    };
    let mut hashes = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let parsed = item
            .as_str()
            .ok_or_else(|| "Input should be a valid string".to_owned());
        let parsed = parsed.and_then(|text| {
            ItemHash::parse(text).map_err(|error| format!("Value error, {error}"))
        });
        match parsed {
            Ok(hash) => drop(hashes.insert(hash)),
            Err(msg) => errors.push(
                json!({"type": "value_error", "loc": [name, index], "msg": msg, "input": item}),
            ),
        }
    }
    hashes
}

async fn carry_out(api: &Arc<Api>, wanted: Wanted) -> Report {
    let mut report = Report::default();
    let prepared = futures::stream::iter(wanted.on_demand).map(|item_hash| async move {
        let done = api
            .pool
            .prepare(&item_hash)
            .await
            .map_err(|fault| fault.to_string());
        (item_hash, done)
    });
    let mut outcomes: Vec<(ItemHash, Result<(), String>)> = prepared
        .buffer_unordered(limits::PREPARATIONS_MAX)
        .collect()
        .await;
    let refused = |what: &'static str| {
        move |item_hash| (item_hash, Err(format!("this node does not run {what} yet")))
    };
    outcomes.extend(
        wanted
            .persistent
            .into_iter()
            .map(refused("persistent programs")),
    );
    outcomes.extend(wanted.instances.into_iter().map(refused("instances")));
    for (item_hash, outcome) in outcomes {
        match outcome {
            Ok(()) => report.successful.push(item_hash),
            Err(sentence) => {
                report.errors.insert(item_hash.to_string(), sentence.into());
                report.failing.push(item_hash);
            }
        }
    }
    report.success = report.failing.is_empty();
    report
}
