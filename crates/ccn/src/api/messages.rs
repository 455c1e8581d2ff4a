//! Reading messages (core-api.md §3).

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use beth_protocol::rejection::Code;
use beth_protocol::time::Timestamp;
use beth_protocol::{Chain, ItemHash, MessageType, Status};
use beth_store::confirmations::Confirmation;
use beth_store::query::Place;
use beth_store::query::forgotten::ForgottenMessage;
use beth_store::query::messages::MessageFilter;
use beth_store::query::removed::RemovedMessage;
use beth_store::rows::{PendingMessage, StoredMessage};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::{ApiError, ok};
use super::cursor::{Paging, page_in_path};
use super::params::{Bounds, Params};
use super::render::{self, ContentFormat};
use crate::context::Context;

/// Rows of a page when the client does not say.
const PAGE: Bounds = Bounds::from(0, 20);

/// Routes under `/api/v0/messages`.
pub fn routes() -> Router<Arc<Context>> {
    Router::new()
        .route("/api/v0/messages.json", get(list))
        .route("/api/v0/messages/page/{page}", get(list_page))
        .route("/api/v0/messages/hashes", get(hashes))
        .route("/api/v0/messages/{item_hash}", get(one))
        .route("/api/v0/messages/{item_hash}/status", get(status))
        .route("/api/v0/messages/{item_hash}/content", get(content))
        .route(
            "/api/v0/messages/{item_hash}/consumed_credits",
            get(consumed_credits),
        )
}

/// The filter of a list of messages or of a stream, and how to show it.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Which messages.
    pub filter: MessageFilter,
    /// How much of them.
    pub format: ContentFormat,
    /// Only confirmed messages can match (`endBlock`). The list does not look
    /// at heights yet, so it is empty then.
    only_confirmed: bool,
    by_confirmation: bool,
}

impl Listing {
    /// Reads all filters of §3.1.
    pub fn read(params: &mut Params) -> Listing {
        let chains: Vec<(&str, String)> = Chain::ALL
            .iter()
            .map(|c| (c.as_str(), c.as_str().to_owned()))
            .collect();
        let by_confirmation = params.choice(
            &["sortBy", "sort_by"],
            &[("time", false), ("tx-time", true)],
        );
        let order = params.order();
        let filter = MessageFilter {
            types: types(params),
            statuses: params.choices(&["msgStatuses", "message_statuses"], &STATUSES),
            senders: params.list(&["addresses"]),
            owners: params.list(&["owners"]),
            refs: params.list(&["refs"]),
            content_hashes: params.hashes(&["contentHashes", "content_hashes"]),
            content_keys: params.list(&["contentKeys", "content_keys"]),
            content_types: params.list(&["contentTypes", "content_types"]),
            chains: params.choices(&["chains"], &chains),
            channels: params.list(&["channels"]),
            tags: params.list(&["tags"]),
            hashes: params.hashes(&["hashes"]),
            payment_types: params.list(&["paymentTypes", "payment_types"]),
            span: params.checked_span(),
            order,
        };
        let start_block = params.integer(&["startBlock", "start_block"], Bounds::from(0, 0));
        let end_block = params.integer(&["endBlock", "end_block"], Bounds::from(0, 0));
        if end_block > 0 && end_block < start_block {
            params.refuse("end block cannot be lower than start block.");
        }
        let format = params.choice(&["contentFormat", "content_format"], &ContentFormat::WORDS);
        let exclude = params.flag(&["excludeContent", "exclude_content"]);
        let fallback = if exclude {
            ContentFormat::None
        } else {
            ContentFormat::Full
        };
        Listing {
            filter,
            format: format.unwrap_or(fallback),
            only_confirmed: end_block > 0,
            by_confirmation: by_confirmation.unwrap_or(false) || start_block > 0 || end_block > 0,
        }
    }

    /// True when nothing is shown, see `only_confirmed`.
    pub fn is_empty(&self) -> bool {
        self.only_confirmed
    }
}

const STATUSES: [(&str, Status); 6] = [
    ("pending", Status::Pending),
    ("processed", Status::Processed),
    ("rejected", Status::Rejected),
    ("forgotten", Status::Forgotten),
    ("removing", Status::Removing),
    ("removed", Status::Removed),
];

/// `msgType` and `msgTypes`, which must both hold.
fn types(params: &mut Params) -> Option<Vec<String>> {
    let words: Vec<(&str, String)> = MessageType::ALL
        .iter()
        .map(|t| (t.as_str(), t.as_str().to_owned()))
        .collect();
    let single = params.choice(&["msgType", "message_type"], &words);
    let several = params.choices(&["msgTypes", "message_types"], &words);
    match (single, several) {
        (Some(single), Some(several)) => {
            Some(several.into_iter().filter(|word| *word == single).collect())
        }
        (Some(single), None) => Some(vec![single]),
        (None, several) => several,
    }
}

async fn list(context: State<Arc<Context>>, params: Params) -> Result<Response, ApiError> {
    answer_list(context, params, None).await
}

async fn list_page(
    context: State<Arc<Context>>,
    Path(file): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let number = page_in_path(&file)?;
    answer_list(context, params, Some(number)).await
}

async fn answer_list(
    State(context): State<Arc<Context>>,
    mut params: Params,
    path: Option<u64>,
) -> Result<Response, ApiError> {
    let listing = Listing::read(&mut params);
    let paging = Paging::read(&mut params, PAGE, path);
    if listing.by_confirmation && paging.has_place() {
        params.refuse("Cursor pagination is not supported with tx-time sort order.");
    }
    params.finish()?;
    let statuses = listing.filter.statuses.clone().unwrap_or_default();
    if statuses.contains(&Status::Forgotten) || statuses.contains(&Status::Removed) {
        return list_final(&context, &params, listing, paging).await;
    }
    let window = paging.window::<Place>()?;
    let Listing {
        filter,
        format,
        only_confirmed,
        ..
    } = listing;
    let (items, total, next) = context
        .read(move |state| {
            if only_confirmed {
                return Ok((Vec::new(), 0, None));
            }
            let page = state.messages(&filter, &window)?;
            let items = page.rows.iter().map(|row| {
                let confirmations = state.confirmations_of(row.message.item_hash.as_str())?;
                Ok(render::listed(row, format, &confirmations))
            });
            let items = items.collect::<Result<Vec<_>, beth_store::Error>>()?;
            Ok((items, page.total, page.next))
        })
        .await?;
    Ok(listing_body(items, &paging, total, next.as_ref()))
}

fn listing_body(items: Vec<Value>, paging: &Paging, total: u64, next: Option<&Place>) -> Response {
    let mut body = Map::new();
    body.insert("messages".into(), Value::Array(items));
    body.extend(paging.members("messages", total, next));
    ok(Value::Object(body)).into_response()
}

/// §3.2: forgotten or removed messages.
async fn list_final(
    context: &Context,
    params: &Params,
    listing: Listing,
    paging: Paging,
) -> Result<Response, ApiError> {
    let bad = |text: String| ApiError::text(StatusCode::BAD_REQUEST, text);
    let statuses = listing.filter.statuses.clone().unwrap_or_default();
    let [status] = statuses.as_slice() else {
        return Err(bad(
            "msgStatuses=forgotten/removed cannot be combined with other statuses".into(),
        ));
    };
    if matches!(paging, Paging::Cursor { .. }) {
        return Err(bad(format!(
            "Cursor pagination is not supported for {status} message queries"
        )));
    }
    let unsupported: Vec<&str> = UNSUPPORTED
        .iter()
        .filter(|names| {
            params
                .text(names)
                .is_some_and(|text| text != "0" || !names[0].ends_with("Block"))
        })
        .map(|names| names[0])
        .collect();
    if !unsupported.is_empty() {
        return Err(bad(format!(
            "Filters not supported for {status} message queries: {}",
            unsupported.join(", ")
        )));
    }
    let window = paging.window::<Place>()?;
    if *status == Status::Removed {
        let page = context
            .read(move |state| state.removed_messages(&listing.filter, &window))
            .await?;
        let items = page.rows.iter().map(removed_item).collect();
        return Ok(listing_body(items, &paging, page.total, None));
    }
    let page = context
        .read(move |state| state.forgotten_messages(&listing.filter, &window))
        .await?;
    let items = page.rows.iter().map(forgotten_item).collect();
    Ok(listing_body(items, &paging, page.total, None))
}

/// Filters on what is gone with the content, in the order of the error text.
const UNSUPPORTED: [&[&str]; 7] = [
    &["refs"],
    &["contentTypes", "content_types"],
    &["contentHashes", "content_hashes"],
    &["contentKeys", "content_keys"],
    &["tags"],
    &["startBlock", "start_block"],
    &["endBlock", "end_block"],
];

fn forgotten_item(row: &ForgottenMessage) -> Value {
    json!({
        "chain": row.chain, "channel": row.channel, "forgotten_at": row.forgotten_at.to_json(),
        "forgotten_by": row.forgotten_by, "item_hash": row.item_hash, "item_type": row.item_type,
        "owner": row.owner, "payment_type": row.payment_type, "sender": row.sender,
        "signature": row.signature, "size": row.size, "status": "forgotten",
        "time": row.time.to_json(), "type": row.message_type,
    })
}

fn removed_item(row: &RemovedMessage) -> Value {
    json!({
        "chain": row.chain, "channel": row.channel, "item_hash": row.item_hash, "item_type": row.item_type,
        "owner": row.owner, "payment_type": row.payment_type, "removed_at": row.removed_at.to_json(),
        "sender": row.sender, "signature": row.signature, "size": row.size, "status": "removed",
        "time": row.time.to_json(), "type": row.message_type,
    })
}

async fn hashes(
    State(context): State<Arc<Context>>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let status = params.choice(&["status"], &STATUSES);
    let span = params.checked_span();
    let order = params.order();
    let size = params.integer(&["pagination"], PAGE);
    let number = params.integer(&["page"], Bounds::from(1, 1));
    let only_hashes = params.text(&["hash_only", "hashOnly"]).is_none()
        || params.flag(&["hash_only", "hashOnly"]);
    params.finish()?;
    let paging = Paging::Page { number, size };
    let window = paging.window::<Place>()?;
    let page = context
        .read(move |state| state.message_hashes(status, span, order, &window))
        .await?;
    let items = page.rows.into_iter().map(|(hash, status, at)| {
        if only_hashes {
            Value::String(hash)
        } else {
            status_body(&hash, status, at)
        }
    });
    let mut body = Map::new();
    body.insert("hashes".into(), items.collect());
    body.extend(paging.members::<Place>("hashes", page.total, None));
    Ok(ok(Value::Object(body)).into_response())
}

/// Reads an item hash of a path.
pub fn hash_in_path(text: &str) -> Result<ItemHash, ApiError> {
    ItemHash::parse(text).map_err(|_| {
        ApiError::text(
            StatusCode::BAD_REQUEST,
            format!("Invalid message hash: {text}"),
        )
    })
}

fn status_body(hash: &str, status: Status, reception: Timestamp) -> Value {
    json!({"status": status, "item_hash": hash, "reception_time": reception.to_iso("Z")})
}

async fn status(
    State(context): State<Arc<Context>>,
    Path(hash): Path<String>,
) -> Result<Response, ApiError> {
    let hash = hash_in_path(&hash)?;
    let name = hash.to_string();
    let known = context.read(move |state| state.status(&name)).await?;
    let (status, reception) = known.ok_or_else(ApiError::not_found)?;
    Ok(ok(status_body(hash.as_str(), status, reception)).into_response())
}

async fn one(
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
        Status::Processed | Status::Removing => {
            let Some(stored) = state.stored_message(hash)? else {
                return Ok(None);
            };
            body["message"] = full(&stored, &state.confirmations_of(hash)?);
            if status == Status::Removing {
                let payment = stored.content["payment"]["type"].as_str();
                body["reason"] = reason(payment.unwrap_or("hold")).into();
            }
        }
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

/// The path is not checked: whatever it names, it used so much (§3.7).
async fn consumed_credits(
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

async fn content(
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
