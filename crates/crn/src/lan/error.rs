//! Why the guest network refuses.

use std::path::PathBuf;

use beth_protocol::ItemHash;

use super::block::Block;

/// Why the guest network does not start or does not attach a guest.
#[derive(Debug, thiserror::Error)]
pub enum LanError {
    /// The configuration cannot be meant.
    #[error("{0}; correct [crn.lan] in the configuration")]
    Config(String),
    /// Taps are wanted and this process cannot make them.
    #[error("guests get no taps: {0}; or set `mode` of [crn.lan] to \"user\"")]
    Unable(String),
    /// Nothing leads to the internet.
    #[error(
        "this host has no default route; set `external_interface` of [crn.lan] to the interface that leads to the internet"
    )]
    NoUplink,
    /// Another process has the guest network of this host.
    #[error(
        "another node has the guest network of this host; stop it, or run one of both in a network namespace of its own"
    )]
    Busy,
    /// Taps of another node are there.
    #[error(
        "there are taps of a node with another folder ({0}); stop its guests, or start this node with that folder"
    )]
    OtherNode(String),
    /// What is remembered cannot be read or written.
    #[error("cannot use {}: {reason}; correct the owner of the folder, or move the file away if no guest runs", .path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A program failed.
    #[error("`{} {arguments}` failed: {reason}", .program.display())]
    Command {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        arguments: String,
        /// What it said.
        reason: String,
    },
    /// A program said something unexpected.
    #[error(
        "cannot understand what `ip` or `nft` said: {0}; this needs iproute2 5 and nftables 1.0 or newer"
    )]
    Nonsense(String),
    /// The kernel refuses a switch.
    #[error("cannot set {} to {value}: {reason}; set it with sysctl before the node starts", .path.display())]
    Switch {
        /// The file of the switch.
        path: PathBuf,
        /// What was written.
        value: String,
        /// What the system said.
        reason: String,
    },
    /// The number belongs to another guest.
    #[error("number {vm_id} belongs to {owner}")]
    NumberTaken {
        /// The number.
        vm_id: u32,
        /// Whose it is.
        owner: ItemHash,
    },
    /// The IPv6 addresses belong to another guest.
    #[error("the addresses {network} belong to {owner}, whose hash begins alike")]
    AddressTaken {
        /// The block.
        network: Block,
        /// Whose it is.
        owner: ItemHash,
    },
    /// No number or no address is left.
    #[error("all addresses of [crn.lan] are given out; erase machines, or widen the pools")]
    Full,
    /// No port is left.
    #[error("no port from {first} to {last} is free; widen `ports` of [crn.lan]")]
    NoPort {
        /// First of the range.
        first: u16,
        /// Last of the range.
        last: u16,
    },
    /// A guest that is not remembered.
    #[error("the guest network does not know {0}")]
    Unknown(ItemHash),
}

/// What cannot be understood.
pub(super) fn unusable(error: serde_json::Error) -> LanError {
    LanError::Nonsense(error.to_string())
}
