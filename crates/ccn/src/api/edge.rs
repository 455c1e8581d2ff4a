//! What every request passes on its way in, and every answer on its way out.
//!
//! ```text
//!  request ─▶ observe ─▶ origin ─▶ limit ─▶ compress ─▶ route ─▶ handler
//!             id, span,   CORS      429      gzip        │
//!  answer  ◀─ counted ◀──────────◀────────◀──────────────┘ which route it was
//!             logged, panics become 500
//! ```
//!
//! The order matters: a refusal is counted, and readable by a page of another
//! origin. What the router adds to an answer by itself (`Allow`, lengths for
//! HEAD) is there when the layers above see it.

mod client;
mod compress;
mod limit;
mod observe;

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;

use super::{linger, origin};
use crate::context::Context;
use crate::error::Error;

pub use client::Client;
pub use limit::{Limits, Sender};

/// Puts the layers around all routes.
pub fn around(routes: Router, context: &Arc<Context>) -> Router {
    let routes = routes.layer(from_fn(mark));
    // A router around the router sees what the inner one adds to an answer.
    Router::new()
        .fallback_service(routes)
        .layer(compress::layer())
        .layer(from_fn(compress::turns))
        .layer(from_fn_with_state(context.clone(), limit::limit))
        .layer(from_fn(linger::linger))
        .layer(from_fn(origin::allow))
        .layer(from_fn_with_state(context.clone(), observe::observe))
}

/// Limits as configured.
pub fn limits(config: &crate::CcnConfig) -> Result<Limits, Error> {
    Ok(Limits::new(&config.http.rate, config.http.proxies()?))
}

/// The template of the route that answered; an extension of answers. Answers
/// without it are about unknown paths.
#[derive(Clone, Debug)]
pub struct Route(pub MatchedPath);

/// Writes on the answer which route it came from.
async fn mark(request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(matched) = matched {
        response.extensions_mut().insert(Route(matched));
    }
    response
}
