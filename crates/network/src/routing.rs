//! Contents of IPFS beyond the neighbours: who has them, and that we do. See
//! `node/routing.rs` for how.

use libp2p::PeerId;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::limits::{DIAL, WALK_PATIENCE};
use crate::network::Network;
use crate::node::Command;

impl Network {
    /// Tells the shared table of IPFS that this node has the content of this
    /// SHA-256 (network.md §26). True when some peer noted it, which they do for
    /// about a day; false when none did, or this node takes no part in it.
    pub async fn provide(&self, digest: [u8; 32]) -> bool {
        let (reply, noted) = oneshot::channel();
        self.walk(Command::Provide { digest, reply }, noted)
            .await
            .unwrap_or_default()
    }

    /// Looks in the shared table of IPFS for peers that have the content of this
    /// SHA-256 and connects to some: their ids. None when nobody is found, none
    /// answers, or this node takes no part in it.
    pub async fn seek(&self, digest: [u8; 32]) -> Vec<String> {
        let (reply, found) = oneshot::channel();
        let found = self.walk(Command::Seek { digest, reply }, found).await;
        let found = found.unwrap_or_default();
        if found.is_empty() {
            return Vec::new();
        }
        let (_, mut connected) = self.neighbours();
        // One is enough to begin with; others come when they come.
        let met = connected.wait_for(|here| found.iter().any(|peer| here.contains(peer)));
        match timeout(DIAL, met).await {
            Ok(Ok(here)) => {
                let found = found.iter().filter(|peer| here.contains(peer));
                found.map(PeerId::to_string).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Others reach this node at this multiaddress: who is told of it passes it on.
    pub async fn reachable(&self, address: &str) {
        if let Ok(address) = address.parse() {
            self.tell(Command::Reachable { address }).await;
        }
    }

    async fn walk<T>(&self, command: Command, answer: oneshot::Receiver<T>) -> Option<T> {
        let asked = timeout(WALK_PATIENCE, self.ask(command, answer)).await;
        asked.ok().flatten()
    }
}
