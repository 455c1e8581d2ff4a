//! Who may act for whom (core-api.md §6.3).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use beth_store::query::authorizations::{GrantFilter, GrantPage};
use serde_json::{Map, Value, json};
use utoipa_axum::routes;

use super::answer::{ApiError, ok};
use super::openapi::{Routes, holders as schemas, params as described, refusals};
use super::params::{Bounds, Names, Params};
use crate::context::Context;

/// Addresses of a page.
pub const PAGE: Bounds = Bounds {
    default: 20,
    min: 1,
    max: 500,
};
/// What entries may be restricted to.
pub const LISTS: [(Names, &str); 5] = [
    (&["types"], "Entries that allow one of these message types."),
    (&["channels"], "Entries that allow one of these channels."),
    (
        &["postTypes", "post_types"],
        "Entries that allow one of these types of posts.",
    ),
    (&["chains"], "Entries that allow one of these chains."),
    (
        &["aggregateKeys", "aggregate_keys"],
        "Entries that allow one of these keys.",
    ),
];

/// Both directions.
pub fn routes() -> Routes {
    Routes::new().with(routes!(granted)).with(routes!(received))
}

/// What an address allows others to do in its name.
#[utoipa::path(get, path = "/api/v0/authorizations/granted/{address}.json", operation_id = "listGranted",
    tag = "aggregates", params(described::AddressPath, described::GrantedFilters, described::GrantPages),
    responses((status = 200, description = "A page of grantees.", body = schemas::Authorizations),
        refusals::NotFound, refusals::DeclaredBadQuery))]
async fn granted(
    State(context): State<Arc<Context>>,
    Path(file): Path<String>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let (address, filter, page) = read(&file, &mut params, &["grantee"])?;
    let owner = address.clone();
    let found = context
        .read(move |state| state.granted(&owner, &filter, page))
        .await?;
    Ok(answer(&address, page, found))
}

/// What an address may do in the name of others. Filters look at what at most
/// 10000 of them wrote.
#[utoipa::path(get, path = "/api/v0/authorizations/received/{address}.json", operation_id = "listReceived",
    tag = "aggregates", params(described::AddressPath, described::ReceivedFilters, described::GrantPages),
    responses((status = 200, description = "A page of granters.", body = schemas::Authorizations),
        refusals::NotFound, refusals::DeclaredBadQuery))]
async fn received(
    State(context): State<Arc<Context>>,
    Path(file): Path<String>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let (address, filter, page) = read(&file, &mut params, &["granter"])?;
    let grantee = address.clone();
    let found = context
        .read(move |state| state.received(&grantee, &filter, page))
        .await?;
    Ok(answer(&address, page, found))
}

type Asked = (String, GrantFilter, (u64, u64));

/// The address in the path, the filter, and the number and size of the page.
fn read(file: &str, params: &mut Params, party: Names) -> Result<Asked, ApiError> {
    let address = file.strip_suffix(".json").ok_or_else(ApiError::not_found)?;
    let party = params.text(party).map(str::to_owned);
    let [types, channels, post_types, chains, aggregate_keys] =
        LISTS.map(|(names, _)| params.list(names));
    let size = params.integer(&["pagination"], PAGE);
    let number = params.integer(&["page"], Bounds::from(1, 1));
    params.finish().map_err(ApiError::declared_json)?;
    let filter = GrantFilter {
        party,
        types,
        channels,
        post_types,
        chains,
        aggregate_keys,
    };
    Ok((address.to_owned(), filter, (number, size)))
}

fn answer(address: &str, (number, size): (u64, u64), found: GrantPage) -> Response {
    let groups: Map<String, Value> = found
        .groups
        .into_iter()
        .map(|group| {
            let entries = group.entries.into_iter().map(Value::Object).collect();
            (group.party, Value::Array(entries))
        })
        .collect();
    ok(json!({
        "authorizations": groups,
        "pagination_page": number,
        "pagination_per_page": size,
        "pagination_total": found.total,
        "pagination_item": "authorizations",
        "address": address,
    }))
    .into_response()
}
