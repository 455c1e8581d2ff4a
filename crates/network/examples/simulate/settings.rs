//! What is simulated.

use std::time::Duration;

use beth_network::parameters::{GOSSIP, Gossip, REDIALS, Redials, VISITS, Visits};

/// A network, what is said in it, and what happens to it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Nodes.
    pub nodes: usize,
    /// Neighbours of a node on average, half of them called by it; `None`: all
    /// other nodes.
    pub neighbours: Option<usize>,
    /// Messages in all.
    pub messages: usize,
    /// Messages a second, all nodes together.
    pub rate: f64,
    /// Bytes of a message.
    pub bytes: usize,
    /// One-way latency of links: from, to.
    pub latency: (Duration, Duration),
    /// Bits a second that a node sends, and as many that it receives.
    pub bandwidth: u64,
    /// Probability that a packet is lost.
    pub loss: f64,
    /// Share of nodes that are upstream's: gossipsub 1.1, no check before
    /// passing on, no reconciliation.
    pub upstream_share: f64,
    /// What everything random depends on.
    pub seed: u64,
    /// What happens to the network.
    pub scenario: Scenario,
    /// How our nodes gossip.
    pub gossip: Gossip,
    /// How they reconcile.
    pub visits: Visits,
    /// How they call again.
    pub redials: Redials,
    /// To check a message before it is passed on, one after the other.
    pub check: Duration,
    /// Connections are made one by one for so long, so that visits are spread
    /// over time,
    pub calling: Duration,
    /// and meshes are found for so long, before anything is said.
    pub warm_up: Duration,
    /// Messages that are younger are left to the gossip by a visit.
    pub settle: Duration,
}

/// What happens to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Nothing.
    Calm,
    /// A tenth of the nodes leaves each minute and comes back; one in four with
    /// nothing of what it had.
    Churn,
    /// Two halves do not hear each other while three of four messages are said.
    Partition,
}

impl Scenario {
    /// All, by name.
    pub const ALL: [(&str, Scenario); 3] = [
        ("calm", Scenario::Calm),
        ("churn", Scenario::Churn),
        ("partition", Scenario::Partition),
    ];
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            nodes: 1_000,
            neighbours: Some(30),
            messages: 100,
            rate: 5.0,
            bytes: 10_000,
            latency: (Duration::from_millis(50), Duration::from_millis(150)),
            bandwidth: 100_000_000,
            loss: 0.0,
            upstream_share: 0.0,
            seed: 1,
            scenario: Scenario::Calm,
            gossip: GOSSIP,
            visits: VISITS,
            redials: REDIALS,
            check: Duration::from_micros(50),
            calling: VISITS.period,
            warm_up: 2 * VISITS.period,
            settle: Duration::ZERO,
        }
    }
}
