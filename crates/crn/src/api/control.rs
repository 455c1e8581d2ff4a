//! `POST /control/allocations`: what the scheduler wants here (compute.md §8.1).
//!
//! Programs called on demand are prepared: fetched, compiled, made into images,
//! so that the first call need not wait; persistent programs and instances run
//! until they are not named any more. What this node cannot host is reported as
//! failing, with the reason.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use beth_protocol::content::payment::PaymentType;
use beth_protocol::{Content, ItemHash};
use bytes::Bytes;
use futures::StreamExt;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::auth::SignedRequest;
use super::error::ApiError;
use super::{Api, body, json, now};
use crate::limits;
use crate::workloads::Kind;

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
    let body = authentic(&api, request).await?;
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
    let tasks = api.tasks.clone();
    // Goes on when the scheduler does not wait that long.
    let report = tasks.spawn(async move { carry_out(&api, wanted).await });
    let report = report.await.map_err(|_| {
        let text = "the allocation broke off; look at the node's log";
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    })?;
    let status = match (report.successful.is_empty(), report.failing.is_empty()) {
        (_, true) => StatusCode::OK,
        (true, false) => StatusCode::SERVICE_UNAVAILABLE,
        (false, false) => StatusCode::MULTI_STATUS,
    };
    Ok(json::response(status, &report).into_response())
}

/// The body of a request that the scheduler sent; 401 for anybody else's.
pub(super) async fn authentic(api: &Api, request: Request) -> Result<Bytes, ApiError> {
    let (parts, body) = request.into_parts();
    let body = body::read(body).await?;
    let target = parts.uri.path_and_query();
    let text = |name: &str| {
        let value = parts.headers.get(name);
        value.map(|value| value.to_str().unwrap_or_default())
    };
    let request = SignedRequest {
        method: parts.method.as_str(),
        target: target.map_or("/", |target| target.as_str()),
        authorization: text(header::AUTHORIZATION.as_str()),
        token: text("x-auth-signature"),
        has_length: parts.headers.contains_key(header::CONTENT_LENGTH),
        body: &body,
    };
    let published = match request.authorization.is_some() && api.auth.asks_network() {
        true => api.settings.read().await.unwrap_or_default(),
        false => Arc::default(),
    };
    let seconds = now().micros().div_euclid(1_000_000);
    let signers = &published.authorized_allocation_signers;
    if api.auth.accepts(&request, signers, seconds) {
        return Ok(body);
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

/// The push is total: what runs here by allocation and is not named any more
/// ends, then what is named begins.
async fn carry_out(api: &Arc<Api>, wanted: Wanted) -> Report {
    let _one_at_a_time = api.allocating.lock().await;
    let mut report = Report {
        stopped: release(api, &wanted).await,
        ..Report::default()
    };
    let prepared = futures::stream::iter(wanted.on_demand).map(|item_hash| async move {
        let done = api.pool.prepare(&item_hash).await;
        (item_hash, done.map_err(|fault| fault.to_string()))
    });
    let mut outcomes: Vec<(ItemHash, Result<(), String>)> = prepared
        .buffer_unordered(limits::PREPARATIONS_MAX)
        .collect()
        .await;
    let begun = wanted
        .persistent
        .into_iter()
        .map(|item_hash| (item_hash, Kind::PersistentProgram));
    let begun = begun.chain(
        wanted
            .instances
            .into_iter()
            .map(|item_hash| (item_hash, Kind::Instance)),
    );
    let begun = futures::stream::iter(begun).map(|(item_hash, kind)| async move {
        let done = begin(api, &item_hash, kind).await;
        (item_hash, done)
    });
    let begun: Vec<_> = begun
        .buffer_unordered(limits::PREPARATIONS_MAX)
        .collect()
        .await;
    outcomes.extend(begun);
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

/// Ends what the scheduler placed here and does not name any more. What is paid
/// second by second, hidden from us or has cards is its owner's affair.
async fn release(api: &Api, wanted: &Wanted) -> Vec<ItemHash> {
    let mut stopped = Vec::new();
    for known in api.machines.all().await {
        let is_named = wanted.persistent.contains(&known.item_hash)
            || wanted.instances.contains(&known.item_hash);
        let payment = known.payment.as_ref().map(|payment| payment.payment_type);
        let is_placed = matches!(payment, None | Some(PaymentType::Hold))
            && known.demand.gpus.is_empty()
            && !known.is_confidential
            && known.kind != Kind::Microvm;
        if is_named || !is_placed || !known.is_running {
            continue;
        }
        let Some((known, workloads)) = api.machines.find(&known.item_hash).await else {
            continue;
        };
        match workloads.forget(&known.item_hash).await {
            Ok(()) => stopped.push(known.item_hash),
            Err(fault) => tracing::warn!("{} is not released: {fault}", known.item_hash),
        }
    }
    stopped
}

async fn begin(api: &Api, item_hash: &ItemHash, kind: Kind) -> Result<(), String> {
    let described = api.contents.describe(item_hash).await;
    let described = described.map_err(|fault| fault.to_string())?;
    let workloads = match (kind, &described.content) {
        (Kind::Instance, Content::Instance(instance)) => {
            api.can_host(instance).map_err(|lack| lack.to_string())?;
            let instances = api.machines.instances();
            instances.ok_or("this node does not run instances")?
        }
        (Kind::PersistentProgram, Content::Program(_)) => api.machines.programs(),
        _ => return Err(format!("{item_hash} is a message of another type")),
    };
    let fits = api.fits(&described, kind).await;
    fits.map_err(|lack| lack.to_string())?;
    let begun = workloads.start(item_hash).await;
    begun.map_err(|fault| fault.to_string())
}
