//! Metrics for operators, node scoring and other nodes (core-api.md §10.3).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tracing::error;
use utoipa_axum::routes;

use super::answer::{ApiError, ok};
use super::openapi::{Routes, node as schemas};
use crate::context::Context;
use crate::metrics::upstream;

/// `/metrics` and `/metrics.json`.
pub fn routes() -> Routes {
    Routes::new().with(routes!(text)).with(routes!(json))
}

/// Measurements, by the names of upstream's.
#[utoipa::path(get, path = "/metrics.json", operation_id = "showMetrics", tag = "node",
    responses((status = 200, description = "Measurements.", body = schemas::Metrics)))]
async fn json(State(context): State<Arc<Context>>) -> Result<Response, ApiError> {
    let sample = context.sampler.sample(&context).await?;
    let fields = upstream::fields(&context, &sample);
    Ok(ok(Value::Object(fields)).into_response())
}

/// Measurements as Prometheus reads them: upstream's, then ours.
#[utoipa::path(get, path = "/metrics", operation_id = "listMetrics", tag = "node",
    responses((status = 200, description = "Names and values.", body = String, content_type = "text/plain")))]
async fn text(State(context): State<Arc<Context>>) -> Result<Response, ApiError> {
    let sample = context.sampler.sample(&context).await?;
    let theirs = upstream::lines(&upstream::fields(&context, &sample));
    let ours = context.metrics.text().map_err(|failure| {
        error!(%failure, "metrics could not be written");
        ApiError::internal()
    })?;
    Ok(format!("{theirs}\n{ours}").into_response())
}
