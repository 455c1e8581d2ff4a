//! A whole compute node: configuration in, a serving node out.
//!
//! ```text
//! config ─▶ core node client ─▶ files, programs ─▶ executors ─▶ pool ─▶ routes ─▶ serve
//!    … until cancelled: refuse new calls, let the ones under way end, stop machines
//! ```

mod assemble;
mod links;
mod stalled;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use futures::FutureExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{self, Api};
use crate::config::CrnConfig;
use crate::core_node::{CoreFault, CoreNode};
use crate::executor::Fault;
use crate::guest_api::GuestApi;
use crate::instance::InstanceFault;
use crate::jail::JailError;
use crate::lan::{Lan, LanError, Mode};
use crate::limits;
use crate::microvm::{Firecracker, MicroVm, MicroVmConfig, MicroVmError};
use crate::names::Names;
use crate::payment::Flows;
use crate::pool::Executors;
use crate::reservation::Room;
use crate::wasm::Wasm;
use crate::workloads::Workloads;
use crate::workloads::network::Network;
use links::GuestLinks;

/// Why a node does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else listens there.
    #[error("port {} of {} is taken; stop what listens there, or choose another with `listen` in the configuration (port 0 takes a free one)", .0.port(), .0.ip())]
    PortTaken(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; correct `listen` in the configuration")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder cannot be used.
    #[error("cannot use the folder {}: {source}; correct `folder` in the configuration, or its owner", .folder.display())]
    Folder {
        /// As configured.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `core_node` is no address.
    #[error(transparent)]
    CoreNode(#[from] CoreFault),
    /// An executor does not start.
    #[error(transparent)]
    Executor(#[from] Fault),
    /// The guest network does not start.
    #[error(transparent)]
    Lan(#[from] LanError),
    /// There is no place for microVMs.
    #[error(transparent)]
    MicroVm(#[from] MicroVmError),
    /// Instances cannot be jailed.
    #[error(transparent)]
    Jail(#[from] JailError),
    /// There is no place for instances.
    #[error(transparent)]
    Instances(#[from] InstanceFault),
    /// Serving ended.
    #[error("the server failed: {0}")]
    Serve(#[source] std::io::Error),
}

/// Runs a node until `cancel`. `ready` is called once, with the address, when
/// the node answers.
pub async fn run(
    config: CrnConfig,
    ready: impl FnOnce(SocketAddr),
    cancel: CancellationToken,
) -> Result<(), Error> {
    let listener = listen(config.listen).await?;
    let address = listener.local_addr().map_err(|source| Error::Listen {
        address: config.listen,
        source,
    })?;
    let executors = executors(&config)?;
    run_with(config, executors, listener, |()| ready(address), cancel).await
}

/// The executors that a configuration describes.
pub fn executors(config: &CrnConfig) -> Result<Executors, Error> {
    let wasm = Arc::new(Wasm::with_network(
        config.wasm.clone(),
        config.folder.join("compiled"),
        CoreNode::new(&config.core_node)?,
        &config.folder.join("read"),
    )?);
    let folder = config.folder.join("guests");
    let guest_api = GuestApi::open(&folder, CoreNode::new(&config.core_node)?);
    let guest_api = guest_api.map_err(|source| Error::Folder { folder, source })?;
    if let Some(firecracker) = &config.firecracker {
        let folder = config.folder.join("firecracker");
        let seconds = config.ready_timeout_seconds;
        let microvm = Firecracker::new(firecracker.clone(), folder, seconds)?;
        let microvm = Arc::new(microvm.with_guest_api(guest_api));
        return Ok(Executors { wasm, microvm });
    }
    let mut microvm = MicroVmConfig::new(config.folder.join("machines"));
    if let Some(folder) = &config.guest_folder {
        microvm.guest_folder.clone_from(folder);
    }
    microvm.volumes_folder = config.folder.join("volumes");
    microvm.acceleration = config.acceleration;
    microvm.jail = config.jail;
    microvm.jail_first_user = config.jail_first_user;
    microvm.ready_timeout_seconds = config.ready_timeout_seconds;
    microvm.templates_mib = config.templates_mib;
    microvm.guest_api = Some(guest_api);
    Ok(Executors {
        wasm,
        microvm: Arc::new(MicroVm::new(microvm)?),
    })
}

/// Runs a node with given executors on a given listener.
pub async fn run_with(
    config: CrnConfig,
    executors: Executors,
    listener: TcpListener,
    ready: impl FnOnce(()),
    cancel: CancellationToken,
) -> Result<(), Error> {
    run_given(config, Given::new(executors), listener, ready, cancel).await
}

/// What a node does not make itself.
pub struct Given {
    /// What runs programs.
    pub executors: Executors,
    /// What runs virtual machines, if anything.
    pub instances: Option<Arc<dyn Workloads>>,
    /// What sets up addresses and names, if anything.
    pub network: Option<Arc<dyn Network>>,
    /// Who knows of streams of tokens; the chains' nodes when nobody else.
    pub flows: Option<Arc<dyn Flows>>,
    /// What there is for others; measured each time when nobody says.
    pub room: Option<Room>,
}

impl Given {
    /// Programs alone.
    pub fn new(executors: Executors) -> Given {
        Given {
            executors,
            instances: None,
            network: None,
            flows: None,
            room: None,
        }
    }
}

/// Runs a node of given parts on a given listener.
pub async fn run_given(
    config: CrnConfig,
    given: Given,
    listener: TcpListener,
    ready: impl FnOnce(()),
    cancel: CancellationToken,
) -> Result<(), Error> {
    let address = listener.local_addr().map_err(|source| Error::Listen {
        address: config.listen,
        source,
    })?;
    let drain = Duration::from_secs(config.drain_seconds);
    let machines = CancellationToken::new();
    let background = TaskTracker::new();
    let lan = guest_network(&config).await?;
    let mut given = given;
    if let Some(lan) = &lan {
        lan.lan().forget_programs().await?;
        given.executors.microvm.use_network(lan.lan());
    }
    if let (None, Some(lan)) = (&given.network, &lan) {
        given.network = Some(Arc::new(lan.clone()));
    }
    let parts = (config, lan.clone());
    let parts = assemble::parts(parts, given, address, &background, machines.clone())?;
    let pool = parts.pool.clone();
    assemble::background(&parts, &background);
    let api = Api::new(parts);
    let routes = api::router(api.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let listener = listener.tap_io(|stream| {
        // Small answers leave at once; a socket that refuses is only slower.
        let _ = stream.set_nodelay(true);
        if let Err(error) = stalled::end_after(&*stream, limits::STALLED_DEADLINE) {
            tracing::debug!(%error, "a client that takes nothing will keep its connection");
        }
    });
    let closing = CancellationToken::new();
    let ended = closing.clone().cancelled_owned();
    let server = axum::serve(listener, routes).with_graceful_shutdown(ended);
    let mut server = server.into_future().boxed();
    ready(());
    // While calls under way end, within a bound, everybody else is told to try
    // another node; only then nobody is answered any more.
    let drained = async {
        cancel.cancelled().await;
        api.drain();
        drop(tokio::time::timeout(drain, pool.quiet()).await);
        closing.cancel();
    };
    let served = tokio::select! {
        served = &mut server => served,
        () = drained => {
            tokio::time::timeout(limits::CLOSE_DEADLINE, server).await.unwrap_or(Ok(()))
        }
    };
    machines.cancel();
    api.close().await;
    background.close();
    background.wait().await;
    pool.close().await;
    if let Some(lan) = lan
        && let Err(error) = lan.stop().await
    {
        tracing::warn!(%error, "rules of the guest network stay");
    }
    served.map_err(Error::Serve)
}

/// The guest network, where guests get taps; else they have QEMU's own.
async fn guest_network(config: &CrnConfig) -> Result<Option<GuestLinks>, Error> {
    if matches!(config.lan.mode, Mode::User | Mode::None) || !config.instances.enabled {
        return Ok(None);
    }
    let lan = Lan::start(&config.lan, &config.folder.join("lan")).await?;
    let core = CoreNode::new(&config.core_node)?;
    let names = Names::new(&config.names, &config.domain_name, core.client().clone());
    Ok((lan.mode() == Mode::Tap).then(|| GuestLinks::new(lan, core, names)))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            ErrorKind::AddrInUse => Error::PortTaken(address),
            _ => Error::Listen { address, source },
        })
}
