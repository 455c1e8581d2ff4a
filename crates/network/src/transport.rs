//! How two nodes get a connection: TCP without delay, names resolved, Noise,
//! Yamux (network.md §2.1).
//!
//! Upstream also offers Mplex for nodes older than itself; it prefers Yamux
//! and so nobody misses it here.

use std::future::Future;
use std::pin::Pin;

use libp2p::{
    PeerId, Swarm, Transport,
    allow_block_list::{self, BlockedPeers},
    connection_limits::{self, ConnectionLimits},
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    dns, identify, noise, ping,
    swarm::{self, NetworkBehaviour},
    tcp, yamux,
};
use tokio_util::task::TaskTracker;

use crate::{
    error::Error,
    gossip::{Gossip, gossip},
    identity::Identity,
    limits::{
        CONNECTIONS_PER_PEER, DIAL, IDENTIFY_PERIOD, IDLE, INCOMING_CONNECTIONS,
        PENDING_INCOMING_CONNECTIONS, PING, PING_PERIOD,
    },
    traffic::Traffic,
};

/// The name of our software.
pub(crate) const AGENT: &str = concat!("beth/", env!("CARGO_PKG_VERSION"));

/// The family of protocols that we speak.
const FAMILY: &str = "aleph/1.0.0";

/// What a connection carries, and how many there may be.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(crate) blocks: allow_block_list::Behaviour<BlockedPeers>,
    pub(crate) gossip: Gossip,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(crate) streams: libp2p_stream::Behaviour,
}

/// Builds the swarm; its connections run as tasks of the tracker.
pub(crate) fn swarm(
    identity: &Identity,
    topics: &[String],
    tasks: &TaskTracker,
) -> Result<(Swarm<Behaviour>, Traffic), Error> {
    let (gossip, traffic) = Traffic::of(gossip(identity.keypair(), topics)?);
    let behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(limits()),
        blocks: allow_block_list::Behaviour::default(),
        gossip,
        identify: identify::Behaviour::new(introduction(identity)),
        ping: ping::Behaviour::new(
            ping::Config::new()
                .with_interval(PING_PERIOD)
                .with_timeout(PING),
        ),
        streams: libp2p_stream::Behaviour::new(),
    };
    let tasks = tasks.clone();
    let spawn = move |connection: Pin<Box<dyn Future<Output = ()> + Send>>| {
        tasks.spawn(connection);
    };
    let config = swarm::Config::with_executor(spawn).with_idle_connection_timeout(IDLE);
    let peer_id = identity.keypair().public().to_peer_id();
    let swarm = Swarm::new(transport(identity)?, behaviour, peer_id, config);
    Ok((swarm, traffic))
}

/// What we say of ourselves.
fn introduction(identity: &Identity) -> identify::Config {
    identify::Config::new(FAMILY.to_owned(), identity.keypair().public())
        .with_agent_version(AGENT.to_owned())
        .with_interval(IDENTIFY_PERIOD)
        .with_push_listen_addr_updates(true)
        .with_cache_size(0)
}

fn limits() -> ConnectionLimits {
    ConnectionLimits::default()
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER))
        .with_max_established_incoming(Some(INCOMING_CONNECTIONS))
        .with_max_pending_incoming(Some(PENDING_INCOMING_CONNECTIONS))
}

fn transport(identity: &Identity) -> Result<Boxed<(PeerId, StreamMuxerBox)>, Error> {
    let noise =
        noise::Config::new(identity.keypair()).map_err(|error| Error::Setup(error.to_string()))?;
    Ok(resolving()
        .upgrade(Version::V1)
        .authenticate(noise)
        .multiplex(yamux::Config::default())
        .timeout(DIAL)
        .boxed())
}

fn resolving() -> dns::tokio::Transport<tcp::tokio::Transport> {
    dns::tokio::Transport::system(tcp()).unwrap_or_else(|error| {
        tracing::warn!(%error, "no system resolver: peers can be reached by IP address only");
        let (config, options) = (dns::ResolverConfig::default(), dns::ResolverOpts::default());
        dns::tokio::Transport::custom(tcp(), config, options)
    })
}

fn tcp() -> tcp::tokio::Transport {
    tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
}
