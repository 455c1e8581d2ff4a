//! Why something about an instance was not done: one variant per decision that
//! a caller can take.

use beth_protocol::ItemHash;

use crate::core_node::CoreFault;
use crate::download::FileFault;

/// Why something about an instance was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InstanceFault {
    /// Nothing is known of it here.
    #[error("this node knows no instance {0}; allocate it first")]
    Unknown(ItemHash),
    /// The core node does not know the message.
    #[error(
        "the core node at {url} knows no message {item_hash}; check the hash, or wait until the message was processed"
    )]
    NoMessage {
        /// What was asked for.
        item_hash: ItemHash,
        /// Base URL.
        url: String,
    },
    /// The message is of another type.
    #[error("Message is not an instance")]
    NotAnInstance,
    /// The message asks for something that no node, or not this one, does.
    #[error("the instance cannot be run: {0}")]
    Unusable(String),
    /// A reference leads nowhere.
    #[error("the {role} refers to {reference}, and the core node knows no file of it; store it")]
    NoFile {
        /// `root disk` or `volume`.
        role: &'static str,
        /// The STORE message.
        reference: ItemHash,
    },
    /// A file could not be fetched.
    #[error("a file of the instance is not available: {0}")]
    File(#[from] FileFault),
    /// The core node gave no answer.
    #[error(transparent)]
    Core(#[from] CoreFault),
    /// A disk image that is not safe to use, or none.
    #[error("the disk image is refused: {0}")]
    Image(String),
    /// More than this node has left.
    #[error("this node has no room: {0}")]
    NoRoom(String),
    /// Not in this state.
    #[error("{0}")]
    WrongState(&'static str),
    /// It arrives from another node, and has disks here.
    #[error("VM already running on this host")]
    AlreadyHere,
    /// Too many commands wait already.
    #[error("the instance is busy with earlier commands; try again later")]
    Busy,
    /// The node ends.
    #[error("the node is ending; try again when it runs")]
    Closing,
    /// QEMU, `qemu-img` or `mkfs.ext4` failed.
    #[error("{tool} failed: {reason}")]
    Tool {
        /// Which program.
        tool: &'static str,
        /// Its last words.
        reason: String,
    },
    /// The disk of the node refused.
    #[error("{doing}: {reason}; check the folder of the node")]
    Disk {
        /// What was tried.
        doing: String,
        /// What the system said.
        reason: String,
    },
}

impl InstanceFault {
    /// A fault of the disk while `doing` something.
    pub(super) fn disk(doing: &str) -> impl FnOnce(std::io::Error) -> InstanceFault {
        move |error| InstanceFault::Disk {
            doing: format!("cannot {doing}"),
            reason: error.to_string(),
        }
    }
}
