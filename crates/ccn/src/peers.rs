//! Who is there, as operators see it: `beth ccn peers`.

use std::time::Duration;

use beth_network::{PeerStatus, Status, TopicStatus};
use beth_protocol::alive::PeerType;
use beth_protocol::time::Timestamp;
use beth_store::StoredPeer;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::pipeline::now;
use crate::visits::{LastVisit, Visits};

/// Peers that were heard so long ago are told of, in microseconds: a day.
const KNOWN_MICROS: i64 = 86_400_000_000;
/// Peers that are not connected and are told of.
const ABSENT_MAX: usize = 1_000;

/// The network of a node at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Peers {
    /// Our peer id.
    pub peer_id: String,
    /// Where we listen.
    pub listening: Vec<String>,
    /// Where others can reach us, as far as that was proved.
    pub external: Vec<String>,
    /// Who is connected.
    pub connected: Vec<Peer>,
    /// Who is known and is not connected.
    pub absent: Vec<Absent>,
    /// Gossip by topic.
    pub topics: Vec<Topic>,
    /// Nodes that are asked over HTTP.
    pub http: Vec<String>,
    /// Contents from other nodes, by kind of source.
    pub contents: Vec<Source>,
}

/// A connected peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Its peer id.
    pub id: String,
    /// Its multiaddress, without the peer id.
    pub address: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// `tcp`, `quic` or `relay`.
    pub transport: String,
    /// What it calls itself; upstream says nothing.
    pub agent: Option<String>,
    /// The last round trip, in milliseconds.
    pub round_trip_milliseconds: Option<f64>,
    /// How it behaves; it is cut off at −100.
    pub score: f64,
    /// Version of gossip.
    pub gossip: Option<String>,
    /// Protocols that it speaks.
    pub protocols: Vec<String>,
    /// Topics that we both follow.
    pub topics: Vec<String>,
    /// Those in whose mesh it is.
    pub meshes: Vec<String>,
    /// The last time that we compared what we have; `None` until then, and for
    /// who does not reconcile.
    pub visit: Option<Comparison>,
}

/// A visit to a peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Time since its end: no older difference is left.
    pub age_seconds: f64,
    /// Round trips of questions.
    pub questions: u64,
    /// Bytes of questions and messages, both ways.
    pub bytes: u64,
    /// Messages that we had not.
    pub fetched: u64,
    /// Messages that the peer had not.
    pub offered: u64,
}

/// A peer that is not connected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Absent {
    /// Its peer id.
    pub id: String,
    /// Where it is, as far as known.
    pub address: String,
    /// Why it is known or refused.
    pub why: String,
}

/// Gossip of a topic since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Topic {
    /// Its name.
    pub topic: String,
    /// Connected peers that follow it.
    pub peers: usize,
    /// Those in our mesh.
    pub mesh: usize,
    /// Messages that came.
    pub messages_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Copies that were sent.
    pub messages_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Messages that came again.
    pub duplicates: u64,
    /// Messages found right.
    pub accepted: u64,
    /// Messages not passed on: wrong, or not judged in time.
    pub withheld: u64,
}

/// Contents from a kind of source since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Which kind.
    pub source: String,
    /// Contents that came.
    pub done: u64,
    /// Contents that did not.
    pub failed: u64,
    /// Bytes that came.
    pub bytes: u64,
    /// Times that wrong bytes came.
    pub lies: u64,
}

impl Peers {
    /// Looks at the network of a node.
    pub(crate) async fn of(context: &Context) -> Peers {
        let status = context.network.status().await;
        let since = Timestamp::from_micros(now().micros() - KNOWN_MICROS);
        let heard = context.read(move |state| state.peers(PeerType::P2p, since));
        let heard = heard.await.unwrap_or_default();
        let absent = absent(context, &status, &heard);
        let connected = status.peers.iter();
        Peers {
            connected: connected
                .map(|peer| Peer::of(peer, &context.visits))
                .collect(),
            absent,
            topics: status.topics.iter().map(Topic::of).collect(),
            http: context.neighbours.http(),
            contents: sources(context),
            peer_id: status.peer_id,
            listening: status.listening,
            external: status.external,
        }
    }
}

impl Peer {
    fn of(peer: &PeerStatus, visits: &Visits) -> Peer {
        Peer {
            id: peer.id.clone(),
            address: peer.address.clone(),
            direction: peer.direction.as_str().into(),
            transport: peer.transport.as_str().into(),
            agent: peer.agent.clone(),
            round_trip_milliseconds: peer.round_trip.map(milliseconds),
            score: peer.score,
            gossip: peer.gossip.clone(),
            protocols: peer.protocols.clone(),
            topics: peer.topics.clone(),
            meshes: peer.meshes.clone(),
            visit: visits.last(&peer.id).as_ref().map(Comparison::of),
        }
    }
}

impl Comparison {
    fn of(last: &LastVisit) -> Comparison {
        let visit = &last.visit;
        Comparison {
            age_seconds: last.lag().as_secs_f64(),
            questions: visit.questions,
            bytes: visit.question_bytes + visit.message_bytes,
            fetched: visit.fetched,
            offered: visit.offered,
        }
    }
}

impl Topic {
    fn of(status: &TopicStatus) -> Topic {
        Topic {
            topic: status.topic.clone(),
            peers: status.peers,
            mesh: status.mesh,
            messages_in: status.messages_in,
            bytes_in: status.bytes_in,
            messages_out: status.messages_out,
            bytes_out: status.bytes_out,
            duplicates: status.duplicates,
            accepted: status.accepted,
            withheld: status.withheld,
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Those that are refused, those that are configured, those that answer over
/// HTTP alone.
fn absent(context: &Context, status: &Status, heard: &[StoredPeer]) -> Vec<Absent> {
    let mut absent: Vec<Absent> = Vec::new();
    let mut add = |id: &str, address: &str, why: String| {
        let is_here = id == status.peer_id || status.peers.iter().any(|peer| peer.id == id);
        if !is_here && !absent.iter().any(|known| known.id == id) {
            absent.push(Absent {
                id: id.to_owned(),
                address: address.to_owned(),
                why,
            });
        }
    };
    for peer in &status.blocked {
        let why = format!("cut off for another {} s", peer.remaining.as_secs());
        add(&peer.id, "", why);
    }
    for address in &context.config.p2p.bootstrap {
        if let Some((place, id)) = address.rsplit_once("/p2p/") {
            add(id, place, "configured, is called again and again".into());
        }
    }
    for peer in heard.iter().take(ABSENT_MAX) {
        add(&peer.peer_id, &peer.address, "said that it is there".into());
    }
    for peer in context.neighbours.peers() {
        if let Some(id) = &peer.peer_id {
            add(id, &peer.url, "answers over HTTP".into());
        }
    }
    absent
}

fn sources(context: &Context) -> Vec<Source> {
    let fetches = &context.metrics.work.fetches;
    ["storage", "ipfs"]
        .into_iter()
        .map(|source| Source {
            source: source.into(),
            done: fetches.with_label_values(&[source, "done"]).get(),
            failed: fetches.with_label_values(&[source, "failed"]).get(),
            ..Source::default()
        })
        .collect()
}
