//! The HTTP interface: one file per resource (core-api.md).
//!
//! ```text
//!  request ─▶ origin (CORS) ─▶ route ─▶ params ─▶ one consistent read ─▶ render ─▶ answer
//!                                          │ 422        or the pipeline
//! ```
//!
//! Nothing here knows SQL or gossip. Errors are text, as upstream's clients
//! expect. Every GET route answers HEAD too.

mod addresses;
mod aggregates;
mod answer;
mod body;
mod cursor;
mod funds;
mod information;
mod ipfs;
mod json;
mod messages;
mod origin;
mod params;
mod posts;
mod prices;
mod render;
mod storage;
mod stream;
mod submission;
mod upload;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;
use http::StatusCode;

use crate::context::Context;
use answer::ApiError;

/// Every route of the core node.
pub fn router(context: Arc<Context>) -> Router {
    let routes = Router::new()
        .merge(messages::routes())
        .merge(submission::routes())
        .merge(posts::routes())
        .merge(aggregates::routes())
        .merge(addresses::routes())
        .merge(prices::routes())
        .merge(storage::routes())
        .merge(upload::routes())
        .merge(ipfs::routes())
        .merge(information::routes())
        .route("/api/ws0/messages", stream::messages())
        .fallback(async || ApiError::not_found())
        .method_not_allowed_fallback(async || ApiError::standard(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(context);
    // Outermost, so that it sees what the router itself adds to an answer.
    Router::new()
        .fallback_service(routes)
        .layer(from_fn(origin::allow))
}
