//! The handle.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use libp2p_stream::IncomingStreams;
use tokio::sync::{Semaphore, mpsc};

use super::board::Board;
use super::fetch::{Ends, fetch};
use super::hall::{Exchanged, Hall, Tallies};
use super::listen::listen;
use super::{Blocks, PROTOCOLS};
use crate::Network;
use crate::limits::{EXCHANGE_LARGE_READS, EXCHANGE_TURNS, FETCHES};

/// The running exchange of a node. Clones share it; it ends with the network.
#[derive(Clone)]
pub struct Exchange {
    hall: Arc<Hall>,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Exchange({:?})", self.exchanged())
    }
}

/// A session: blocks that belong together, asked of the same peers. Dropping
/// it takes back what it asked for.
#[derive(Debug)]
pub struct Fetch {
    // What the caller named; it has all of it in memory anyway.
    wants: mpsc::UnboundedSender<Vec<Vec<u8>>>,
    found: mpsc::Receiver<Found>,
    left: usize,
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
}

impl Network {
    /// Serves `blocks` to peers that speak bitswap from now on, until the
    /// network stops, and lets fetch theirs. Called once, after
    /// [`Network::start`]: a second exchange hears nobody.
    pub fn exchange(&self, blocks: Arc<dyn Blocks>) -> Exchange {
        let (mut control, connected) = self.neighbours();
        let (tasks, cancel) = self.bounds();
        let listening: Vec<IncomingStreams> = PROTOCOLS
            .into_iter()
            .filter_map(|protocol| control.accept(protocol).ok())
            .collect();
        let hall = Arc::new(Hall {
            board: Board::default(),
            network: self.clone(),
            blocks,
            control,
            connected,
            tasks,
            cancel,
            turns: Arc::new(Semaphore::new(EXCHANGE_TURNS)),
            large: Arc::new(Semaphore::new(EXCHANGE_LARGE_READS)),
            fetches: Arc::new(Semaphore::new(FETCHES)),
            tallies: Tallies::default(),
        });
        for incoming in listening {
            hall.tasks.spawn(listen(hall.clone(), incoming));
        }
        hall.tasks.spawn(hall.clone().watch());
        Exchange { hall }
    }
}

impl Exchange {
    /// Begins to fetch blocks, in no particular order. `providers` are asked
    /// first and directly: peer ids, or multiaddresses ending in `/p2p/<id>`,
    /// which are connected to. With none, all connected peers are asked who
    /// has the blocks. A block that has not come after `patience` is missing;
    /// sooner when all say so.
    pub fn fetch(&self, cids: Vec<Vec<u8>>, providers: &[String], patience: Duration) -> Fetch {
        let (wants, wanted) = mpsc::unbounded_channel();
        let (answers, found) = mpsc::channel(1);
        let ends = Ends { wanted, answers };
        let providers = providers.to_vec();
        let work = fetch(self.hall.clone(), ends, providers, patience);
        self.hall.tasks.spawn(work);
        let mut fetch = Fetch {
            wants,
            found,
            left: 0,
        };
        fetch.want(cids);
        fetch
    }

    /// Says that new blocks are here: what peers want and was not here is
    /// looked up again.
    pub fn arrived(&self) {
        self.hall.board.look_again();
    }

    /// What was exchanged so far.
    pub fn exchanged(&self) -> Exchanged {
        self.hall.tallies.exchanged()
    }
}

impl Fetch {
    /// Adds blocks, as those that a fetched one links to.
    pub fn want(&mut self, cids: Vec<Vec<u8>>) {
        self.left += cids.len();
        // Refused only when the network has stopped.
        let _ = self.wants.send(cids);
    }

    /// The next answer, one for each CID that was asked for; `None` when all
    /// have been given, or the network has stopped. Cancel-safe.
    pub async fn next(&mut self) -> Option<Found> {
        if self.left == 0 {
            return None;
        }
        let found = self.found.recv().await?;
        self.left -= 1;
        Some(found)
    }
}
