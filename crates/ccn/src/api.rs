//! The HTTP interface: one file per resource (core-api.md).
//!
//! ```text
//!  request ─▶ edge ─▶ route ─▶ params ─▶ one consistent read ─▶ render ─▶ answer
//!             │ 429               │ 422        or the pipeline
//! ```
//!
//! Nothing here knows SQL or gossip. Errors are text, as upstream's clients
//! expect. Every GET route answers HEAD too.

mod addresses;
mod aggregates;
mod answer;
mod authorizations;
mod body;
pub(crate) mod control;
mod costs;
mod credits;
mod cursor;
mod edge;
mod encoded;
mod flow;
mod funds;
mod gateway;
mod health;
mod holders;
mod information;
mod ipfs;
mod json;
mod linger;
mod measurements;
mod messages;
mod metrics;
pub mod openapi;
mod origin;
mod page;
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
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::context::Context;
use answer::ApiError;
pub use edge::{Limits, limits};
pub use health::Checks;
use openapi::Routes;
pub use params::Asked;
pub(crate) use stream::typed_text;
pub use upload::space::Space;

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
        .merge(gateway::routes())
        .merge(upload::routes())
        .merge(ipfs::routes())
        .merge(information::routes())
        .merge(metrics::routes())
        .merge(health::routes())
        .merge(stream::routes())
        .merge(page::routes())
        .merge(openapi::serve())
}

/// The OpenAPI document of every route, as it is served.
pub fn document() -> serde_json::Value {
    openapi::to_json(&routes().split().1)
}

/// Every route of the core node.
pub fn router(context: Arc<Context>) -> Router {
    router_with(context, Router::new())
}

/// The same, with routes of others beside them.
pub fn router_with(context: Arc<Context>, extra: Router) -> Router {
    let (routes, _) = routes().split();
    let routes = routes
        .with_state(context.clone())
        .merge(extra)
        .fallback(unknown)
        .method_not_allowed_fallback(async || ApiError::standard(StatusCode::METHOD_NOT_ALLOWED));
    edge::around(routes, &context)
}

async fn unknown() -> Response {
    let mut response = ApiError::not_found().into_response();
    response.extensions_mut().insert(origin::Unknown);
    response
}
