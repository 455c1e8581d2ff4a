//! Graphs of blocks: how IPFS keeps directories and files that were cut by
//! others than us.
//!
//! ```text
//!   archive (CARv1)  header: root │ block │ block │ …        car.rs
//!   block            bytes named by their hash               name.rs
//!    ├ raw           part of a file
//!    └ DAG-PB        links + data                            node.rs
//!        └ UnixFS    file · directory · shard · symlink      unixfs.rs, block.rs,
//!                                                          branches.rs
//! ```
//!
//! Everything here reads what a stranger sent: it answers with a value, looks
//! at a block once and never recurses. Whether a graph is whole is told by the
//! reader of all its blocks, in the store.

mod block;
mod branches;
pub mod car;
mod cursor;
mod name;
mod node;
mod unixfs;

pub use block::{Block, BlockFault, Entry, Part, Piece, links};
pub use branches::Branches;
pub use name::{BlockName, CidBytes, UnknownBlock};
