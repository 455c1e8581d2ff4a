//! What the network looks like from here, at one moment.

use std::time::Duration;

/// A snapshot of the network of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Our peer id.
    pub peer_id: String,
    /// Where we listen, as multiaddresses with our peer id.
    pub listening: Vec<String>,
    /// Where others can reach us, as far as that was proved.
    pub external: Vec<String>,
    /// The connected peers, by id.
    pub peers: Vec<PeerStatus>,
    /// The topics that we follow, by name.
    pub topics: Vec<TopicStatus>,
    /// Messages that were found wrong, of all topics.
    pub rejected: u64,
    /// Peers that were cut off and are refused for a while.
    pub blocked: Vec<BlockedPeer>,
}

/// One connected peer.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerStatus {
    /// Its peer id.
    pub id: String,
    /// The multiaddress of the oldest connection, without the peer id.
    pub address: String,
    /// Who called.
    pub direction: Direction,
    /// What the connection runs over.
    pub transport: Transport,
    /// How many connections stand.
    pub connections: usize,
    /// The name and version that it gives itself; upstream gives none.
    pub agent: Option<String>,
    /// The last measured; upstream does not answer.
    pub round_trip: Option<Duration>,
    /// The version of gossip spoken with it, as `/meshsub/1.1.0`.
    pub gossip: Option<String>,
    /// The protocols that it says it speaks.
    pub protocols: Vec<String>,
    /// How it behaves: above 0 is good, at −100 it is cut off.
    pub score: f64,
    /// Points for faults that were seen outside of gossip, which fade; they
    /// are part of the score.
    pub points: f64,
    /// Those of our topics that it follows.
    pub topics: Vec<String>,
    /// Those of our topics in whose mesh it is: messages are passed on to it at
    /// once.
    pub meshes: Vec<String>,
}

/// Who called whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The peer called us.
    Inbound,
    /// We called the peer.
    Outbound,
}

/// What a connection runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP, Noise, Yamux or Mplex.
    Tcp,
    /// QUIC over UDP.
    Quic,
    /// Through another peer that relays.
    Relay,
}

/// One topic. Numbers are of gossip since the start of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicStatus {
    /// Its name.
    pub topic: String,
    /// Connected peers that follow it.
    pub peers: usize,
    /// Peers in our mesh of it.
    pub mesh: usize,
    /// Messages that came, duplicates included.
    pub messages_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Of those messages, how many were known.
    pub duplicates: u64,
    /// Copies of messages that were sent, own and others'.
    pub messages_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Messages of our own.
    pub published: u64,
    /// Messages that were found right and passed on.
    pub accepted: u64,
    /// Messages that were not passed on: wrong, or not judged in time.
    pub withheld: u64,
}

/// A peer that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedPeer {
    /// Its peer id.
    pub id: String,
    /// For how long still.
    pub remaining: Duration,
}

impl Direction {
    /// `inbound` or `outbound`.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        }
    }
}

impl Transport {
    /// `tcp`, `quic` or `relay`.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Quic => "quic",
            Transport::Relay => "relay",
        }
    }
}
