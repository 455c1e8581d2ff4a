//! Reading messages (core-api.md §3).

mod single;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use beth_protocol::{Chain, ItemHash, MessageType, Status};
use beth_store::Error;
use beth_store::query::forgotten::ForgottenMessage;
use beth_store::query::messages::{Blocks, Mark, MessageFilter, MessageSort};
use beth_store::query::removed::RemovedMessage;
use beth_store::query::{Cut, Place, Reached};
use http::StatusCode;
use serde_json::{Map, Value, json};

use single::status_body;
use utoipa_axum::routes;

use super::answer::{ApiError, ok};
use super::cursor::{Paging, page_in_path};
use super::flow::{self, Piece, Rows};
use super::openapi::{Routes, messages as schemas, params as described, refusals};
use super::params::{Bounds, Params};
use super::render::{self, ContentFormat};
use crate::context::Context;

/// Rows of a page when the client does not say.
pub const PAGE: Bounds = Bounds::from(0, 20);

/// What orders the list; true: by confirmation.
pub const SORTS: [(&str, MessageSort); 2] = [
    ("time", MessageSort::Time),
    ("tx-time", MessageSort::Confirmation),
];
/// Heights of blocks; 0 = not set.
pub const BLOCK: Bounds = Bounds::from(0, 0);

/// Routes under `/api/v0/messages`.
pub fn routes() -> Routes {
    Routes::new()
        .with(routes!(list))
        .with(routes!(list_page))
        .with(routes!(hashes))
        .with(routes!(single::one))
        .with(routes!(single::status))
        .with(routes!(single::content))
        .with(routes!(single::consumed_credits))
}

/// The filter of a list of messages or of a stream, and how to show it.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Which messages.
    pub filter: MessageFilter,
    /// How much of them.
    pub format: ContentFormat,
}

impl Listing {
    /// Reads all filters of §3.1.
    pub fn read(params: &mut Params) -> Listing {
        let chains: Vec<(&str, String)> = Chain::ALL
            .iter()
            .map(|c| (c.as_str(), c.as_str().to_owned()))
            .collect();
        let by_confirmation = params.choice(&["sortBy", "sort_by"], &SORTS);
        let order = params.order();
        let mut filter = MessageFilter {
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
            blocks: blocks(params),
            sort: by_confirmation.unwrap_or_default(),
            order,
        };
        // Heights grow with the time of confirmation.
        if filter.blocks.is_limited() {
            filter.sort = MessageSort::Confirmation;
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
        }
    }
}

/// `startBlock` and `endBlock`; 0 is not set.
fn blocks(params: &mut Params) -> Blocks {
    let start = params.integer(&["startBlock", "start_block"], BLOCK);
    let end = params.integer(&["endBlock", "end_block"], BLOCK);
    if end > 0 && end < start {
        params.refuse("end block cannot be lower than start block.");
    }
    let limit = |height: u64| i64::try_from(height).ok().filter(|height| *height > 0);
    Blocks {
        start: limit(start),
        end: limit(end),
    }
}

/// Statuses by their names.
pub const STATUSES: [(&str, Status); 6] = [
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

/// Messages, newest first.
///
/// All filters must hold; of the values of one list, any.
#[utoipa::path(get, path = "/api/v0/messages.json", operation_id = "listMessages", tag = "messages",
    params(described::MessageFilters, described::MessagePages),
    responses((status = 200, description = "A page.", body = schemas::MessagePage),
        refusals::BadFilters))]
async fn list(context: State<Arc<Context>>, params: Params) -> Result<Response, ApiError> {
    answer_list(context, params, None).await
}

/// Messages, the number of the page being part of the path.
#[utoipa::path(get, path = "/api/v0/messages/page/{page}.json", operation_id = "listMessagesOfPage",
    tag = "messages", params(described::PagePath, described::MessageFilters, described::MessagePages),
    responses((status = 200, description = "A page.", body = schemas::MessagePage),
        refusals::BadFilters, refusals::BadPage))]
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
    let statuses = listing.filter.statuses.clone().unwrap_or_default();
    let is_final = statuses.contains(&Status::Forgotten) || statuses.contains(&Status::Removed);
    if listing.filter.sort == MessageSort::Confirmation && paging.is_cursor() && !is_final {
        params.refuse("Cursor pagination is not supported with tx-time sort order.");
    }
    params.finish()?;
    if is_final {
        return list_final(&context, &params, listing, paging).await;
    }
    flow::answer(context, listing, paging).await
}

impl Rows for Listing {
    type Mark = Mark;
    const NAME: &'static str = "messages";

    fn mark(&self, state: &beth_store::State<'_>, place: &Place) -> Result<Mark, Error> {
        state.mark_of(place)
    }

    fn write(
        &self,
        state: &beth_store::State<'_>,
        cut: &Cut<Mark>,
        out: &mut Piece,
    ) -> Result<Reached<Mark>, Error> {
        state.each_message(&self.filter, cut, |row| {
            render::write_listed(&row, self.format, out.begin())?;
            Ok(out.end(Place {
                time: row.time,
                hash: row.item_hash,
            }))
        })
    }

    fn total(&self, state: &beth_store::State<'_>) -> Result<u64, Error> {
        state.count_messages(&self.filter)
    }
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

/// Item hashes, in the order of their reception.
#[utoipa::path(get, path = "/api/v0/messages/hashes", operation_id = "listHashes", tag = "messages",
    params(described::HashFilters),
    responses((status = 200, description = "A page.", body = schemas::HashPage), refusals::BadQuery))]
async fn hashes(
    State(context): State<Arc<Context>>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let status = params.choice(&["status"], &STATUSES);
    let span = params.checked_span();
    let order = params.order();
    let size = params.integer(&["pagination"], PAGE);
    let number = params.integer(&["page"], Bounds::from(1, 1));
    let only_hashes = params.not_off(&["hash_only", "hashOnly"]);
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
