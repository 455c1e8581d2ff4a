//! What an address has and did (core-api.md §7.1, §7.3, §7.6, §7.7).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use beth_protocol::Chain;
use beth_protocol::content::PaymentType;
use beth_protocol::decimal::Decimal;
use beth_protocol::view::View;
use beth_store::Error;
use beth_store::query::Place;
use beth_store::query::senders::SenderCounts;
use serde_json::{Map, Value, json};
use utoipa_axum::routes;

use super::answer::{ApiError, ok};
use super::cursor::Paging;
use super::openapi::{Routes, accounts as schemas, params as described, refusals};
use super::params::{Bounds, Params};
use crate::context::Context;
use crate::pipeline::now;

/// Routes under `/api/v0/addresses`.
pub fn routes() -> Routes {
    Routes::new()
        .with(routes!(stats))
        .with(routes!(balance))
        .with(routes!(files))
        .with(routes!(post_types))
        .with(routes!(channels))
}

/// What an address owns. Unknown addresses own nothing.
#[utoipa::path(get, path = "/api/v0/addresses/{address}/balance", operation_id = "showBalance",
    tag = "accounts", params(described::AddressPath, described::BalanceView),
    responses((status = 200, description = "Tokens and credits.", body = schemas::Balance),
        refusals::BadQuery))]
async fn balance(
    State(context): State<Arc<Context>>,
    Path(address): Path<String>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let words: Vec<(&str, &str)> = Chain::ALL
        .iter()
        .map(|chain| (chain.as_str(), chain.as_str()))
        .collect();
    let chain = params.choice(&["chain"], &words).map(str::to_owned);
    let with_details = params.flag(&["include_credit_details", "includeCreditDetails"]);
    params.finish()?;
    let owner = address.clone();
    let (balances, locked, credits) = context
        .read(move |state| {
            let locked = state
                .committed(&owner, PaymentType::Hold)
                .map_err(|e| Error::Damaged(e.to_string()))?;
            Ok((
                state.balances_by_chain(&owner)?,
                locked,
                state.credits_by_expiration(&owner, now())?,
            ))
        })
        .await?;
    let total: Decimal = balances
        .iter()
        .filter(|(name, _)| chain.as_ref().is_none_or(|chain| chain == name))
        .map(|(_, balance)| balance.clone())
        .sum();
    let details: Map<String, Value> = match chain {
        Some(_) => Map::new(),
        None => balances
            .into_iter()
            .map(|(chain, balance)| (chain, balance.to_f64().into()))
            .collect(),
    };
    let lots: Vec<Value> = credits
        .iter()
        .map(|(expiration, amount)| json!({"expiration_date": expiration.map(|at| at.to_iso("Z")), "amount": amount}))
        .collect();
    Ok(ok(json!({
        "address": address,
        "balance": total.to_f64(),
        "details": details,
        "locked_amount": locked.to_f64(),
        "credit_balance": credits.iter().fold(0u64, |sum, (_, amount)| sum.saturating_add(*amount)),
        "credit_balance_details": if with_details { Value::Array(lots) } else { Value::Null },
    }))
    .into_response())
}

/// Files that STORE messages of an address name, newest first.
#[utoipa::path(get, path = "/api/v0/addresses/{address}/files", operation_id = "listFiles",
    tag = "accounts", params(described::AddressPath, described::FileFilters, described::FilePages),
    responses((status = 200, description = "A page that is not empty.", body = schemas::FilePage),
        refusals::NotFound, refusals::BadQuery))]
async fn files(
    State(context): State<Arc<Context>>,
    Path(address): Path<String>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let order = params.order();
    let paging = Paging::read(&mut params, Bounds::from(0, 100), None);
    let file_hash = params.text(&["file_hash", "fileHash"]).map(str::to_owned);
    params.finish()?;
    let window = paging.window::<Place>()?;
    let owner = address.clone();
    let (page, (bytes, count)) = context
        .read(move |state| {
            Ok((
                state.files_of(&owner, file_hash.as_deref(), order, &window)?,
                state.files_total(&owner)?,
            ))
        })
        .await?;
    if page.rows.is_empty() {
        return Err(ApiError::not_found());
    }
    let by_cursor = matches!(paging, Paging::Cursor { .. });
    let items: Vec<Value> = page
        .rows
        .iter()
        .map(|row| {
            let created = if by_cursor {
                row.created.to_json()
            } else {
                row.created.to_iso("Z").into()
            };
            json!({
                "file_hash": row.file.hash, "size": row.file.size_bytes, "type": row.file.kind,
                "created": created, "item_hash": row.item_hash,
            })
        })
        .collect();
    let total_size: Value = if by_cursor {
        (bytes as f64).into()
    } else {
        bytes.into()
    };
    let mut body = Map::new();
    body.insert("address".into(), address.into());
    body.insert("total_size".into(), total_size);
    body.insert("files".into(), Value::Array(items));
    body.extend(paging.members("files", count, page.next.as_ref()));
    body.remove("pagination_item");
    Ok(ok(Value::Object(body)).into_response())
}

/// Types of the posts that an address signed.
#[utoipa::path(get, path = "/api/v0/addresses/{address}/post_types", operation_id = "listPostTypes",
    tag = "accounts", params(described::AddressPath),
    responses((status = 200, description = "Types, sorted.", body = schemas::PostTypes)))]
async fn post_types(
    State(context): State<Arc<Context>>,
    Path(address): Path<String>,
) -> Result<Response, ApiError> {
    let sender = address.clone();
    let found = context
        .read(move |state| state.post_types_of(&sender))
        .await?;
    Ok(ok(json!({"address": address, "post_types": found})).into_response())
}

/// Channels of the messages that an address signed.
#[utoipa::path(get, path = "/api/v0/addresses/{address}/channels",
    operation_id = "listChannelsOfAddress", tag = "accounts", params(described::AddressPath),
    responses((status = 200, description = "Channels, sorted.", body = schemas::ChannelsOfAddress)))]
async fn channels(
    State(context): State<Arc<Context>>,
    Path(address): Path<String>,
) -> Result<Response, ApiError> {
    let sender = address.clone();
    let found = context
        .read(move |state| state.channels_of(&sender))
        .await?;
    Ok(ok(json!({"address": address, "channels": found})).into_response())
}

/// Counts of messages in force by who signed them.
///
/// Exactly the members that the released clients know; other types count only
/// in `messages`.
#[utoipa::path(get, path = "/api/v0/addresses/stats.json", operation_id = "countMessages",
    tag = "accounts", params(described::Senders),
    responses((status = 200, description = "Counts.", body = schemas::Statistics)))]
async fn stats(State(context): State<Arc<Context>>, params: Params) -> Result<Response, ApiError> {
    let senders = Some(params.every(&["addresses[]"])).filter(|senders| !senders.is_empty());
    // Of every address there is: written where it was read.
    let answer = context
        .read(move |state| {
            let counts = state.count_by_sender(senders.as_deref())?;
            let data = counts_by_address(&counts);
            Ok(ok(json!({"data": data})).into_response())
        })
        .await?;
    Ok(answer)
}

/// The members of the statistics, in the order of the rows.
pub fn counts_by_address(rows: &[SenderCounts]) -> Map<String, Value> {
    let counts = rows.iter().map(|row| {
        let counts = json!({
            "messages": row.messages, "aggregate": row.aggregate, "forget": row.forget, "instance": row.instance,
            "post": row.post, "program": row.program, "store": row.store,
        });
        (row.address.clone(), counts)
    });
    counts.collect()
}
