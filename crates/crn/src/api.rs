//! The HTTP side of a compute node (compute.md §3–§11).
//!
//! ```text
//!              ┌ /vm/{ref}{suffix} ───────────────▶ call ─▶ pool
//!  request ────┤ /about /status /control /beth/v1 ─▶ one file each
//!              └ anything else ─▶ host: <label>.domain ─▶ call; or the landing page
//! ```
//!
//! Every response says which node it comes from (`Server`); errors are
//! `{"error": …}`; a program's own answer passes unchanged, whatever its status.
//! This is the only place that knows axum.

mod about;
mod answer;
mod auth;
mod beth;
mod body;
mod call;
mod control;
mod cors;
mod error;
mod host;
mod json;
mod status;
mod system;
mod version;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::{HeaderValue, header};
use axum::middleware;
use axum::response::Response;
use axum::routing::{MethodRouter, any, get, post};

pub(crate) use system::available_memory_mib;

pub use auth::{AllocationAuth, SignedRequest};
pub use host::{item_hash_of_label, label_of};

use crate::config::CrnConfig;
use crate::pool::Pool;

/// The version that clients and the scoring service see: the reference version
/// whose behaviour this node has, and its own after it.
pub const VERSION: &str = concat!("1.14.0+beth.", env!("CARGO_PKG_VERSION"));

/// What the routes share.
pub struct Api {
    config: CrnConfig,
    pool: Pool,
    auth: AllocationAuth,
    draining: AtomicBool,
}

impl Api {
    /// The routes' view of a node.
    pub fn new(config: CrnConfig, pool: Pool) -> Arc<Api> {
        let auth = AllocationAuth::new(&config.allocation_signers, &config.allocation_token_hash);
        Arc::new(Api {
            config,
            pool,
            auth,
            draining: AtomicBool::new(false),
        })
    }

    /// From now on programs are not called any more (compute.md §3.8).
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// All routes.
pub fn router(api: Arc<Api>) -> Router {
    let public = Router::new()
        .route("/about/login", open(about::login))
        .route("/about/executions/list", open(about::executions))
        .route("/v2/about/executions/list", open(about::executions_v2))
        .route("/about/usage/system", open(about::usage))
        .route("/about/certificates", open(about::certificates))
        .route("/status/config", open(status::config))
        .route("/status/check/version", open(status::version))
        .route("/status/check/ipv6", open(status::ipv6))
        .route_layer(middleware::from_fn(cors::allow_all));
    let own = Router::new()
        .route("/beth/v1/programs", open(beth::programs))
        .route("/beth/v1/programs/{hash}", open(beth::program))
        .route("/beth/v1/programs/{hash}/logs", open(beth::logs))
        .route_layer(middleware::from_fn(cors::allow_all))
        .route_layer(middleware::from_fn_with_state(
            api.clone(),
            call::program_hosts_first,
        ));
    Router::new()
        .merge(public)
        .merge(own)
        .route("/control/allocations", post(control::allocations))
        .route("/about/{*rest}", get(error::not_found))
        .route("/control/{*rest}", get(error::not_found))
        .route("/status/{*rest}", get(error::not_found))
        .route("/static/{*rest}", get(error::not_found))
        .route("/vm/{*rest}", any(call::by_path))
        .fallback(call::by_host)
        .method_not_allowed_fallback(call::by_host)
        .layer(middleware::map_response(name_server))
        .with_state(api)
}

/// A route that any origin may read.
fn open<H: Handler<T, Arc<Api>>, T: 'static>(handler: H) -> MethodRouter<Arc<Api>> {
    get(handler).options(cors::preflight)
}

async fn name_server(mut response: Response) -> Response {
    const SERVER: &str = concat!("aleph-vm/1.14.0+beth.", env!("CARGO_PKG_VERSION"));
    response
        .headers_mut()
        .insert(header::SERVER, HeaderValue::from_static(SERVER));
    response
}

/// The `Host` header, or the authority of the request line.
fn host_of(request: &Request) -> &str {
    let named = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    named
        .or_else(|| {
            request
                .uri()
                .authority()
                .map(|authority| authority.as_str())
        })
        .unwrap_or_default()
}
