//! Who in the world has a content: the table that peers of IPFS share.
//!
//! ```text
//!   provide(digest) ─▶ walk to the peers nearest to its name ─▶ they note us
//!   seek(digest)    ─▶ walk to the same peers ─▶ providers ─▶ called at once, while
//!                                                  their addresses are known
//! ```
//!
//! We ask and are noted; we keep nothing for others, who therefore never route
//! by us (client mode). Only nodes that are told some peers of that table take
//! part. What is provided is remembered by the caller, not here.

use std::collections::HashMap;

use libp2p::{
    PeerId,
    kad::{self, GetProvidersOk, QueryId, QueryResult, RecordKey},
    swarm::dial_opts::{DialOpts, PeerCondition},
};
use tokio::sync::oneshot;

use super::Node;
use crate::limits::{PROVIDERS_CALLED, WALKS};

/// A SHA-256 as multihash: its code and its length.
const SHA2_256: [u8; 2] = [0x12, 32];

/// The walks under way.
#[derive(Debug, Default)]
pub(crate) struct Walks(HashMap<QueryId, Walk>);

#[derive(Debug)]
enum Walk {
    /// Whether somebody noted us.
    Provide(oneshot::Sender<bool>),
    /// Providers so far, all called.
    Seek(Vec<PeerId>, oneshot::Sender<Vec<PeerId>>),
}

fn key(digest: &[u8; 32]) -> RecordKey {
    RecordKey::new(&[&SHA2_256, digest.as_slice()].concat())
}

impl Node {
    /// Has us noted as one that has a content.
    pub(super) fn provide(&mut self, digest: &[u8; 32], reply: oneshot::Sender<bool>) {
        let room = self.walks.0.len() < WALKS;
        let Some(routing) = self.swarm.behaviour_mut().routing.as_mut() else {
            return;
        };
        if !room {
            return;
        }
        match routing.start_providing(key(digest)) {
            Ok(walk) => {
                self.walks.0.insert(walk, Walk::Provide(reply));
            }
            Err(error) => tracing::debug!(%error, "a content is not provided"),
        }
    }

    /// Finds and calls those that have a content.
    pub(super) fn seek(&mut self, digest: &[u8; 32], reply: oneshot::Sender<Vec<PeerId>>) {
        let room = self.walks.0.len() < WALKS;
        let Some(routing) = self.swarm.behaviour_mut().routing.as_mut() else {
            return;
        };
        if room {
            let walk = routing.get_providers(key(digest));
            self.walks.0.insert(walk, Walk::Seek(Vec::new(), reply));
        }
    }

    /// A walk made progress.
    pub(super) fn walked(&mut self, event: kad::Event) {
        let kad::Event::OutboundQueryProgressed {
            id, result, step, ..
        } = event
        else {
            return;
        };
        match result {
            QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders { providers, .. })) => {
                self.found(id, providers.into_iter().collect());
            }
            QueryResult::StartProviding(outcome) => {
                if let Err(error) = &outcome {
                    tracing::debug!(%error, "a content could not be provided");
                }
                let (Ok(kad::AddProviderOk { key }) | Err(kad::AddProviderError::Timeout { key })) =
                    &outcome;
                // Nobody asks us: the note would only take room.
                if let Some(routing) = self.swarm.behaviour_mut().routing.as_mut() {
                    routing.stop_providing(key);
                }
                if let Some(Walk::Provide(reply)) = self.walks.0.remove(&id) {
                    let _ = reply.send(outcome.is_ok());
                }
            }
            _ => {}
        }
        if step.last
            && let Some(Walk::Seek(found, reply)) = self.walks.0.remove(&id)
        {
            let _ = reply.send(found);
        }
    }

    /// Calls providers; enough of them end the walk.
    fn found(&mut self, id: QueryId, providers: Vec<PeerId>) {
        let own = *self.swarm.local_peer_id();
        let Some(Walk::Seek(found, _)) = self.walks.0.get_mut(&id) else {
            return;
        };
        for peer in providers {
            let is_new = peer != own && !found.contains(&peer) && !self.standing.is_blocked(&peer);
            if !is_new || found.len() >= PROVIDERS_CALLED {
                continue;
            }
            found.push(peer);
            let call = DialOpts::peer_id(peer).condition(PeerCondition::DisconnectedAndNotDialing);
            if let Err(error) = self.swarm.dial(call.build()) {
                tracing::debug!(%peer, %error, "a provider is not called");
            }
        }
        let is_enough = found.len() >= PROVIDERS_CALLED;
        if let Some(routing) = self.swarm.behaviour_mut().routing.as_mut()
            && is_enough
            && let Some(mut walk) = routing.query_mut(&id)
        {
            walk.finish();
        }
    }
}
