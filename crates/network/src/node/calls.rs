//! Connections that we open, and what becomes of them.

use std::time::Instant;

use libp2p::{
    Multiaddr, PeerId,
    swarm::{
        DialError,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::sync::oneshot;

use super::Node;
use crate::{address::PeerAddress, error::Error, limits::REDIAL_PATIENCE};

impl Node {
    pub(super) fn dial(&mut self, peer: PeerAddress, reply: oneshot::Sender<Result<(), Error>>) {
        if self.swarm.is_connected(&peer.id) {
            let _ = reply.send(Ok(()));
            return;
        }
        match self.call(peer.id, vec![peer.address]) {
            Ok(()) => self.dials.entry(peer.id).or_default().push(reply),
            Err(error) => {
                let _ = reply.send(Err(unreachable(&peer.id, &error)));
            }
        }
    }

    pub(super) fn call_due_peers(&mut self) {
        let now = Instant::now();
        for (id, addresses) in self.redial.due(now) {
            if self.swarm.is_connected(&id) {
                self.redial.connected(&id);
            } else if !self.redial.is_configured(&id) && !self.has_room() {
                self.redial.failed(&id, now);
            } else if let Err(error) = self.call(id, addresses) {
                self.missed(&id, &unreachable(&id, &error));
            }
        }
    }

    /// Starts a call, or joins the one in progress with the same peer.
    fn call(&mut self, id: PeerId, addresses: Vec<Multiaddr>) -> Result<(), DialError> {
        let call = DialOpts::peer_id(id)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses)
            .allocate_new_port()
            .build();
        match self.swarm.dial(call) {
            Err(DialError::DialPeerConditionFalse(_)) => Ok(()),
            other => other,
        }
    }

    /// A call failed.
    pub(super) fn failed(&mut self, id: &PeerId, error: &DialError) {
        self.missed(id, &unreachable(id, error));
        self.settle(id, |id| Err(unreachable(id, error)));
    }

    fn missed(&mut self, id: &PeerId, error: &Error) {
        let failures = self.redial.failed(id, Instant::now());
        if failures == REDIAL_PATIENCE && self.redial.is_configured(id) {
            tracing::warn!(%error, "a bootstrap peer stays unreachable; calling on");
        } else {
            tracing::debug!(%error, "call failed");
        }
    }

    pub(super) fn settle(&mut self, id: &PeerId, outcome: impl Fn(&PeerId) -> Result<(), Error>) {
        for waiter in self.dials.remove(id).unwrap_or_default() {
            let _ = waiter.send(outcome(id));
        }
    }
}

fn unreachable(id: &PeerId, error: &DialError) -> Error {
    match error {
        DialError::WrongPeerId { obtained, address } => Error::WrongPeer {
            address: address.to_string(),
            found: obtained.to_string(),
        },
        DialError::Transport(attempts) => Error::Unreachable {
            address: id.to_string(),
            reason: attempts
                .iter()
                .map(|(address, error)| format!("{address}: {}", innermost(error)))
                .collect::<Vec<_>>()
                .join("; "),
        },
        other => Error::Unreachable {
            address: id.to_string(),
            reason: innermost(other),
        },
    }
}

/// The last cause, which is the one that an operator understands.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
