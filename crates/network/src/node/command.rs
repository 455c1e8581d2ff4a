//! Requests of handles.

use libp2p::{
    Multiaddr, PeerId,
    gossipsub::{self, TopicHash},
};
use tokio::sync::oneshot;

use super::Node;
use crate::{
    address::PeerAddress,
    error::{Error, PublishError},
    fault::Fault,
    limits::FRAME_BYTES,
    network::Published,
    status::Status,
};

/// A request of a handle.
#[derive(Debug)]
pub(crate) enum Command {
    Publish {
        topic: String,
        data: Vec<u8>,
        reply: oneshot::Sender<Result<Published, PublishError>>,
    },
    Peers {
        /// All connected peers, or those subscribed to a topic.
        topic: Option<String>,
        reply: oneshot::Sender<Vec<String>>,
    },
    Dial {
        peer: PeerAddress,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    Status {
        reply: oneshot::Sender<Status>,
    },
    Introduce {
        peers: Vec<PeerAddress>,
    },
    Demote {
        peer: PeerId,
        fault: Fault,
    },
    /// Have us noted as one that has a content.
    Provide {
        digest: [u8; 32],
        reply: oneshot::Sender<bool>,
    },
    /// Find and call those that have it.
    Seek {
        digest: [u8; 32],
        reply: oneshot::Sender<Vec<PeerId>>,
    },
    /// Others reach us there.
    Reachable {
        address: Multiaddr,
    },
}

impl Node {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Publish { topic, data, reply } => {
                let _ = reply.send(self.publish(&topic, data));
            }
            Command::Peers { topic, reply } => {
                let _ = reply.send(match topic {
                    Some(topic) => self.subscribers(&topic),
                    None => self
                        .swarm
                        .connected_peers()
                        .map(PeerId::to_string)
                        .collect(),
                });
            }
            Command::Dial { peer, reply } => self.dial(peer, reply),
            Command::Status { reply } => {
                let _ = reply.send(self.status());
            }
            Command::Introduce { peers } => self.introduced(peers),
            Command::Demote { peer, fault } => self.demote(peer, fault),
            Command::Provide { digest, reply } => self.provide(&digest, reply),
            Command::Seek { digest, reply } => self.seek(&digest, reply),
            Command::Reachable { address } => self.swarm.add_external_address(address),
        }
    }

    fn publish(&mut self, topic: &str, data: Vec<u8>) -> Result<Published, PublishError> {
        let size_bytes = data.len();
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        match gossip.publish(TopicHash::from_raw(topic), data) {
            Ok(_) => Ok(Published::Sent),
            Err(gossipsub::PublishError::Duplicate) => Ok(Published::Duplicate),
            Err(gossipsub::PublishError::NoPeersSubscribedToTopic) => Ok(Published::NoPeers),
            Err(gossipsub::PublishError::MessageTooLarge) => Err(PublishError::TooLarge {
                size_bytes,
                limit_bytes: FRAME_BYTES,
            }),
            Err(gossipsub::PublishError::AllQueuesFull(_)) => Err(PublishError::PeersBusy),
            Err(error) => Err(PublishError::Signing(error.to_string())),
        }
    }

    fn subscribers(&self, topic: &str) -> Vec<String> {
        let peers = self.swarm.behaviour().gossip.all_peers();
        peers
            .filter(|(_, topics)| topics.iter().any(|known| known.as_str() == topic))
            .map(|(id, _)| id.to_string())
            .collect()
    }
}
