//! Messages to and from other core nodes.

mod carriers;
mod unpublished;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use beth_network::payload::{decode_candidates, encode_payload};
use beth_network::{Network, Received, Status, Verdict};
use beth_protocol::json::{parse_written, to_sorted_string};
use beth_protocol::{Message, limits as protocol_limits};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::config::CcnConfig;
use crate::limits;
use crate::metrics::Metrics;
use crate::pipeline::arrival;
use crate::verify::{Closed, Intake};
pub(crate) use carriers::Carrier;
pub use carriers::{Carriage, Publication};
use unpublished::Unpublished;

/// The publishing side; cheap to clone.
#[derive(Clone)]
pub struct Gossip {
    carriers: Arc<[Carrier]>,
    topic: Arc<str>,
    unpublished: Arc<Mutex<Unpublished>>,
    metrics: Arc<Metrics>,
}

/// Who this node is on the gossip network.
#[derive(Clone)]
pub struct NetworkInfo {
    network: Option<Arc<Network>>,
    announced: Arc<RwLock<Option<String>>>,
}

impl NetworkInfo {
    pub(crate) fn new(network: Option<Arc<Network>>) -> NetworkInfo {
        NetworkInfo {
            network,
            announced: Arc::default(),
        }
    }

    /// Who tells IPFS what is kept here, when that was configured.
    pub(crate) fn provider(&self, config: &CcnConfig) -> Option<Arc<Network>> {
        let is_wanted = !config.ipfs.bootstrap.is_empty();
        self.network.clone().filter(|_| is_wanted)
    }

    /// This is where other nodes reach us.
    pub(crate) fn announce(&self, multiaddress: Option<String>) {
        let announced = self.announced.write();
        *announced.unwrap_or_else(PoisonError::into_inner) = multiaddress;
    }

    /// Our peer id; empty without gossip.
    pub fn peer_id(&self) -> String {
        self.network
            .as_ref()
            .map(|network| network.peer_id().to_owned())
            .unwrap_or_default()
    }

    /// The multiaddress under which other nodes reach us; those that we listen
    /// on while it is not known.
    pub fn addresses(&self) -> Vec<String> {
        let announced = self.announced.read();
        let announced = announced.unwrap_or_else(PoisonError::into_inner);
        if let Some(multiaddress) = &*announced {
            return vec![multiaddress.clone()];
        }
        self.network
            .as_ref()
            .map(|network| network.listen_addresses())
            .unwrap_or_default()
    }

    /// What the network looks like; empty without gossip.
    pub async fn status(&self) -> Status {
        match &self.network {
            Some(network) => network.status().await,
            None => Status::default(),
        }
    }

    /// Peers connected now.
    pub async fn connected_peers(&self) -> Vec<String> {
        match &self.network {
            Some(network) => network.connected_peers().await,
            None => Vec::new(),
        }
    }
}

impl Gossip {
    pub(crate) fn new(carriers: Vec<Carrier>, topic: &str, metrics: Arc<Metrics>) -> Gossip {
        Gossip {
            carriers: carriers.into(),
            topic: topic.into(),
            unpublished: Arc::default(),
            metrics,
        }
    }

    /// The topic messages travel on.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// A message as it travels; `None` when nothing carries it.
    pub(crate) fn payload(&self, raw: &Value) -> Option<Vec<u8>> {
        (!self.carriers.is_empty()).then(|| encode_payload(&to_sorted_string(raw)))
    }

    /// Publishes a [`payload`](Self::payload) by every carrier. What none took
    /// is kept for [`publish_again`](Self::publish_again).
    pub(crate) async fn publish(&self, item_hash: &str, payload: Option<Vec<u8>>) -> Publication {
        let Some(payload) = payload else {
            return Publication::default();
        };
        let mut publication = Publication::default();
        for carrier in &*self.carriers {
            publication.tried += 1;
            let is_too_long = payload.len() > protocol_limits::GOSSIP_BYTES_MAX;
            if is_too_long || carrier.publish(&self.topic, &payload).await == Carriage::Fails {
                publication.failed.push(carrier.name());
            }
        }
        let published = &self.metrics.work.gossip_published;
        published.with_label_values(&[publication.word()]).inc();
        if publication.is_total_failure() {
            self.unpublished().keep(item_hash, payload);
        }
        publication
    }

    /// Publishes a message that no carrier took before; does nothing for any
    /// other.
    pub(crate) async fn publish_again(&self, item_hash: &str) -> Publication {
        let payload = self.unpublished().take(item_hash);
        self.publish(item_hash, payload).await
    }

    fn unpublished(&self) -> MutexGuard<'_, Unpublished> {
        self.unpublished
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is done with what other nodes say.
pub(crate) struct Ears {
    /// The topic of messages.
    pub(crate) topic: String,
    /// Where these go.
    pub(crate) intake: Intake,
    /// Where everything else goes: alive messages. They are dropped while
    /// nobody has time for them.
    pub(crate) alive: mpsc::Sender<Received>,
}

/// Feeds what other nodes say into the pipeline, which says as soon as the
/// signature is known whether a message is passed on. A full pipeline slows the
/// network down instead of losing messages.
///
/// What comes alone goes on at once. In a stream the messages of
/// [`limits::GATHER`] go on together: then threads wake, and the disk is waited
/// for, once for all of them, and neighbours' word that they have a message
/// already is heard before it would be sent to them.
pub(crate) async fn listen(
    mut received: mpsc::Receiver<Received>,
    ears: Ears,
    cancel: CancellationToken,
) {
    let mut gathered = Vec::with_capacity(limits::GATHERED);
    let mut next_at = Instant::now();
    loop {
        let count = tokio::select! {
            () = cancel.cancelled() => return,
            count = received.recv_many(&mut gathered, limits::GATHERED) => count,
        };
        if count == 0 {
            return;
        }
        if Instant::now() < next_at && count < limits::GATHERED {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = sleep_until(next_at) => {}
            }
            while gathered.len() < limits::GATHERED
                && let Ok(more) = received.try_recv()
            {
                gathered.push(more);
            }
        }
        for one in gathered.drain(..) {
            if ears.hear(one).await.is_err() {
                return;
            }
        }
        next_at = Instant::now() + limits::GATHER;
    }
}

impl Ears {
    async fn hear(&self, received: Received) -> Result<(), Closed> {
        let count = |outcome| {
            let counter = &self.intake.metrics.work.gossip_received;
            counter.with_label_values(&[outcome]).inc();
        };
        if received.topic != self.topic {
            let _ = self.alive.try_send(received);
            return Ok(());
        }
        let Some(raw) = decode(&received.data) else {
            received.ticket.settle(Verdict::Reject);
            count("no_message");
            debug!(
                from = received.from,
                "a payload that is no message was dropped"
            );
            return Ok(());
        };
        count("new");
        self.intake.hear(arrival(raw), received.ticket).await
    }
}

/// The first reading of the payload that is a well-formed message.
///
/// Others leave no trace: whoever relays a spoilt copy must not be able to have
/// the hash of a good one recorded as refused.
pub(crate) fn decode(data: &[u8]) -> Option<Value> {
    decode_candidates(data)
        .iter()
        .filter_map(|text| parse_written(text).ok())
        .find(|value| Message::parse(value).is_ok())
}
