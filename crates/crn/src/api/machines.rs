//! What owners do to their machines (compute.md §7).
//!
//! ```text
//!  request ─▶ admit (signatures) ─▶ once (POST, DELETE) ─▶ handler
//!                                                            │ {ref}: 400 ─▶ known: 404 ─▶ allowed: 403
//!                                                            ▼
//!                                                        Workloads
//! ```
//!
//! Operations that change something run in tasks of the node: they end even
//! when the client leaves, and whoever sends one again gets its first answer.

mod backup;
mod confidential;
mod expiry;
mod follow;
mod logs;
mod restore;
mod update;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use beth_protocol::ItemHash;
use beth_protocol::time::Timestamp;
use futures::FutureExt;
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;

use super::error::ApiError;
use super::{Api, call, cors, now};
use crate::limits;
use crate::operator::{Asked, Operator, Replayed};
use crate::workloads::{Before, Known, Volumes, Workloads};

pub(super) use expiry::Expiries;
pub(super) use restore::Restores;
pub(super) use update::misnamed;

/// The routes below `/control/machine`.
pub(super) fn router(api: &Arc<Api>) -> Router<Arc<Api>> {
    let signed = Router::new()
        .route(
            "/control/machine/{ref}/logs",
            get(logs::past).options(cors::preflight),
        )
        .route("/control/machine/{ref}/start", changing(start))
        .route("/control/machine/{ref}/expire", changing(expiry::expire))
        .route("/control/machine/{ref}/stop", changing(stop))
        .route("/control/machine/{ref}/erase", changing(erase))
        .route("/control/machine/{ref}/reboot", changing(reboot))
        .route("/control/machine/{ref}/reinstall", changing(reinstall))
        .route(
            "/control/machine/{ref}/backup",
            changing(backup::begin).get(backup::step),
        )
        .route("/control/machine/{ref}/restore", changing(restore::restore))
        .route(
            "/control/machine/{ref}/confidential/initialize",
            changing(confidential::initialize),
        )
        .route(
            "/control/machine/{ref}/confidential/measurement",
            get(confidential::measurement).options(cors::preflight),
        )
        .route(
            "/control/machine/{ref}/confidential/inject_secret",
            changing(confidential::inject_secret),
        )
        .route(
            "/control/reserve_resources",
            changing(super::reserve::reserve),
        )
        .route_layer(middleware::from_fn_with_state(api.clone(), admit));
    let presigned = backup::router(api);
    Router::new()
        .merge(signed)
        .merge(presigned)
        .route("/control/machine/{ref}/update", changing(update::update))
        .route(
            "/control/machine/{ref}/stream_logs",
            get(follow::stream).options(cors::preflight),
        )
        .route_layer(middleware::from_fn(cors::allow_all))
}

/// A route that changes something and that any origin may ask for.
fn changing<H, T>(handler: H) -> axum::routing::MethodRouter<Arc<Api>>
where
    H: axum::handler::Handler<T, Arc<Api>>,
    T: 'static,
{
    post(handler).options(cors::preflight)
}

/// Lets through whose signatures are right; the handler learns who it is.
pub(super) async fn admit(
    State(api): State<Arc<Api>>,
    mut request: Request,
    next: Next,
) -> Response {
    if request.method() == Method::OPTIONS {
        return next.run(request).await;
    }
    let path = call::decode_path(request.uri().path());
    let asked = Asked {
        method: request.method().as_str(),
        path: &path,
    };
    let headers = request.headers();
    let text = |name: &str| Some(headers.get(name)?.to_str().unwrap_or_default());
    let (statement, operation) = (text("x-signedpubkey"), text("x-signedoperation"));
    let operator = match api.door.admit(statement, operation, asked, now()) {
        Ok(operator) => operator,
        Err(refusal) => return ApiError::from(refusal).into_response(),
    };
    request.extensions_mut().insert(operator.clone());
    if request.method() == Method::GET {
        return next.run(request).await;
    }
    once(&api, &operator, request, next).await
}

/// Runs an operation, or tells what became of it the first time.
async fn once(api: &Arc<Api>, operator: &Operator, request: Request, next: Next) -> Response {
    let work = || {
        let task = api
            .tasks
            .spawn(async move { replayable(next.run(request).await).await });
        async move { task.await.unwrap_or_else(|_| failed()) }.boxed()
    };
    let Some(answer) = api.replays.answer(operator.operation, work) else {
        let text = "this node carries out as many operations as it can; try again in a few minutes";
        return ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let answer = answer.await;
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or_default();
    let content_type = answer
        .content_type
        .map(|value| HeaderValue::from_bytes(&value));
    if let Some(Ok(value)) = content_type {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

/// Operations have short answers; this one is kept.
async fn replayable(response: Response) -> Replayed {
    let (parts, body) = response.into_parts();
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let body = Limited::new(body, limits::REQUEST_BODY_BYTES_MAX)
        .collect()
        .await;
    match body {
        Ok(body) => Replayed {
            status: parts.status.as_u16(),
            content_type: content_type.map(|value| value.as_bytes().to_vec()),
            body: body.to_bytes(),
        },
        Err(_) => failed(),
    }
}

fn failed() -> Replayed {
    Replayed {
        status: 500,
        content_type: Some(b"application/json; charset=utf-8".to_vec()),
        body: r#"{"error": "the operation broke off; look at the node's log"}"#.into(),
    }
}

/// A machine that its operator may operate, and who runs it.
pub(super) type Target = (Known, Arc<dyn Workloads>);

/// The item hash in a path.
pub(super) fn parse(reference: &str) -> Result<ItemHash, ApiError> {
    ItemHash::parse(reference).map_err(|_| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            format!("Invalid ref: '{reference}'"),
        )
    })
}

/// Finds the machine and asks whether the operator may operate it.
pub(super) async fn target(
    api: &Api,
    reference: &str,
    operator: &Operator,
) -> Result<Target, ApiError> {
    let item_hash = parse(reference)?;
    let Some((known, workloads)) = api.machines.find(&item_hash).await else {
        let text = format!("No virtual machine with ref {item_hash}");
        return Err(ApiError::new(StatusCode::NOT_FOUND, text));
    };
    allowed(api, operator, &known.owner).await?;
    Ok((known, workloads.clone()))
}

/// 403 for who may not operate the machines of that owner.
pub(super) async fn allowed(api: &Api, operator: &Operator, owner: &str) -> Result<(), ApiError> {
    if api.door.may_act(&operator.address, owner).await {
        return Ok(());
    }
    Err(ApiError::plain(
        StatusCode::FORBIDDEN,
        "Unauthorized sender",
    ))
}

/// `YYYY-MM-DD HH:MM:SS.ffffff` plus a zone, as Python writes times.
pub(super) fn python_time(time: Timestamp, zone: &str) -> String {
    time.to_iso(zone).replacen('T', " ", 1)
}

async fn start(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    Extension(operator): Extension<Operator>,
) -> Result<String, ApiError> {
    let (known, workloads) = target(&api, &reference, &operator).await?;
    api.expiries.forget(&known.item_hash);
    workloads.start(&known.item_hash).await?;
    Ok(format!("Started VM with ref {}", known.item_hash))
}

async fn stop(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    Extension(operator): Extension<Operator>,
) -> Result<String, ApiError> {
    let (known, workloads) = target(&api, &reference, &operator).await?;
    api.expiries.forget(&known.item_hash);
    Ok(match workloads.stop(&known.item_hash).await? {
        Before::Running => format!("Stopped VM with ref {}", known.item_hash),
        Before::Stopped => "Already stopped, nothing to do".to_owned(),
    })
}

async fn erase(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    Extension(operator): Extension<Operator>,
) -> Result<String, ApiError> {
    let (known, workloads) = target(&api, &reference, &operator).await?;
    api.expiries.forget(&known.item_hash);
    workloads.erase(&known.item_hash).await?;
    Ok(format!("Erased VM with ref {}", known.item_hash))
}

async fn reboot(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    Extension(operator): Extension<Operator>,
) -> Result<String, ApiError> {
    let (known, workloads) = target(&api, &reference, &operator).await?;
    Ok(match workloads.reboot(&known.item_hash).await? {
        Before::Running => format!("Rebooted VM with ref {}", known.item_hash),
        Before::Stopped => format!("Starting VM (was not running) with ref {}", known.item_hash),
    })
}

#[derive(Deserialize)]
struct Reinstall {
    erase_volumes: Option<String>,
}

async fn reinstall(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    Query(query): Query<Reinstall>,
    Extension(operator): Extension<Operator>,
) -> Result<String, ApiError> {
    let (known, workloads) = target(&api, &reference, &operator).await?;
    let volumes = match query.erase_volumes.as_deref() {
        Some("false") => Volumes::Keep,
        _ => Volumes::Erase,
    };
    workloads.reinstall(&known.item_hash, volumes).await?;
    Ok(format!("Reinstalled VM with ref {}", known.item_hash))
}
