//! Calling the nodes that are known and not connected, and finding out which of
//! them answer over HTTP.
//!
//! ```text
//!  table of peers ─ every minute, and when somebody new is heard of ─┬─▶ P2P: called
//!                                                                    └─▶ HTTP: probed ─▶ Neighbours
//! ```
//!
//! IPFS nodes are only listed: they are connected to when a content is looked
//! for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use beth_network::Network;
use beth_protocol::alive::{PeerType, Place, peer_id_in};
use beth_protocol::time::Timestamp;
use beth_store::{Readers, StoredPeer};
use futures::StreamExt;
use futures::stream::iter;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::warn;

use super::probe::Probe;
use crate::limits::{IPFS_PEERS_MAX, MEETING_PAUSE, PROBES_MAX};
use crate::neighbours::{Guard, HttpPeer, Neighbours};
use crate::pipeline::now;

/// What both kinds of rounds work with.
#[derive(Clone)]
pub(super) struct Meeting {
    pub(super) network: Arc<Network>,
    pub(super) readers: Arc<Readers>,
    pub(super) neighbours: Neighbours,
    pub(super) guard: Guard,
    pub(super) probe: Probe,
    /// Pause between two rounds.
    pub(super) period: Duration,
    /// Age at which nodes are no longer looked for.
    pub(super) age_max: Duration,
}

impl Meeting {
    /// Calls nodes for ever; `news` makes a round come earlier.
    pub(super) async fn call(self, news: Arc<Notify>) {
        loop {
            self.call_all().await;
            self.pause(&news).await;
        }
    }

    /// Probes nodes for ever.
    pub(super) async fn probe(self, news: Arc<Notify>) {
        loop {
            self.probe_all().await;
            self.pause(&news).await;
        }
    }

    async fn pause(&self, news: &Notify) {
        let early = async {
            news.notified().await;
            // Others are heard of at the same time.
            sleep(MEETING_PAUSE).await;
        };
        tokio::select! {
            () = sleep(self.period) => {}
            () = early => {}
        }
    }

    /// The network calls those that are not connected, with growing pauses.
    async fn call_all(&self) {
        let own = self.network.peer_id();
        let known = self.known(PeerType::P2p).await.into_iter();
        let admitted = known.filter(|peer| {
            let place = Place::of_multiaddress(&peer.address);
            peer.peer_id != own && place.is_some_and(|place| self.guard.admits(&place))
        });
        let addresses = admitted.map(|peer| peer.address).collect();
        self.network.introduce(addresses).await;
    }

    /// Who has contents of IPFS is called when some are looked for.
    async fn list_ipfs(&self) {
        let known = self.known(PeerType::Ipfs).await.into_iter();
        let admitted = known.filter(|peer| {
            let place = Place::of_multiaddress(&peer.address);
            place.is_some_and(|place| self.guard.admits(&place))
        });
        let addresses = admitted.map(|peer| peer.address);
        self.neighbours
            .set_ipfs(addresses.take(IPFS_PEERS_MAX).collect());
    }

    async fn probe_all(&self) {
        self.list_ipfs().await;
        let mut candidates: HashMap<String, Option<String>> = HashMap::new();
        for peer in self.known(PeerType::Http).await {
            let place = Place::of_url(&peer.address);
            if place.is_some_and(|place| self.guard.admits(&place)) {
                candidates.insert(peer.address, Some(peer.peer_id));
            }
        }
        for url in self.neighbours.configured() {
            candidates.insert(url.clone(), None);
        }
        let probes = iter(candidates).map(|(url, peer_id)| async move {
            let answer = self.probe.ask(&url).await?;
            let peer_id = match peer_id {
                None => self.probe.addresses(&url).await,
                known => known,
            };
            let peer = HttpPeer {
                url,
                peer_id,
                reconciles: answer.is_beth,
            };
            Some((answer.took, peer))
        });
        let answered = probes.buffer_unordered(PROBES_MAX);
        let mut answered: Vec<(Duration, HttpPeer)> =
            answered.filter_map(std::future::ready).collect().await;
        answered.sort_by_key(|(took, _)| *took);
        let own = Some(self.network.peer_id());
        let online = answered.into_iter().map(|(_, peer)| peer);
        let online = online.filter(|peer| peer.peer_id.as_deref() != own);
        self.neighbours.set_online(online.collect());
    }

    /// Rows that are not too old.
    async fn known(&self, kind: PeerType) -> Vec<StoredPeer> {
        let age = i64::try_from(self.age_max.as_micros()).unwrap_or(i64::MAX);
        let since = Timestamp::from_micros(now().micros().saturating_sub(age));
        let readers = self.readers.clone();
        let read = move || readers.read(|state| state.peers(kind, since));
        match spawn_blocking(read).await {
            Ok(Ok(known)) => known,
            Ok(Err(failure)) => {
                warn!(%failure, "the known nodes could not be read");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }
}

/// The peer id of a node, from the addresses that it gives of itself.
pub(super) fn peer_id_of(addresses: &[String]) -> Option<String> {
    let mut ids = addresses.iter().filter_map(|address| peer_id_in(address));
    ids.next().map(str::to_owned)
}
