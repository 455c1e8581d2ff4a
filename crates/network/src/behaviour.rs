//! What runs on a connection, and how many connections there may be.
//!
//! ```text
//!   with everybody   gossip · our own protocols as streams
//!   with those who   identify · ping · Kademlia of our own kind
//!   speak it too     AutoNAT · relay · hole punching · IPFS routing, when configured
//! ```
//!
//! Every protocol is negotiated by itself, so that upstream, which knows
//! nothing but gossip, is not troubled; none closes a connection because the
//! other side does not speak it.

use std::{future::Future, num::NonZeroUsize, pin::Pin};

use libp2p::{
    PeerId, StreamProtocol, Swarm,
    allow_block_list::{self, BlockedPeers},
    autonat::v2 as autonat,
    connection_limits::{self, ConnectionLimits},
    dcutr, identify,
    kad::{self, store::MemoryStore},
    ping, relay,
    swarm::{self, NetworkBehaviour, behaviour::toggle::Toggle},
};
use tokio_util::task::TaskTracker;

use crate::{
    address::PeerAddress,
    error::Error,
    gossip::{Gossip, gossip},
    identity::Identity,
    limits::{
        CIRCUIT, CIRCUIT_BYTES, CIRCUITS, CONNECTIONS_PER_PEER, DISCOVERY_PERIOD, DISCOVERY_QUERY,
        IDENTIFY_PERIOD, IDLE, INCOMING_CONNECTIONS, PENDING_INCOMING_CONNECTIONS, PING,
        PING_PERIOD, RESERVATIONS, WALK,
    },
    network::Config,
    pong::Pong,
    traffic::Traffic,
    transport::transport,
};

/// The name of our software.
const AGENT: &str = concat!("beth/", env!("CARGO_PKG_VERSION"));

/// The family of protocols that we speak.
const FAMILY: &str = "aleph/1.0.0";

/// The protocol by which nodes of our kind find each other. It has its own id,
/// so that nodes of other networks are never among them.
pub(crate) const DISCOVERY: StreamProtocol = StreamProtocol::new("/beth/kad/1.0.0");

/// The protocol by which all of IPFS finds contents.
const ROUTING: StreamProtocol = StreamProtocol::new("/ipfs/kad/1.0.0");

/// What a connection carries, and how many there may be.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(crate) blocks: allow_block_list::Behaviour<BlockedPeers>,
    pub(crate) gossip: Gossip,
    identify: identify::Behaviour,
    /// Before the library's own ping.
    pong: Pong,
    ping: ping::Behaviour,
    pub(crate) streams: libp2p_stream::Behaviour,
    pub(crate) discovery: Toggle<kad::Behaviour<MemoryStore>>,
    pub(crate) routing: Toggle<kad::Behaviour<MemoryStore>>,
    reach: autonat::client::Behaviour,
    reach_of_others: autonat::server::Behaviour,
    relay: relay::Behaviour,
    relayed: relay::client::Behaviour,
    punch: dcutr::Behaviour,
}

/// Builds the swarm; its connections run as tasks of the tracker.
pub(crate) fn swarm(
    identity: &Identity,
    config: &Config,
    tasks: &TaskTracker,
) -> Result<(Swarm<Behaviour>, Traffic), Error> {
    let peer_id = identity.keypair().public().to_peer_id();
    let (relay_transport, relayed) = relay::client::new(peer_id);
    let transport = transport(identity, relay_transport)?;
    let (gossip, traffic) = Traffic::of(gossip(identity.keypair(), &config.topics)?);
    let discovery = (config.peers_wanted > 0).then(|| discovery(peer_id));
    let routers = router_addresses(&config.routers)?;
    let routing = (!routers.is_empty()).then(|| routing(peer_id, routers));
    let behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(limits()),
        blocks: allow_block_list::Behaviour::default(),
        gossip,
        identify: identify::Behaviour::new(introduction(identity)),
        pong: Pong,
        ping: ping::Behaviour::new(
            ping::Config::new()
                .with_interval(PING_PERIOD)
                .with_timeout(PING),
        ),
        streams: libp2p_stream::Behaviour::new(),
        discovery: discovery.into(),
        routing: routing.into(),
        reach: autonat::client::Behaviour::default(),
        reach_of_others: autonat::server::Behaviour::default(),
        relay: relay::Behaviour::new(peer_id, relaying()),
        relayed,
        punch: dcutr::Behaviour::new(peer_id),
    };
    let tasks = tasks.clone();
    let spawn = move |connection: Pin<Box<dyn Future<Output = ()> + Send>>| {
        tasks.spawn(connection);
    };
    let config = swarm::Config::with_executor(spawn).with_idle_connection_timeout(IDLE);
    Ok((Swarm::new(transport, behaviour, peer_id, config), traffic))
}

/// What we say of ourselves.
fn introduction(identity: &Identity) -> identify::Config {
    identify::Config::new(FAMILY.to_owned(), identity.keypair().public())
        .with_agent_version(AGENT.to_owned())
        .with_interval(IDENTIFY_PERIOD)
        .with_push_listen_addr_updates(true)
        .with_cache_size(0)
}

/// Finds peers only: nobody stores records with us.
fn discovery(own: PeerId) -> kad::Behaviour<MemoryStore> {
    let mut config = kad::Config::new(DISCOVERY);
    config
        .set_query_timeout(DISCOVERY_QUERY)
        .set_periodic_bootstrap_interval(Some(DISCOVERY_PERIOD))
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_record_ttl(None)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        .set_parallelism(NonZeroUsize::MIN.saturating_add(2))
        .set_caching(kad::Caching::Disabled)
        .set_kbucket_inserts(kad::BucketInserts::Manual);
    let mut discovery = kad::Behaviour::with_config(own, MemoryStore::new(own), config);
    discovery.set_mode(Some(kad::Mode::Server));
    discovery
}

/// Asks the table that all of IPFS shares; is no part of it.
fn routing(own: PeerId, routers: Vec<PeerAddress>) -> kad::Behaviour<MemoryStore> {
    let mut config = kad::Config::new(ROUTING);
    config
        .set_query_timeout(WALK)
        .set_periodic_bootstrap_interval(Some(DISCOVERY_PERIOD))
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        .set_caching(kad::Caching::Disabled);
    let mut routing = kad::Behaviour::with_config(own, MemoryStore::new(own), config);
    routing.set_mode(Some(kad::Mode::Client));
    for router in routers {
        routing.add_address(&router.id, router.address);
    }
    routing
}

fn router_addresses(written: &[String]) -> Result<Vec<PeerAddress>, Error> {
    written
        .iter()
        .map(|text| PeerAddress::parse(text))
        .collect()
}

/// Enough to punch a hole and to gossip a while when that fails.
fn relaying() -> relay::Config {
    relay::Config {
        max_reservations: RESERVATIONS,
        max_reservations_per_peer: 2,
        max_circuits: CIRCUITS,
        max_circuits_per_peer: 2,
        max_circuit_duration: CIRCUIT,
        max_circuit_bytes: CIRCUIT_BYTES,
        ..relay::Config::default()
    }
}

fn limits() -> ConnectionLimits {
    ConnectionLimits::default()
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER))
        .with_max_established_incoming(Some(INCOMING_CONNECTIONS))
        .with_max_pending_incoming(Some(PENDING_INCOMING_CONNECTIONS))
}
