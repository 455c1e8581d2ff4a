//! The parts of a node, put together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::links::{GuestLinks, NoLinks};
use super::{Error, Given};
use crate::api::{self, Parts};
use crate::config::CrnConfig;
use crate::contents::Contents;
use crate::core_node::CoreNode;
use crate::download::Files;
use crate::identity::Identity;
use crate::instance::{Geometry, Ground, Hardware, Instances, Links, Source, UserLinks};
use crate::jail::Jails;
use crate::lan::Mode;
use crate::limits;
use crate::network_settings::SettingsReader;
use crate::operator::LocalToken;
use crate::payment::{ChainFlows, Monitor, Payments};
use crate::pool::{Bounds, Pool};
use crate::program::Programs;
use crate::watch::Watch;
use crate::workloads::{Machines, ProgramWorkloads, Workloads};

/// Everything but the server; it ends with `cancel`, and so do the tasks that it
/// adds to `background`.
pub(super) fn parts(
    (config, lan): (CrnConfig, Option<GuestLinks>),
    given: Given,
    address: SocketAddr,
    background: &TaskTracker,
    cancel: CancellationToken,
) -> Result<Parts, Error> {
    let folder = config.folder.clone();
    let wrong = |source| Error::Folder {
        folder: folder.clone(),
        source,
    };
    std::fs::create_dir_all(&folder).map_err(wrong)?;
    // Where clients on this computer find the node, whatever port it took.
    std::fs::write(folder.join("listening"), address.to_string()).map_err(wrong)?;
    let core = CoreNode::new(&config.core_node)?;
    let files = Files::open(core.clone(), &folder).map_err(wrong)?;
    let well_known = config.well_known_files.clone();
    let programs =
        Programs::open(core.clone(), files.clone(), &folder, well_known).map_err(wrong)?;
    let pool = Pool::start(programs, given.executors, bounds(&config), cancel.clone());
    pool.remember_in(folder.join("programs.json"));
    let contents = Contents::new(core.clone(), files.clone());
    let settings = SettingsReader::new(core.clone(), &config.settings_address);
    let flows = ChainFlows::new(core.client().clone(), &config.rpc_avax, &config.rpc_base);
    let flows = given.flows.unwrap_or_else(|| Arc::new(flows));
    let receiver = config.receiver().map(str::to_owned);
    let instances = match given.instances {
        None if config.instances.enabled => {
            let instances = instances((&config, lan.clone()), &core, &files)?;
            if let Some(lan) = lan {
                background.spawn(lan.clone().follow_names(cancel.clone()));
                background.spawn(sweep(lan, instances.clone(), cancel.clone()));
            }
            background.spawn(end_with(instances.clone(), cancel.clone()));
            Some(Arc::new(instances) as Arc<dyn Workloads>)
        }
        given => given,
    };
    let payments = Payments::new(core, settings.clone(), flows, receiver);
    let workloads = ProgramWorkloads::new(pool.clone(), contents.clone());
    Ok(Parts {
        identity: Identity::open(config.node_hash.as_deref(), &folder),
        token: LocalToken::open(&folder).map_err(wrong)?,
        machines: Machines::new(Arc::new(workloads), instances),
        config,
        address,
        pool,
        contents,
        settings,
        payments,
        network: given.network,
        room: given.room,
        cancel,
    })
}

fn instances(
    (config, lan): (&CrnConfig, Option<GuestLinks>),
    core: &CoreNode,
    files: &Files,
) -> Result<Instances, Error> {
    let links: Arc<dyn Links> = match (lan, config.lan.mode) {
        (Some(lan), _) => Arc::new(lan),
        (None, Mode::None) => Arc::new(NoLinks),
        (None, _) => Arc::new(UserLinks::new(config.instances.forward_address)),
    };
    let ground = Ground {
        folder: config.folder.clone(),
        source: Source {
            core: core.clone(),
            files: files.clone(),
            well_known: config.well_known_files.clone(),
        },
        links,
        acceleration: config.acceleration,
        jails: Jails::open(
            config.jail,
            config.jail_first_user,
            &config.folder.join("jails"),
        )?,
        disk_mib: config.admission.disk_mib,
        hardware: hardware(config),
    };
    Ok(Instances::start(&config.instances, ground)?)
}

/// What the operator gives away beside processors, memory and disks.
fn hardware(config: &CrnConfig) -> Hardware {
    let sev = config.enable_confidential.then(Geometry::of_this_computer);
    if let Some(None) = sev {
        tracing::warn!("confidential instances are enabled, and this computer hides no memory");
    }
    Hardware {
        sev: sev.flatten(),
        cards: match config.enable_gpus {
            true => api::free_cards(),
            false => Vec::new(),
        },
    }
}

/// Takes away what guests of an earlier node left.
async fn sweep(lan: GuestLinks, instances: Instances, cancel: CancellationToken) {
    let swept = async {
        instances.settled().await;
        lan.sweep(&instances).await
    };
    tokio::select! {
        swept = swept => if let Err(error) = swept {
            tracing::warn!(%error, "what guests of an earlier node left stays");
        },
        () = cancel.cancelled() => {}
    }
}

/// The node's hand leaves its instances; their guests live on.
async fn end_with(instances: Instances, cancel: CancellationToken) {
    cancel.cancelled().await;
    instances.close().await;
}

fn bounds(config: &CrnConfig) -> Bounds {
    let memory_mib = config
        .machine_memory_mib
        .unwrap_or_else(|| api::available_memory_mib() * limits::MACHINE_MEMORY_PERCENT / 100);
    Bounds {
        reuse: Duration::from_secs(config.reuse_seconds),
        pause: (config.pause_seconds > 0).then(|| Duration::from_secs(config.pause_seconds)),
        ready: Duration::from_secs(config.ready_timeout_seconds),
        memory_mib,
    }
}

/// What a node does without being asked; all of it ends with the parts'
/// `cancel`.
pub(super) fn background(parts: &Parts, tasks: &TaskTracker) {
    let cancel = &parts.cancel;
    let monitor = Monitor::new(
        parts.payments.clone(),
        parts.contents.clone(),
        parts.machines.clone(),
    );
    let period = Duration::from_secs(parts.config.payment_interval_seconds.max(1));
    tasks.spawn(monitor.run(period, cancel.clone()));
    if parts.config.watch {
        let watch = Watch::new(
            parts.contents.clone(),
            parts.machines.clone(),
            parts.pool.clone(),
            parts.settings.clone(),
            parts.network.clone(),
            cancel.clone(),
        );
        tasks.spawn(watch.run());
    }
    if let Some(owner) = parts.config.owner.clone() {
        let core = parts.contents.core().clone();
        let domain_name = parts.config.domain_name.clone();
        let identity = parts.identity.clone();
        tasks.spawn(identity.discover(core, owner, domain_name, cancel.clone()));
    }
    let (pool, cancel) = (parts.pool.clone(), cancel.clone());
    tasks.spawn(async move {
        let mut clock = tokio::time::interval(limits::REVIVE_PERIOD);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while cancel.run_until_cancelled(clock.tick()).await.is_some() {
            cancel.run_until_cancelled(pool.revive_kept()).await;
        }
    });
}
