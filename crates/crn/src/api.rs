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
mod machines;
mod migration;
mod network;
mod notify;
mod reserve;
mod settings;
mod socket;
mod status;
mod system;
mod validation;
mod version;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::{HeaderValue, header};
use axum::middleware;
use axum::response::Response;
use axum::routing::{MethodRouter, any, get, post};
use beth_protocol::content::instance::InstanceContent;
use beth_protocol::time::Timestamp;
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use system::{available_memory_mib, free_cards};

pub use auth::{AllocationAuth, SignedRequest};
pub use host::{item_hash_of_label, label_of};

use crate::config::CrnConfig;
use crate::contents::Contents;
use crate::identity::Identity;
use crate::limits;
use crate::network_settings::SettingsReader;
use crate::operator::{Doorkeeper, LocalToken, Replays};
use crate::payment::Payments;
use crate::pool::Pool;
use crate::reservation::{Lack, Reservations, Room};
use crate::workloads::Machines;
use crate::workloads::network::Network;

/// The version that clients and the scoring service see: the reference version
/// whose behaviour this node has, and its own after it.
pub const VERSION: &str = concat!("1.14.0+beth.", env!("CARGO_PKG_VERSION"));

/// What the routes share.
pub struct Api {
    config: CrnConfig,
    own_url: String,
    pool: Pool,
    machines: Machines,
    contents: Contents,
    settings: SettingsReader,
    payments: Payments,
    identity: Identity,
    network: Option<Arc<dyn Network>>,
    room: Option<Room>,
    client: reqwest::Client,
    auth: AllocationAuth,
    door: Doorkeeper,
    token: LocalToken,
    replays: Replays,
    reservations: Reservations,
    expiries: machines::Expiries,
    restores: machines::Restores,
    migrations: migration::Migrations,
    capability: OnceCell<Value>,
    log_streams: Arc<Semaphore>,
    allocating: Mutex<()>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    draining: AtomicBool,
}

/// What a node gives its routes.
pub struct Parts {
    /// As told.
    pub config: CrnConfig,
    /// Where the node listens.
    pub address: SocketAddr,
    /// The programs.
    pub pool: Pool,
    /// Programs and instances.
    pub machines: Machines,
    /// Reads messages.
    pub contents: Contents,
    /// The network's settings.
    pub settings: SettingsReader,
    /// Who pays.
    pub payments: Payments,
    /// Who this node is.
    pub identity: Identity,
    /// The secret of this node.
    pub token: LocalToken,
    /// Sets up addresses and names, if something does.
    pub network: Option<Arc<dyn Network>>,
    /// What there is for others; measured when nobody says.
    pub room: Option<Room>,
    /// Ends what the routes began.
    pub cancel: CancellationToken,
}

impl Api {
    /// The routes' view of a node.
    pub fn new(parts: Parts) -> Arc<Api> {
        let config = parts.config;
        let auth = AllocationAuth::new(&config.allocation_signers, &config.allocation_token_hash);
        let core = parts.contents.core();
        Arc::new(Api {
            auth,
            own_url: own_url(parts.address),
            client: core.client().clone(),
            door: Doorkeeper::new(&config.domain_name, core.clone()),
            config,
            pool: parts.pool,
            machines: parts.machines,
            contents: parts.contents,
            settings: parts.settings,
            payments: parts.payments,
            identity: parts.identity,
            network: parts.network,
            room: parts.room,
            token: parts.token,
            replays: Replays::default(),
            reservations: Reservations::default(),
            expiries: machines::Expiries::default(),
            restores: machines::Restores::default(),
            migrations: migration::Migrations::default(),
            capability: OnceCell::new(),
            log_streams: Arc::new(Semaphore::new(limits::LOG_STREAMS_MAX)),
            allocating: Mutex::new(()),
            tasks: TaskTracker::new(),
            cancel: parts.cancel,
            draining: AtomicBool::new(false),
        })
    }

    /// Where clients find this node: behind its proxy by its name, or, on a private
    /// network, where it listens.
    fn public_url(&self) -> String {
        match &self.config.domain_name {
            name if crate::operator::is_here(name) => self.own_url.clone(),
            name => format!("https://{name}"),
        }
    }

    /// Waits, within bounds, for what the routes began.
    pub async fn close(&self) {
        self.tasks.close();
        drop(tokio::time::timeout(limits::DRAIN_DEADLINE, self.tasks.wait()).await);
    }

    /// Whether this node does what an instance needs, room aside.
    fn can_host(&self, instance: &InstanceContent) -> Result<(), Lack> {
        let lack = |what: &str| Err(Lack::Feature(what.to_owned()));
        let is_confidential = instance.environment.trusted_execution.is_some();
        let needs = instance.requirements.as_ref();
        let wants_gpu = needs.is_some_and(|needs| needs.gpu.iter().flatten().next().is_some());
        if is_confidential && !self.config.enable_confidential {
            return lack("this node accepts no confidential instances");
        }
        if wants_gpu && !self.config.enable_gpus {
            return lack("this node gives away no graphics cards");
        }
        match self.machines.instances() {
            Some(_) => Ok(()),
            None => lack("this node runs no instances"),
        }
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
        .route("/about/capability", open(about::capability))
        .route("/about/config", open(about::config))
        .route("/about/executions/details", open(about::details))
        .route("/about/executions/records", open(about::records))
        .route("/status/check/fastapi", open(status::fastapi))
        .route("/status/check/fastapi/legacy", open(status::fastapi_legacy))
        .route("/status/check/host", open(status::host))
        .route("/status/config", open(status::config))
        .route("/status/check/version", open(status::version))
        .route("/status/check/ipv6", open(status::ipv6))
        .route(
            "/control/allocation/notify",
            post(notify::notify).options(cors::preflight),
        )
        .route_layer(middleware::from_fn(cors::allow_all));
    let own = Router::new()
        .route("/beth/v1/programs", open(beth::programs))
        .route("/beth/v1/programs/{hash}", open(beth::program))
        .route("/beth/v1/programs/{hash}/logs", open(beth::logs))
        .route("/beth/v1/machines", open(beth::machines))
        .route("/beth/v1/machines/{hash}", open(beth::machine))
        .route("/beth/v1/machines/{hash}/logs", open(beth::machine_logs))
        .route_layer(middleware::from_fn(cors::allow_all))
        .route_layer(middleware::from_fn_with_state(
            api.clone(),
            call::program_hosts_first,
        ));
    Router::new()
        .merge(public)
        .merge(own)
        .merge(machines::router(&api))
        .merge(migration::router())
        .route("/control/allocations", post(control::allocations))
        .route("/control/network/recreate", post(network::recreate))
        .route("/control/proxy/regenerate", post(network::regenerate))
        .route("/debug/haproxy", get(network::proxy))
        .route("/about/{*rest}", get(error::not_found))
        .route(
            "/control/{*rest}",
            get(error::not_found).post(machines::misnamed),
        )
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

/// This moment.
fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = i64::try_from(now.unwrap_or_default().as_micros());
    Timestamp::from_micros(micros.unwrap_or(i64::MAX))
}

/// Where this node calls itself.
fn own_url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
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
