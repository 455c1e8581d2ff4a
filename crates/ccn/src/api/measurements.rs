//! How nodes performed, as columns of figures (core-api.md §10.5).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use beth_protocol::judge::Measured;
use beth_protocol::time::Timestamp;
use beth_store::query::measurements::MeasurementRow;
use serde_json::{Map, Value, json};
use utoipa_axum::routes;

use super::answer::{ApiError, ok};
use super::openapi::{Routes, measurements as schemas, params as described, refusals};
use super::params::{Names, Params};
use crate::context::Context;
use crate::limits::MEASUREMENTS_MAX;
use crate::pipeline::now;

/// Spellings of the first moment.
pub const FIRST: Names = &["start_date", "startDate"];
/// Spellings of the last moment.
pub const LAST: Names = &["end_date", "endDate"];
/// The time before the last moment that is shown when no first one is named.
const SHOWN: Duration = Duration::from_secs(14 * 86_400);

/// The measurements of core nodes and of compute nodes.
pub fn routes() -> Routes {
    Routes::new()
        .with(routes!(of_core_node))
        .with(routes!(of_compute_node))
}

/// How a core node performed.
#[utoipa::path(get, path = "/api/v0/core/{node_id}/metrics", operation_id = "listCoreNodeMeasurements",
    tag = "node", params(described::NodePath, described::MeasurementFilters),
    responses((status = 200, description = "Columns of equal length.", body = schemas::CoreNodeMeasurements),
        refusals::NotFound, refusals::BadQuery))]
async fn of_core_node(
    context: State<Arc<Context>>,
    node: Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    answer(context, (Measured::Core, node.0), params).await
}

/// How a compute node performed.
#[utoipa::path(get, path = "/api/v0/compute/{node_id}/metrics", operation_id = "listComputeNodeMeasurements",
    tag = "node", params(described::NodePath, described::MeasurementFilters),
    responses((status = 200, description = "Columns of equal length.", body = schemas::ComputeNodeMeasurements),
        refusals::NotFound, refusals::BadQuery))]
async fn of_compute_node(
    context: State<Arc<Context>>,
    node: Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    answer(context, (Measured::Compute, node.0), params).await
}

async fn answer(
    State(context): State<Arc<Context>>,
    (measured, node): (Measured, String),
    mut params: Params,
) -> Result<Response, ApiError> {
    let (first, last) = (params.instant(FIRST), params.instant(LAST));
    let order = params.direction(&["sort"]);
    params.finish()?;
    let last = last.unwrap_or_else(now);
    let shown = i64::try_from(SHOWN.as_micros()).unwrap_or(i64::MAX);
    let default = Timestamp::from_micros(last.micros().saturating_sub(shown));
    let span = (first.unwrap_or(default), last);
    let answer = context
        .read(move |state| {
            let asked = (measured, node.as_str());
            let rows = state.measurements_of(asked, span, (order, MEASUREMENTS_MAX))?;
            if rows.is_empty() {
                return Ok(None);
            }
            let body = json!({"metrics": columns(measured, &rows)});
            Ok(Some(ok(body).into_response()))
        })
        .await?;
    answer.ok_or_else(ApiError::not_found)
}

fn columns(measured: Measured, rows: &[MeasurementRow]) -> Map<String, Value> {
    let mut columns = Map::new();
    let hashes = rows.iter().map(|row| Value::from(row.item_hash.as_str()));
    columns.insert("item_hash".into(), hashes.collect());
    let times = rows.iter().map(|row| row.at.to_json());
    columns.insert("measured_at".into(), times.collect());
    for (index, name) in measured.figures().iter().enumerate() {
        let figures = rows
            .iter()
            .map(|row| row.figures.get(index).cloned().unwrap_or_default());
        columns.insert((*name).to_owned(), figures.collect());
    }
    columns
}
