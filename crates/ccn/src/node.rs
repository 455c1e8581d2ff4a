//! The composition of a core node: what is started, in which order, and how it
//! ends.

pub mod quiet;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use beth_http::Server;
use beth_network::{Config as NetworkConfig, Network};
use beth_store::limits::READERS_MAX;
use beth_store::{Blobs, Store};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::alive::Alive;
use crate::blocks::Kept;
use crate::catch_up::CatchUp;
use crate::config::CcnConfig;
use crate::contents::Shared;
use crate::context::Context;
use crate::error::Error;
use crate::events::Events;
use crate::fetch::{Fetcher, Graphs, Origins, Sources};
use crate::gossip::{Carriage, Carrier, Ears, Gossip, NetworkInfo};
use crate::jobs::Jobs;
use crate::kubo::{self, Kubo};
use crate::library::Shelves;
use crate::lock::Lock;
use crate::metrics::Metrics;
use crate::metrics::sample::Sampler;
use crate::neighbours::{Guard, Neighbours};
use crate::pipeline::{Pipeline, now};
use crate::provide::Provide;
use crate::repair::{Hands, Repair, scrub};
use crate::retry::Retry;
use crate::room::Bodies;
use crate::streams::{Streams, feed};
use crate::turns::Turns;
use crate::verify::{Intake, Verifiers};
use crate::visits::Visits;
use crate::writer::Task;
use crate::{api, blocks, catch_up, gossip, limits, reference, verify, writer};

/// A running core node.
pub struct Node {
    /// What the HTTP API works with; also for routes of others (scheduler).
    pub context: Arc<Context>,
    /// Where the HTTP API listens.
    pub address: SocketAddr,
    listener: TcpListener,
    network: Option<Arc<Network>>,
    tasks: JoinSet<()>,
    verifiers: Vec<JoinHandle<()>>,
    writer: JoinHandle<()>,
    cancel: CancellationToken,
}

impl Node {
    /// Starts everything but the HTTP server, whose port is bound.
    pub async fn start(config: CcnConfig, cancel: CancellationToken) -> Result<Node, Error> {
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|source| Error::Listen {
                address: config.listen,
                source,
            })?;
        let address = listener.local_addr().map_err(|source| Error::Listen {
            address: config.listen,
            source,
        })?;
        let (store, blobs, lock) = open(&config)?;
        let guard = Guard::of(&config);
        let client = http_client(&guard)?;
        let (network, received) =
            Network::start(network_config(&config), cancel.child_token()).await?;
        let network = Arc::new(network);
        let parts = Parts {
            catches_up: true,
            config,
            store,
            blobs,
            lock,
            client: client.clone(),
            network: Some(network.clone()),
            rehearsed: Vec::new(),
        };
        let Wired {
            context,
            background,
            verifiers,
            writer,
        } = parts.wire(&cancel)?;
        let mut tasks: JoinSet<()> = background.into_iter().collect();
        let topic = context.config.p2p.message_topic.clone();
        let intake = context.pipeline.intake.clone();
        reconcile(&network, &context)?;
        tasks.spawn(api::control::serve(context.clone(), cancel.child_token()));
        let (alive, heard) = mpsc::channel(limits::ALIVE_QUEUE);
        let life = Alive {
            network: network.clone(),
            http: address,
            client,
            guard,
        };
        for task in life.tasks(&context, heard, &cancel)? {
            tasks.spawn(task);
        }
        let ears = Ears {
            topic,
            intake,
            alive,
        };
        tasks.spawn(gossip::listen(received, ears, cancel.child_token()));
        info!(%address, peer_id = network.peer_id(), "core node started");
        Ok(Node {
            context,
            address,
            listener,
            network: Some(network),
            tasks,
            verifiers,
            writer,
            cancel,
        })
    }

    /// Serves the HTTP API, with `extra` routes beside it, until cancelled;
    /// then ends everything in order: requests, sources, verifiers, writer.
    pub async fn serve(mut self, extra: Router) -> Result<(), Error> {
        let server = Server {
            listener: self.listener,
            service: api::router_with(self.context.clone(), extra),
            bounds: self.context.config.http.bounds()?,
            stats: self.context.metrics.connections.clone(),
        };
        server.run(self.cancel.clone()).await;
        self.cancel.cancel();
        self.context.streams.end().await;
        while self.tasks.join_next().await.is_some() {}
        if let Some(network) = self.network {
            network.stop().await;
        }
        let pipeline = self.context.pipeline.clone();
        // The folder stays ours until nobody writes to it.
        let _lock = self.context.lock.clone();
        drop(self.context);
        end(pipeline, self.verifiers, self.writer).await?;
        info!("core node stopped");
        Ok(())
    }
}

/// First the verifiers, then the writer: what was handed in is written. A
/// request that is still open keeps its own senders; nobody waits for it.
async fn end(
    pipeline: Pipeline,
    verifiers: Vec<JoinHandle<()>>,
    writer: JoinHandle<()>,
) -> Result<(), Error> {
    pipeline.intake.close().await;
    let verified = join("verifier", verifiers).await;
    let _ = pipeline.writer.send(Task::Stop).await;
    let written = join("writer", vec![writer]).await;
    verified.and(written)
}

/// Waits for threads that were told to end.
async fn join(name: &'static str, threads: Vec<JoinHandle<()>>) -> Result<(), Error> {
    let joined = tokio::task::spawn_blocking(move || {
        threads
            .into_iter()
            .map(JoinHandle::join)
            .all(|ended| ended.is_ok())
    });
    match tokio::time::timeout(limits::DRAIN_TIMEOUT, joined).await {
        Ok(Ok(true)) => Ok(()),
        _ => Err(Error::Stopped(name)),
    }
}

fn open(config: &CcnConfig) -> Result<(Store, Arc<Blobs>, Lock), Error> {
    let lock = Lock::take(&config.folder)?;
    let mut store = Store::open(&config.database_path())?;
    let blobs = Blobs::open(&config.blobs_path())?;
    for (item_hash, path) in &config.well_known_files {
        declare(&mut store, &blobs, item_hash, path)?;
    }
    Ok((store, Arc::new(blobs), lock))
}

/// Declares an operator's file. It is read at every start, and copied only when
/// it changed.
fn declare(
    store: &mut Store,
    blobs: &Blobs,
    item_hash: &str,
    path: &std::path::Path,
) -> Result<(), Error> {
    let hash = Blobs::hash_of(path).map_err(|error| {
        Error::Config(format!(
            "well-known file {}: {error}; build it or remove the entry",
            path.display()
        ))
    })?;
    let pinned = store.readers.read(|state| state.well_known(item_hash))?;
    if pinned.as_deref() == Some(&hash) && blobs.contains(&hash) {
        return Ok(());
    }
    let kept = blobs.adopt(path)?;
    store.writer.transaction(|state| {
        state.declare_well_known(item_hash, &kept.hash, kept.size_bytes, now())
    })?;
    Ok(())
}

/// Neighbours find out what one of them missed.
fn reconcile(network: &Network, context: &Context) -> Result<(), Error> {
    let shelves = Shelves {
        readers: context.readers.more(limits::LIBRARY_READERS)?,
        pipeline: context.pipeline.clone(),
    };
    let neighbours = context.neighbours.clone();
    let visits = context.visits.clone();
    network.reconcile(Arc::new(shelves), move |peer, visit| {
        visits.note(peer, visit);
        neighbours.note_reconciled(peer);
        if visit.fetched + visit.offered > 0 {
            info!(
                peer,
                fetched = visit.fetched,
                offered = visit.offered,
                questions = visit.questions,
                question_bytes = visit.question_bytes,
                "reconciled with a neighbour"
            );
        }
    });
    Ok(())
}

fn network_config(config: &CcnConfig) -> NetworkConfig {
    NetworkConfig {
        listen: config.p2p.listen.clone(),
        identity: config.identity_path(),
        bootstrap: config.p2p.bootstrap.clone(),
        topics: vec![
            config.p2p.alive_topic.clone(),
            config.p2p.message_topic.clone(),
        ],
        judged: vec![config.p2p.message_topic.clone()],
        quic: config.p2p.quic,
        peers_wanted: config.p2p.peers_wanted,
        routers: config.ipfs.bootstrap.clone(),
    }
}

/// A client for other nodes. Installing the TLS provider twice is harmless.
fn http_client(guard: &Guard) -> Result<reqwest::Client, Error> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(limits::CONNECT_TIMEOUT)
        .read_timeout(limits::FETCH_READ_TIMEOUT)
        .dns_resolver(guard.clone())
        .redirect(guard.policy())
        .build()
        .map_err(|error| Error::Config(format!("the HTTP client cannot start: {error}")))
}

struct Parts {
    config: CcnConfig,
    store: Store,
    blobs: Arc<Blobs>,
    lock: Lock,
    client: reqwest::Client,
    network: Option<Arc<Network>>,
    /// Other nodes are asked for what was missed.
    catches_up: bool,
    /// What stands for gossip in tests.
    rehearsed: Vec<Carrier>,
}

struct Wired {
    context: Arc<Context>,
    /// Not started yet.
    background: Vec<BoxFuture<'static, ()>>,
    verifiers: Vec<JoinHandle<()>>,
    writer: JoinHandle<()>,
}

impl Parts {
    fn wire(self, cancel: &CancellationToken) -> Result<Wired, Error> {
        let Parts {
            config,
            store,
            blobs,
            lock,
            client,
            network,
            catches_up,
            rehearsed,
        } = self;
        let metrics = Metrics::new();
        let metrics = Arc::new(metrics.map_err(|error| {
            Error::Config(format!(
                "the metrics cannot be declared: {error}; please report it"
            ))
        })?);
        let (intake, jobs) = Intake::new(metrics.clone());
        let (writer, tasks) = mpsc::channel(limits::WRITER_QUEUE);
        let (announcer, heard) = feed();
        let events = Events::new(announcer.clone());
        let retry = Arc::new(Notify::new());
        let failed =
            |error: std::io::Error| Error::Config(format!("a thread cannot start: {error}"));
        let turns = Turns::default();
        let verifiers = Verifiers {
            writer: writer.clone(),
            blobs: blobs.clone(),
            readers: Arc::new(store.readers.more(verify::count())?),
            now: turns.now(),
            bodies: Bodies::new(),
            metrics: metrics.clone(),
        };
        let verifiers = verifiers.spawn(jobs, cancel).map_err(failed)?;
        let rules = config.rules.clone();
        let told = writer::Told {
            events: events.clone(),
            retry: retry.clone(),
            metrics: metrics.clone(),
        };
        let writer_thread =
            writer::spawn(store.writer, tasks, (rules, turns), told, cancel).map_err(failed)?;

        let readers = Arc::new(store.readers);
        let carriers = network.iter().cloned().map(Carrier::Network);
        let carriers = carriers.chain(rehearsed).collect();
        let gossip = Gossip::new(carriers, &config.p2p.message_topic, metrics.clone());
        let pipeline = Pipeline {
            intake: intake.clone(),
            writer: writer.clone(),
            gossip,
            events: events.clone(),
            metrics: metrics.clone(),
        };
        let neighbours = Neighbours::new(&config.content_peers);
        let exchange = network
            .as_ref()
            .map(|network| network.exchange(Arc::new(Kept::new(blobs.clone()))));
        let kubo = Kubo::configured(&config.ipfs, client.clone());
        let sources = Sources {
            exchange: exchange.clone(),
            network: network.clone(),
            providers: config.ipfs.peers.clone(),
            kubo: kubo.clone(),
            neighbours: neighbours.clone(),
        };
        let graphs = Graphs::new(blobs.clone(), client.clone(), sources);
        let origins = Origins {
            client: client.clone(),
            neighbours: neighbours.clone(),
            network: network.clone(),
            graphs: graphs.clone(),
            bytes_max: config.storage.max_file_size,
            graph_bytes_max: config.ipfs.max_upload_car_size,
        };
        let taken = (blobs.clone(), writer);
        let fetcher = Fetcher::new(origins, taken, metrics.clone(), cancel.child_token());
        if let Some(network) = &network {
            let contents = Shared::new(blobs.clone(), metrics.clone());
            network.share(Arc::new(contents));
        }
        let retries = Retry {
            readers: readers.clone(),
            intake,
            wake: retry,
            fetcher: fetcher.clone(),
            fetches: Semaphore::new(limits::FETCHES_MAX),
        };
        let reference = reference::watch(
            client.clone(),
            config.reference_node_url.clone(),
            metrics.clone(),
            cancel.child_token(),
        );
        let network = NetworkInfo::new(network);
        let catch_up = catch_up::run(
            CatchUp {
                client,
                readers: readers.clone(),
                pipeline: pipeline.clone(),
                network: network.clone(),
                neighbours: neighbours.clone(),
            },
            cancel.child_token(),
        );
        let jobs = Arc::new(Jobs::new(&config, pipeline.clone(), blobs.clone()));
        let period = Duration::from_secs(config.jobs.period_seconds.max(1));
        let mut background = vec![
            fetcher.end(),
            retries.run(cancel.child_token()).boxed(),
            reference.boxed(),
            blocks::mend(blobs.clone(), cancel.child_token()).boxed(),
            kubo::connect(kubo, config.ipfs.peers.clone(), cancel.child_token()).boxed(),
            jobs.clone()
                .keep_doing(period, cancel.child_token())
                .boxed(),
        ];
        if let Some(network) = network.provider(&config) {
            let (readers, events) = (readers.clone(), events.clone());
            let provide = Provide {
                network,
                readers,
                events,
            };
            background.push(provide.run(cancel.child_token()).boxed());
        }
        let hands = Hands {
            fetcher: fetcher.clone(),
            pipeline: pipeline.clone(),
        };
        let repair = Arc::new(Repair::of_node(readers.more(1)?, blobs.clone(), hands));
        if catches_up {
            background.push(catch_up.boxed());
            let scrub = scrub::run(repair.clone(), scrub::plan(&config), cancel.child_token());
            background.push(scrub.boxed());
        }
        let streams = Streams::start(config.websocket.clone(), (announcer, heard), cancel);
        let folder = config.folder.clone();
        let disk_free_bytes_min = config.http.disk_free_bytes_min;
        let context = Arc::new(Context {
            limits: api::limits(&config)?,
            metrics,
            sampler: Sampler::default(),
            checks: api::Checks::default(),
            readers,
            reads: Arc::new(Semaphore::new(READERS_MAX)),
            blobs,
            pipeline,
            config: Arc::new(config),
            network,
            exchange,
            fetcher,
            graphs,
            neighbours,
            visits: Visits::default(),
            repair,
            events,
            streams,
            jobs,
            uploads: Arc::new(api::Space::new(folder, disk_free_bytes_min)),
            rewrites: Arc::new(Semaphore::new(limits::REWRITES_MAX)),
            archives: Arc::new(Semaphore::new(limits::ARCHIVE_CHECKS_MAX)),
            gateway_fetches: Semaphore::new(limits::GATEWAY_FETCHES_MAX),
            lock: Arc::new(lock),
        });
        Ok(Wired {
            context,
            background,
            verifiers,
            writer: writer_thread,
        })
    }
}

/// A node without gossip, HTTP port and retries, for tests of its routes and
/// rules: what waits stays waiting. The pipeline ends with the context.
pub fn offline(config: CcnConfig) -> Result<Arc<Context>, Error> {
    rehearsal(config, &[])
}

/// The same with carriers that carry nothing, in the order in which they are
/// tried: `ipfs`, `p2p`.
pub fn rehearsal(
    config: CcnConfig,
    carriers: &[(&'static str, Carriage)],
) -> Result<Arc<Context>, Error> {
    let rehearsed = carriers.iter();
    let rehearsed = rehearsed.map(|&(name, carriage)| Carrier::Rehearsed { name, carriage });
    let (store, blobs, lock) = open(&config)?;
    let parts = Parts {
        catches_up: true,
        client: http_client(&Guard::of(&config))?,
        config,
        store,
        blobs,
        lock,
        network: None,
        rehearsed: rehearsed.collect(),
    };
    Ok(parts.wire(&CancellationToken::new())?.context)
}
