//! Aggregates (core-api.md §6.1, §6.2).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use beth_protocol::cost::Prices;
use beth_store::query::aggregates::{
    AggregateFilter, AggregatePlace, AggregateSort, StoredAggregate,
};
use http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa_axum::routes;

use super::answer::{ApiError, ok};
use super::cursor::Paging;
use super::openapi::{Routes, aggregates as schemas, params as described, refusals};
use super::params::{Bounds, Params};
use crate::context::Context;

/// Read and ignored.
pub const LIMIT: Bounds = Bounds::from(0, 1000);
/// What orders the list of all.
pub const SORTS: [(&str, AggregateSort); 2] = [
    ("last_modified", AggregateSort::LastUpdated),
    ("creation_time", AggregateSort::Created),
];
/// Rows of a page.
pub const PAGE: Bounds = Bounds {
    default: 20,
    min: 1,
    max: 500,
};

/// Aggregates of an address, and of everybody.
pub fn routes() -> Routes {
    Routes::new()
        .with(routes!(of_address))
        .with(routes!(list))
        .also("/api/v0/aggregates.json", routes!(list))
}

/// The keys of an address, each the merger of its revisions.
#[utoipa::path(get, path = "/api/v0/aggregates/{address}.json", operation_id = "showAggregates",
    tag = "aggregates", params(described::AddressPath, described::AggregateView),
    responses((status = 200, description = "The keys.", body = schemas::AggregateAnswer),
        refusals::NotFound, refusals::DeclaredBadQuery))]
async fn of_address(
    State(context): State<Arc<Context>>,
    Path(file): Path<String>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let address = file
        .strip_suffix(".json")
        .ok_or_else(ApiError::not_found)?
        .to_owned();
    let keys = params.list(&["keys"]);
    params.integer(&["limit"], LIMIT);
    let with_info = params.flag(&["with_info", "withInfo"]);
    let value_only = params.flag(&["value_only", "valueOnly"]);
    params.finish().map_err(ApiError::declared_json)?;

    let single = match keys.as_deref() {
        Some([key]) if value_only => Some(key.clone()),
        _ => None,
    };
    let (owner, wanted) = (address.clone(), keys.clone());
    let found = context
        .read(move |state| state.aggregates_of(&owner, wanted.as_ref()))
        .await?;
    let info: Map<String, Value> = match with_info {
        true => found
            .iter()
            .map(|aggregate| (aggregate.key.clone(), describe(aggregate)))
            .collect(),
        false => Map::new(),
    };
    let mut data: Map<String, Value> = found
        .into_iter()
        .map(|row| (row.key, Value::Object(row.content)))
        .collect();
    if address == context.config.rules.pricing_address {
        add_prices_in_force(&mut data, keys.as_deref());
    }
    if data.is_empty() {
        return Err(ApiError::text(
            StatusCode::NOT_FOUND,
            "No aggregate found for this address",
        ));
    }
    if let Some(value) = single.and_then(|key| data.swap_remove(&key)) {
        return Ok(ok(value).into_response());
    }
    Ok(ok(json!({"address": address, "data": data, "info": info})).into_response())
}

/// Until the foundation publishes its lists, the built-in ones are in force:
/// clients read at its address what this node charges.
fn add_prices_in_force(data: &mut Map<String, Value>, keys: Option<&[String]>) {
    let built_in = Prices::defaults();
    for (key, list) in [
        ("pricing", built_in.pricing()),
        ("settings", built_in.settings()),
    ] {
        let wanted = keys.is_none_or(|keys| keys.iter().any(|wanted| wanted == key));
        if wanted && !data.contains_key(key) {
            data.insert(key.to_owned(), Value::Object(list.clone()));
        }
    }
}

fn describe(aggregate: &StoredAggregate) -> Value {
    json!({
        "created": aggregate.created.to_iso("+00:00"),
        "last_updated": aggregate.last_updated.to_iso("+00:00"),
        "original_item_hash": aggregate.first_hash,
        "last_update_item_hash": aggregate.last_hash,
    })
}

/// Aggregates of everybody.
#[utoipa::path(get, path = "/api/v0/aggregates", operation_id = "listAggregates", tag = "aggregates",
    params(described::AggregateFilters, described::AggregatePages),
    responses((status = 200, description = "A page.", body = schemas::AggregatePage),
        refusals::DeclaredBadQuery))]
async fn list(
    State(context): State<Arc<Context>>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let filter = AggregateFilter {
        owners: params.list(&["addresses"]),
        keys: params.list(&["keys"]),
        sort: params
            .choice(&["sortBy", "sort_by"], &SORTS)
            .unwrap_or_default(),
        order: params.order(),
    };
    let paging = Paging::read(&mut params, PAGE, None);
    params.finish().map_err(ApiError::declared_json)?;
    let window = paging.window::<AggregatePlace>()?;
    let page = context
        .read(move |state| state.aggregates(&filter, &window))
        .await?;
    let items = page.rows.into_iter().map(|row| {
        json!({
            "address": row.owner, "key": row.key, "content": row.content,
            "created": row.created.to_iso("+00:00"), "last_updated": row.last_updated.to_iso("+00:00"),
        })
    });
    let mut body = Map::new();
    body.insert("aggregates".into(), items.collect());
    body.extend(paging.members("aggregates", page.total, page.next.as_ref()));
    Ok(ok(Value::Object(body)).into_response())
}
