//! The conversation between an owner and a confidential machine
//! (compute.md §7.8, §19).
//!
//! The node carries messages that it cannot read: a session for the processor,
//! the processor's measurement, a secret under the session's key.

use std::sync::Arc;

use axum::extract::{Extension, FromRequest, Multipart, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::error::ApiError;
use super::super::{Api, body, json, validation};
use super::target;
use crate::operator::Operator;
use crate::workloads::Session;

/// A refusal with a code for clients.
fn coded(code: &str, description: &str) -> Response {
    let body = json!({"code": code, "description": description});
    json::response(StatusCode::BAD_REQUEST, &body)
}

/// `POST …/confidential/initialize`.
pub(super) async fn initialize(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    Extension(operator): Extension<Operator>,
    request: Request,
) -> Result<Response, ApiError> {
    let (known, workloads) = target(&api, &reference, &operator).await?;
    if known.is_running {
        let text = "Operation not allowed, instance already running";
        return Ok(coded("vm_running", text));
    }
    if !known.is_confidential {
        let text = "Instance is not a confidential instance";
        return Ok(coded("not_confidential", text));
    }
    let (session, godh) = files(request).await?;
    let Some(session) = session else {
        return Ok(coded("field_missing", "Session field is missing"));
    };
    let Some(godh) = godh else {
        let text = "godh field is missing. Please provide a GODH file";
        return Ok(coded("field_missing", text));
    };
    workloads
        .initialize(&known.item_hash, Session { session, godh })
        .await?;
    Ok(format!("Started VM with ref {}", known.item_hash).into_response())
}

/// The two files; a part without a file name is none.
async fn files(request: Request) -> Result<(Option<Vec<u8>>, Option<Vec<u8>>), ApiError> {
    let bad = |text: String| ApiError::new(StatusCode::BAD_REQUEST, text);
    let is_form = request
        .headers()
        .get("content-type")
        .is_some_and(|value| value.as_bytes().starts_with(b"multipart/"));
    if !is_form {
        return Ok((None, None));
    }
    let (parts, body) = request.into_parts();
    let bytes = body::read(body).await?;
    let request = Request::from_parts(parts, bytes.into());
    let parts = Multipart::from_request(request, &()).await;
    let mut parts = parts.map_err(|rejection| bad(rejection.body_text()))?;
    let (mut session, mut godh) = (None, None);
    loop {
        let field = parts.next_field().await;
        let Some(field) = field.map_err(|error| bad(error.body_text()))? else {
            return Ok((session, godh));
        };
        let place = match (field.name(), field.file_name()) {
            (Some("session"), Some(_)) => &mut session,
            (Some("godh"), Some(_)) => &mut godh,
            _ => continue,
        };
        let bytes = field.bytes().await;
        *place = Some(bytes.map_err(|error| bad(error.body_text()))?.to_vec());
    }
}

/// `GET …/confidential/measurement`.
pub(super) async fn measurement(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    Extension(operator): Extension<Operator>,
) -> Result<Response, ApiError> {
    let (known, workloads) = target(&api, &reference, &operator).await?;
    if !known.is_running {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "Operation not running",
        ));
    }
    let measured = workloads.measurement(&known.item_hash).await?;
    Ok(json::response(StatusCode::OK, &measured))
}

#[derive(Deserialize)]
struct Secret {
    packet_header: String,
    secret: String,
}

/// `POST …/confidential/inject_secret`; the body is read before the machine is
/// looked up.
pub(super) async fn inject_secret(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    Extension(operator): Extension<Operator>,
    request: Request,
) -> Result<Response, ApiError> {
    let bytes = body::read(request.into_body()).await?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "Body is not valid JSON"))?;
    let missing = ["packet_header", "secret"].into_iter();
    let missing: Vec<Value> = missing
        .filter(|name| !value.get(name).is_some_and(Value::is_string))
        .map(|name| validation::missing(name, &value))
        .collect();
    let Ok(secret) = serde_json::from_value::<Secret>(value) else {
        return Ok(validation::response(&missing));
    };
    let (known, workloads) = target(&api, &reference, &operator).await?;
    let done = workloads.inject_secret(&known.item_hash, secret.packet_header, secret.secret);
    let body = json!({"status": done.await?});
    Ok(json::response(StatusCode::OK, &body))
}
