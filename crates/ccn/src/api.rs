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
mod authorizations;
mod body;
mod costs;
mod credits;
mod cursor;
mod encoded;
mod flow;
mod funds;
mod holders;
mod information;
mod ipfs;
mod json;
mod linger;
mod measurements;
mod messages;
pub mod openapi;
mod origin;
mod params;
mod posts;
mod prices;
mod raw;
mod recalculation;
mod render;
mod senders;
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
use openapi::Routes;
pub use params::Asked;
pub(crate) use stream::typed_text;

/// Every route of the core node, each with its description.
fn routes() -> Routes {
    Routes::new()
        .merge(messages::routes())
        .merge(submission::routes())
        .merge(measurements::routes())
        .merge(posts::routes())
        .merge(aggregates::routes())
        .merge(addresses::routes())
        .merge(senders::routes())
        .merge(holders::routes())
        .merge(credits::routes())
        .merge(authorizations::routes())
        .merge(prices::routes())
        .merge(costs::routes())
        .merge(recalculation::routes())
        .merge(storage::routes())
        .merge(encoded::routes())
        .merge(raw::routes())
        .merge(upload::routes())
        .merge(ipfs::routes())
        .merge(information::routes())
        .merge(stream::routes())
        .merge(openapi::serve())
}

/// The OpenAPI document of every route, as it is served.
pub fn document() -> serde_json::Value {
    openapi::to_json(&routes().split().1)
}

/// Every route of the core node.
pub fn router(context: Arc<Context>) -> Router {
    let (routes, _) = routes().split();
    let routes = routes
        .fallback(async || ApiError::not_found())
        .method_not_allowed_fallback(async || ApiError::standard(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(context);
    // Outermost, so that it sees what the router itself adds to an answer.
    Router::new()
        .fallback_service(routes)
        .layer(from_fn(linger::linger))
        .layer(from_fn(origin::allow))
}
