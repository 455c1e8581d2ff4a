//! Submitting messages (core-api.md §4).

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use beth_protocol::json::{parse_written, read_written};
use beth_store::rows::Outcome;
use http::StatusCode;
use serde_json::{Value, json};
use utoipa_axum::routes;

use super::answer::{ApiError, Fault, Json};
use super::body;
use super::edge::{Client, Sender};
use super::openapi::{Routes, refusals, submission as schemas};
use crate::context::Context;
use crate::gossip::Publication;
use crate::limits::JSON_BODY_BYTES_MAX;
use crate::pipeline::{SubmitError, Submitted};

/// Routes that take signed messages.
pub fn routes() -> Routes {
    Routes::new()
        .with(routes!(submit))
        .with(routes!(publish))
        .also("/api/v0/p2p/pubsub/pub", routes!(publish))
}

/// How a submission is answered: at once, or when its outcome is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Mode {
    Async,
    Sync,
}

impl Mode {
    /// `sync` of a request body.
    pub fn of(sync: bool) -> Mode {
        if sync { Mode::Sync } else { Mode::Async }
    }
}

/// Hands a message to the pipeline.
pub async fn hand_in(
    context: &Context,
    message: Value,
    mode: Mode,
) -> Result<Submitted, SubmitError> {
    match mode {
        Mode::Sync => context.pipeline.submit(message).await,
        Mode::Async => context.pipeline.submit_async(message).await,
    }
}

/// The status and body of §4.1.
///
/// A message that no other node took is kept here, but not promised to the
/// network: 500, and sending it again publishes it again.
pub fn answer(submitted: &Submitted, mode: Mode) -> Json<Value> {
    if submitted.publication.is_total_failure() {
        let body = json!({
            "publication_status": publication(submitted), "message_status": null,
        });
        return Json(StatusCode::INTERNAL_SERVER_ERROR, body);
    }
    let (status, word) = match (mode, &submitted.outcome) {
        (Mode::Async, _) | (_, Outcome::Pending(_)) => (StatusCode::ACCEPTED, "pending"),
        (_, Outcome::Processed | Outcome::Known) => (StatusCode::OK, "processed"),
        (_, Outcome::Rejected(_) | Outcome::Final(_)) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "rejected")
        }
    };
    Json(
        status,
        json!({"publication_status": publication(submitted), "message_status": word}),
    )
}

fn publication(submitted: &Submitted) -> Value {
    let Publication { failed, .. } = &submitted.publication;
    json!({"status": submitted.publication.word(), "failed": failed})
}

/// Sends a signed message to the network.
///
/// With `sync` the answer waits for what becomes of the message, for 30 seconds.
#[utoipa::path(post, path = "/api/v0/messages", operation_id = "submitMessage", tag = "submission",
    request_body = schemas::Submission,
    responses((status = 200, description = "It is in force.", body = schemas::SubmissionStatus),
        (status = 202, description = "It waits, or was not waited for.", body = schemas::SubmissionStatus),
        refusals::BadSubmission))]
async fn submit(
    State(context): State<Arc<Context>>,
    Extension(client): Extension<Client>,
    body: Body,
) -> Result<Response, ApiError> {
    let bytes = body::read(body, JSON_BODY_BYTES_MAX).await?;
    let request = read_json(&bytes)?;
    let (message, sync) = read_request(&request)?;
    let sender = Sender::admit(&context, client, &message)?;
    let submitted = hand_in(&context, message, Mode::of(sync)).await?;
    sender.charge(&submitted.outcome);
    Ok(answer(&submitted, Mode::of(sync)).into_response())
}

/// A body may carry a content as deep as any node lets in.
fn read_json(bytes: &[u8]) -> Result<Value, ApiError> {
    read_written(bytes).map_err(|_| ApiError::standard(StatusCode::UNPROCESSABLE_ENTITY))
}

/// `{"message": object, "sync": bool = false}`.
fn read_request(request: &Value) -> Result<(Value, bool), ApiError> {
    let Some(members) = request.as_object() else {
        let text = "Input should be a valid dictionary or instance of PubMessageRequest";
        let fault = Fault::new("model_type", Vec::new(), text, request.clone())
            .with("class_name", "PubMessageRequest");
        return Err(ApiError::faults(&[fault]));
    };
    let mut faults = Vec::new();
    let sync = match members.get("sync") {
        None => false,
        Some(value) => boolean(value).unwrap_or_else(|| {
            let text = "Input should be a valid boolean, unable to interpret input";
            faults.push(Fault::new(
                "bool_parsing",
                vec!["sync".into()],
                text,
                value.clone(),
            ));
            false
        }),
    };
    let message = match members.get("message") {
        Some(message @ Value::Object(_)) => message.clone(),
        Some(other) => {
            let text = "Input should be a valid dictionary";
            faults.push(Fault::new(
                "dict_type",
                vec!["message".into()],
                text,
                other.clone(),
            ));
            Value::Null
        }
        None => {
            faults.push(Fault::missing(vec!["message".into()], request.clone()));
            Value::Null
        }
    };
    if faults.is_empty() {
        Ok((message, sync))
    } else {
        Err(ApiError::faults(&faults))
    }
}

/// A boolean as lenient as that of query parameters.
pub fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => match number.as_f64() {
            Some(1.0) => Some(true),
            Some(0.0) => Some(false),
            _ => None,
        },
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "y" | "on" | "t" => Some(true),
            "false" | "0" | "no" | "n" | "off" | "f" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// Sends a signed message to the network, as older clients do.
///
/// `data` is the JSON text of a message. An object is taken too, as one client
/// falls back to it.
#[utoipa::path(post, path = "/api/v0/ipfs/pubsub/pub", operation_id = "publishMessage", tag = "submission",
    request_body = schemas::Publication,
    responses((status = 200, description = "It is sent.", body = schemas::PublicationStatus),
        refusals::WrongTopic, refusals::BadBody))]
async fn publish(
    State(context): State<Arc<Context>>,
    Extension(client): Extension<Client>,
    body: Body,
) -> Result<Response, ApiError> {
    let unprocessable = |text: &str| ApiError::reason(StatusCode::UNPROCESSABLE_ENTITY, text);
    let bytes = body::read(body, JSON_BODY_BYTES_MAX).await?;
    let request = read_json(&bytes)?;
    let topic = &context.config.p2p.message_topic;
    let named = request["topic"].as_str();
    if named != Some(topic.as_str()) {
        let named = named.unwrap_or("None");
        return Err(ApiError::reason(
            StatusCode::FORBIDDEN,
            format!("Unauthorized P2P topic: {named}. Use {topic}."),
        ));
    }
    let message = match &request["data"] {
        Value::String(text) => parse_written(text)
            .map_err(|_| unprocessable("'data': must be deserializable as JSON."))?,
        object @ Value::Object(_) => object.clone(),
        _ => return Err(unprocessable("'data': expected a serialized JSON string.")),
    };
    let sender = Sender::admit(&context, client, &message)?;
    let submitted = context.pipeline.submit_async(message).await?;
    sender.charge(&submitted.outcome);
    let status = match submitted.publication.is_total_failure() {
        true => StatusCode::INTERNAL_SERVER_ERROR,
        false => StatusCode::OK,
    };
    Ok(Json(status, publication(&submitted)).into_response())
}
