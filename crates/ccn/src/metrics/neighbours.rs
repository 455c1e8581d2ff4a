//! The network of a node: who is connected, what is gossiped, how far apart
//! neighbours are. Nothing is counted by peer: there may be thousands, and
//! everybody can make new ones.

use std::collections::BTreeMap;

use beth_network::Status;
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::declare::Declare;
use super::follow;
use crate::visits::Visits;

/// Versions of gossip that are told apart.
const GOSSIP: [&str; 4] = [
    "/meshsub/1.2.0",
    "/meshsub/1.1.0",
    "/meshsub/1.0.0",
    "/floodsub/1.0.0",
];

/// Peers, topics, visits.
pub struct Neighbours {
    peers: IntGaugeVec,
    gossip: IntGaugeVec,
    blocked: IntGauge,
    scores: GaugeVec,
    followers: IntGaugeVec,
    mesh: IntGaugeVec,
    messages: IntCounterVec,
    bytes: IntCounterVec,
    judged: IntCounterVec,
    visits: IntCounterVec,
    questions: IntCounter,
    visit_bytes: IntCounterVec,
    visit_messages: IntCounterVec,
    lag: GaugeVec,
}

impl Neighbours {
    pub(super) fn declare(declare: &Declare<'_>) -> Result<Neighbours, prometheus::Error> {
        Ok(Neighbours {
            peers: declare.gauges(
                "beth_ccn_peers",
                "Peers connected, by who called and over what",
                &["direction", "transport"],
            )?,
            gossip: declare.gauges(
                "beth_ccn_peers_gossip",
                "Peers connected, by the version of gossip",
                &["protocol"],
            )?,
            blocked: declare.gauge("beth_ccn_peers_blocked", "Peers that are refused")?,
            scores: declare.float_gauges(
                "beth_ccn_peer_score",
                "How peers behave: the worst, the middle and the best of the connected ones",
                &["rank"],
            )?,
            followers: declare.gauges(
                "beth_ccn_topic_peers",
                "Connected peers that follow a topic",
                &["topic"],
            )?,
            mesh: declare.gauges(
                "beth_ccn_topic_mesh_peers",
                "Peers that messages of a topic are passed on to at once",
                &["topic"],
            )?,
            messages: declare.counters(
                "beth_ccn_topic_messages_total",
                "Copies of gossiped messages",
                &["topic", "direction"],
            )?,
            bytes: declare.counters(
                "beth_ccn_topic_bytes_total",
                "Bytes of gossiped messages",
                &["topic", "direction"],
            )?,
            judged: declare.counters(
                "beth_ccn_topic_judged_total",
                "Gossiped messages by what became of them",
                &["topic", "verdict"],
            )?,
            visits: declare.counters(
                "beth_ccn_visits_total",
                "Visits to neighbours, by whether both had the same",
                &["found"],
            )?,
            questions: declare.counter(
                "beth_ccn_visit_questions_total",
                "Round trips of visits",
            )?,
            visit_bytes: declare.counters(
                "beth_ccn_visit_bytes_total",
                "Bytes of visits, both ways",
                &["kind"],
            )?,
            visit_messages: declare.counters(
                "beth_ccn_visit_messages_total",
                "Messages that one of two neighbours had missed",
                &["direction"],
            )?,
            lag: declare.float_gauges(
                "beth_ccn_visit_age_seconds",
                "Time since the last visit to a connected neighbour: the most recent and the oldest",
                &["rank"],
            )?,
        })
    }

    /// Shows the network as it is now.
    pub(crate) fn show(&self, status: &Status, visits: &Visits) {
        self.show_peers(status);
        self.show_topics(status);
        self.show_visits(status, visits);
    }

    fn show_peers(&self, status: &Status) {
        let mut ways: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for direction in ["inbound", "outbound"] {
            for transport in ["tcp", "quic", "relay"] {
                ways.insert((direction, transport), 0);
            }
        }
        let mut versions: BTreeMap<&str, i64> = GOSSIP.into_iter().map(|name| (name, 0)).collect();
        versions.insert("other", 0);
        for peer in &status.peers {
            *ways
                .entry((peer.direction.as_str(), peer.transport.as_str()))
                .or_default() += 1;
            let spoken = peer.gossip.as_deref().unwrap_or_default();
            let known = GOSSIP.into_iter().find(|name| *name == spoken);
            *versions.entry(known.unwrap_or("other")).or_default() += 1;
        }
        for ((direction, transport), count) in ways {
            self.peers
                .with_label_values(&[direction, transport])
                .set(count);
        }
        for (version, count) in versions {
            self.gossip.with_label_values(&[version]).set(count);
        }
        self.blocked
            .set(i64::try_from(status.blocked.len()).unwrap_or(i64::MAX));
        let mut scores: Vec<f64> = status.peers.iter().map(|peer| peer.score).collect();
        scores.sort_by(f64::total_cmp);
        let ranks = [
            ("worst", scores.first()),
            ("middle", scores.get(scores.len() / 2)),
            ("best", scores.last()),
        ];
        for (rank, score) in ranks {
            let shown = self.scores.with_label_values(&[rank]);
            shown.set(score.copied().unwrap_or_default());
        }
    }

    fn show_topics(&self, status: &Status) {
        for topic in &status.topics {
            let name = topic.topic.as_str();
            for (gauge, count) in [(&self.followers, topic.peers), (&self.mesh, topic.mesh)] {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                gauge.with_label_values(&[name]).set(count);
            }
            for (direction, messages, bytes) in [
                ("in", topic.messages_in, topic.bytes_in),
                ("out", topic.messages_out, topic.bytes_out),
            ] {
                let labels = &[name, direction];
                follow(&self.messages.with_label_values(labels), messages);
                follow(&self.bytes.with_label_values(labels), bytes);
            }
            for (verdict, count) in [
                ("accepted", topic.accepted),
                ("withheld", topic.withheld),
                ("duplicate", topic.duplicates),
            ] {
                follow(&self.judged.with_label_values(&[name, verdict]), count);
            }
        }
    }

    fn show_visits(&self, status: &Status, visits: &Visits) {
        let totals = visits.totals();
        let sum = &totals.sum;
        for (counters, label, count) in [
            (&self.visits, "same", totals.same),
            (&self.visits, "different", totals.different),
            (&self.visit_bytes, "questions", sum.question_bytes),
            (&self.visit_bytes, "messages", sum.message_bytes),
            (&self.visit_messages, "fetched", sum.fetched),
            (&self.visit_messages, "offered", sum.offered),
        ] {
            follow(&counters.with_label_values(&[label]), count);
        }
        follow(&self.questions, sum.questions);
        let connected = status.peers.iter();
        let ages = connected.filter_map(|peer| Some(visits.last(&peer.id)?.lag().as_secs_f64()));
        let ages: Vec<f64> = ages.collect();
        let ranks = [
            ("recent", ages.iter().copied().reduce(f64::min)),
            ("oldest", ages.iter().copied().reduce(f64::max)),
        ];
        for (rank, age) in ranks {
            self.lag
                .with_label_values(&[rank])
                .set(age.unwrap_or_default());
        }
    }
}
