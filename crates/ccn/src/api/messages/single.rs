//! One message: its status, all that is known of it, its content.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use beth_protocol::rejection::Code;
use beth_protocol::time::Timestamp;
use beth_protocol::{ItemHash, MessageType, Status};
use beth_store::confirmations::Confirmation;
use beth_store::rows::{PendingMessage, StoredMessage};
use http::StatusCode;
use serde_json::{Value, json};

use super::super::answer::{ApiError, ok};
use super::super::openapi::{messages as schemas, params as described, refusals};
use super::super::render;
use super::hash_in_path;
use crate::context::Context;

pub(super) fn status_body(hash: &str, status: Status, reception: Timestamp) -> Value {
    json!({"status": status, "item_hash": hash, "reception_time": reception.to_iso("Z")})
}

/// What became of a message.
#[utoipa::path(get, path = "/api/v0/messages/{item_hash}/status", operation_id = "showStatus",
    tag = "messages", params(described::HashPath),
    responses((status = 200, description = "Its status.", body = schemas::MessageStatus),
        refusals::BadHash, refusals::NotFound))]
pub(super) async fn status(
    State(context): State<Arc<Context>>,
    Path(hash): Path<String>,
) -> Result<Response, ApiError> {
    let hash = hash_in_path(&hash)?;
    let name = hash.to_string();
    let known = context.read(move |state| state.status(&name)).await?;
    let (status, reception) = known.ok_or_else(ApiError::not_found)?;
    Ok(ok(status_body(hash.as_str(), status, reception)).into_response())
}

/// Everything known of a message, whatever became of it.
#[utoipa::path(get, path = "/api/v0/messages/{item_hash}", operation_id = "showMessage",
    tag = "messages", params(described::HashPath),
    responses((status = 200, description = "What is known.", body = schemas::KnownMessage),
        refusals::BadHash, refusals::NotFound))]
pub(super) async fn one(
    State(context): State<Arc<Context>>,
    Path(hash): Path<String>,
) -> Result<Response, ApiError> {
    let hash = hash_in_path(&hash)?;
    let body = context
        .read(move |state| describe(state, hash.as_str()))
        .await?;
    body.map(|body| ok(body).into_response())
        .ok_or_else(ApiError::not_found)
}

/// Everything known of a hash (§3.4).
fn describe(state: &beth_store::State<'_>, hash: &str) -> Result<Option<Value>, beth_store::Error> {
    if let Some(stored) = state.stored_message(hash)? {
        return Ok(Some(describe_stored(state, &stored)?));
    }
    let Some((status, reception)) = state.status(hash)? else {
        return Ok(None);
    };
    let mut body = status_body(hash, status, reception);
    match status {
        Status::Pending => {
            let copies = state.pending_copies(hash)?;
            body["messages"] = copies.iter().map(pending_item).collect();
            if let Some(waits) = copies.iter().find_map(waits) {
                body["waits"] = waits;
            }
        }
        // They are stored.
        Status::Processed | Status::Removing => return Ok(None),
        Status::Forgotten => {
            let Some(row) = state.forgotten_message(hash)? else {
                return Ok(None);
            };
            // ISO: the one form every released client can read (§3.4).
            body["message"] = json!({
                "sender": row.sender, "chain": row.chain, "signature": row.signature, "type": row.message_type,
                "item_type": row.item_type, "item_hash": row.item_hash, "time": row.time.to_iso("Z"),
                "channel": row.channel, "owner": row.owner, "payment_type": row.payment_type, "size": row.size,
                "forgotten_at": row.forgotten_at.to_json(),
            });
            body["forgotten_by"] = row.forgotten_by.into();
        }
        Status::Rejected => {
            let Some(record) = state.rejection(hash)? else {
                return Ok(None);
            };
            body["message"] = rejected_item(&record.message);
            body["error_code"] = record.error_code.into();
            body["details"] = record.details;
            body["advice"] = advice(record.error_code);
        }
        Status::Removed => {
            let Some(row) = state.removed_message(hash)? else {
                return Ok(None);
            };
            body["message"] = json!({
                "sender": row.sender, "chain": row.chain, "signature": row.signature, "type": row.message_type,
                "item_type": row.item_type, "item_hash": row.item_hash, "time": row.time.to_json(),
                "channel": row.channel, "owner": row.owner, "payment_type": row.payment_type, "size": row.size,
                "removed_at": row.removed_at.to_json(),
            });
            body["reason"] = reason(&row.payment_type).into();
            body["removed_at"] = row.removed_at.to_json();
            body["size"] = row.size.into();
        }
    }
    Ok(Some(body))
}

/// Of a message in force.
fn describe_stored(
    state: &beth_store::State<'_>,
    stored: &StoredMessage,
) -> Result<Value, beth_store::Error> {
    let hash = stored.message.item_hash.as_str();
    let mut body = status_body(hash, stored.status, stored.reception_time);
    body["message"] = full(stored, &state.confirmations_of(hash)?);
    if stored.status == Status::Removing {
        let payment = stored.content["payment"]["type"].as_str();
        body["reason"] = reason(payment.unwrap_or("hold")).into();
    }
    Ok(body)
}

/// Why a message is being removed, or was.
fn reason(payment_type: &str) -> &'static str {
    if payment_type == "credit" {
        "credit_insufficient"
    } else {
        "balance_insufficient"
    }
}

fn full(stored: &StoredMessage, confirmations: &[Confirmation]) -> Value {
    match render::understand(stored) {
        Some(content) => render::typed(stored, Some(&content), confirmations),
        None => {
            let mut item = render::typed(stored, None, confirmations);
            item["content"] = stored.content.clone();
            item
        }
    }
}

fn pending_item(pending: &PendingMessage) -> Value {
    let raw = &pending.message;
    let time = Timestamp::from_json(&raw["time"]).unwrap_or_default();
    json!({
        "sender": raw["sender"], "chain": raw["chain"], "signature": raw["signature"], "type": raw["type"],
        "item_content": raw["item_content"], "item_type": item_type(raw), "item_hash": raw["item_hash"],
        "time": time.to_iso("Z"), "channel": raw["channel"], "content": inline_content(raw),
        "reception_time": pending.reception_time.to_iso("Z"),
    })
}

/// Why a message waits and until when: ours, upstream does not say.
fn waits(pending: &PendingMessage) -> Option<Value> {
    let (error_code, details) = pending.reason.as_ref()?;
    Some(json!({
        "error_code": error_code, "details": details, "advice": advice(*error_code),
        "retries": pending.retries, "next_attempt": pending.next_attempt.to_iso("Z"),
    }))
}

/// The sentence of a code: what happened and what to do.
fn advice(error_code: i32) -> Value {
    Code::from_number(error_code).map_or(Value::Null, |code| code.advice().into())
}

fn rejected_item(raw: &Value) -> Value {
    let time = Timestamp::from_json(&raw["time"]).ok();
    json!({
        "time": time.map_or(Value::Null, Timestamp::to_json), "type": raw["type"], "chain": raw["chain"],
        "origin": raw.get("origin").cloned().unwrap_or_else(|| "p2p".into()), "sender": raw["sender"],
        "channel": raw["channel"], "content": inline_content(raw), "item_hash": raw["item_hash"],
        "item_type": item_type(raw), "signature": raw["signature"], "item_content": raw["item_content"],
    })
}

/// The item type of an envelope as received, where it may be left out.
fn item_type(raw: &Value) -> Value {
    match &raw["item_type"] {
        Value::Null if raw["item_content"].is_string() => "inline".into(),
        Value::Null => match raw["item_hash"].as_str().map(ItemHash::parse) {
            Some(Ok(hash)) => beth_protocol::ItemType::from(hash.kind()).as_str().into(),
            _ => Value::Null,
        },
        written => written.clone(),
    }
}

fn inline_content(raw: &Value) -> Value {
    raw["item_content"]
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// Credits that a resource used up so far.
///
/// The path is not checked: whatever it names, it used so much.
#[utoipa::path(get, path = "/api/v0/messages/{item_hash}/consumed_credits",
    operation_id = "showConsumedCredits", tag = "accounts", params(described::AnyHashPath),
    responses((status = 200, description = "Credits.", body = schemas::ConsumedCredits)))]
pub(super) async fn consumed_credits(
    State(context): State<Arc<Context>>,
    Path(hash): Path<String>,
) -> Result<Response, ApiError> {
    let name = hash.clone();
    let consumed = context
        .read(move |state| state.consumed_credits(&name))
        .await?;
    let consumed = u64::try_from(consumed).unwrap_or(u64::MAX);
    Ok(ok(json!({"item_hash": hash, "consumed_credits": consumed})).into_response())
}

/// The content of a message in force; of a POST, what is posted.
#[utoipa::path(get, path = "/api/v0/messages/{item_hash}/content", operation_id = "showContent",
    tag = "messages", params(described::HashPath),
    responses((status = 200, description = "The content.", body = serde_json::Value),
        refusals::BadHash, refusals::NotFound, refusals::NotInForce))]
pub(super) async fn content(
    State(context): State<Arc<Context>>,
    Path(hash): Path<String>,
) -> Result<Response, ApiError> {
    let hash = hash_in_path(&hash)?;
    let name = hash.to_string();
    let found = context
        .read(move |state| Ok((state.status(&name)?, state.stored_message(&name)?)))
        .await?;
    match found {
        (None, _) => Err(ApiError::not_found()),
        (Some((Status::Processed, _)), Some(stored)) => {
            if stored.message.message_type == MessageType::Post {
                return Ok(ok(&stored.content["content"]).into_response());
            }
            let content = render::understand(&stored);
            let shown = content.map_or(stored.content.clone(), |content| {
                render::typed_content(&stored, &content)
            });
            Ok(ok(shown).into_response())
        }
        (Some((status, _)), _) => Err(ApiError::text(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!(
                "Message {hash} is not processed (status: MessageStatus.{})",
                status.as_str().to_uppercase()
            ),
        )),
    }
}
