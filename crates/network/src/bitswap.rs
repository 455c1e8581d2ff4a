//! Exchange of blocks with IPFS peers: bitswap, on the streams that peers of
//! IPFS know.
//!
//! ```text
//!   Exchange::fetch ─▶ Fetch ─▶ session (whom to ask for what) ─┐
//!                        ▲                                      ▼
//!                        │ blocks, checked        ┌────── desk of a peer ──────┐
//!   peer ──stream──▶ listen ──▶ board ◀───────────│ what we ask, what it wants │
//!                        │                        └─────────────┬──────────────┘
//!                        └─ its wants ─▶ ledger ─▶ Blocks       ▼
//!                                                            courier ──stream──▶ peer
//! ```
//!
//! Messages go one way: what a peer sends comes on streams that it opens, what
//! it gets goes on one that we open. A block has no name on the wire but what
//! its bytes hash to, so a wrong block is one that nobody asked for, and its
//! sender is not asked again.
//!
//! Invariants: a caller sees only bytes that belong to the CID; wants of a
//! peer, bytes on their way, streams and sessions are bounded
//! ([`crate::limits`]); a fetch has at most a window of wants outside, and
//! gets no further blocks while its reader stays behind; nothing runs while
//! nobody exchanges.
//!
//! Deliberately absent: payment or reciprocity. Whoever asks is served, in turns.

mod board;
mod cid;
mod courier;
mod exchange;
mod fetch;
mod frame;
mod hall;
mod ledger;
mod listen;
mod proto;
mod session;
mod stream;

use futures::future::BoxFuture;
use libp2p::StreamProtocol;

pub use exchange::{Exchange, Fetch, Found, Missing};
pub use hall::Exchanged;

/// The versions of the protocol, the one that is preferred first.
const PROTOCOLS: [StreamProtocol; 4] = [
    StreamProtocol::new("/ipfs/bitswap/1.2.0"),
    StreamProtocol::new("/ipfs/bitswap/1.1.0"),
    StreamProtocol::new("/ipfs/bitswap/1.0.0"),
    StreamProtocol::new("/ipfs/bitswap"),
];

/// The blocks of a node, by the bytes of their CIDs (version 0 and 1, as in
/// links). Both methods may read from disk, and must not block the thread.
/// What is served is public: whoever names a block gets it.
pub trait Blocks: Send + Sync + 'static {
    /// How many bytes the block has; `None` when it is not here.
    fn size(&self, cid: &[u8]) -> BoxFuture<'_, Option<usize>>;

    /// The block; `None` when it is not here.
    fn block(&self, cid: &[u8]) -> BoxFuture<'_, Option<Vec<u8>>>;
}
