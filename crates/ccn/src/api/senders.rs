//! Statistics of all addresses, searched and sorted (core-api.md §7.2).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use beth_store::query::senders::{SenderFilter, SenderPlace, SenderSort};
use serde_json::{Map, Value, json};
use utoipa_axum::routes;

use super::addresses::counts_by_address;
use super::answer::{ApiError, ok};
use super::cursor::{Cursor, Paging};
use super::openapi::{Routes, holders as schemas, params as described, refusals};
use super::params::{Bounds, Names, Params};
use crate::context::Context;

/// A part of the address.
pub const CONTAINS: Names = &["addressContains", "address_contains"];
/// Longest part of an address that may be asked for, in characters.
pub const CONTAINS_CHARS_MAX: usize = 66;
/// What orders the list.
pub const SORTS: [(&str, SenderSort); 7] = [
    ("aggregate", SenderSort::Aggregate),
    ("forget", SenderSort::Forget),
    ("instance", SenderSort::Instance),
    ("post", SenderSort::Post),
    ("program", SenderSort::Program),
    ("store", SenderSort::Store),
    ("total", SenderSort::Total),
];
/// Rows of a page.
pub const PAGE: Bounds = Bounds::from(0, 20);

/// The newer version of the statistics.
pub fn routes() -> Routes {
    Routes::new().with(routes!(list))
}

impl Cursor for SenderPlace {
    fn to_json(&self) -> Value {
        json!({"a": self.address, "v": self.count})
    }

    fn from_json(members: &Map<String, Value>) -> Option<SenderPlace> {
        Some(SenderPlace {
            address: members.get("a")?.as_str()?.to_owned(),
            count: members.get("v")?.as_u64()?,
        })
    }
}

/// Counts of messages by who signed them, page by page.
#[utoipa::path(get, path = "/api/v1/addresses/stats.json", operation_id = "listStatistics", tag = "accounts",
    params(described::SenderFilters, described::SenderPages),
    responses((status = 200, description = "A page.", body = schemas::StatisticsPage), refusals::BadQuery))]
async fn list(
    State(context): State<Arc<Context>>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let filter = SenderFilter {
        contains: params.short(CONTAINS, CONTAINS_CHARS_MAX),
        sort: params
            .choice(&["sortBy", "sort_by"], &SORTS)
            .unwrap_or_default(),
        order: params.order(),
    };
    let paging = Paging::read(&mut params, PAGE, None);
    params.finish()?;
    let window = paging.window::<SenderPlace>()?;
    let page = context
        .read(move |state| state.senders(&filter, &window))
        .await?;
    let mut body = Map::new();
    body.insert("data".into(), counts_by_address(&page.rows).into());
    body.extend(paging.members("addresses", page.total, page.next.as_ref()));
    Ok(ok(Value::Object(body)).into_response())
}
