//! How an instance reaches the network, and what its seed says about it.
//!
//! ```text
//! Links::attach(instance) ─▶ Link ─▶ QEMU's network card  +  network-config of the seed
//!          detach ◀─ when it is stopped
//! ```
//!
//! One way needs no rights: QEMU's user-mode network with ports of this computer
//! forwarded ([`UserLinks`]). Others implement [`Links`]. Which ports lead to a
//! guest its owner says in an aggregate, also while it runs (compute.md §23).

mod user;

use std::net::SocketAddr;

use beth_protocol::ItemHash;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::user::UserLinks;

use super::fault::InstanceFault;
use crate::core_node::CoreNode;
use crate::lan::{WantedPorts, wanted_ports};
use crate::workloads::Networking;

/// Name of the network card's other end in QEMU.
pub(crate) const NETDEV: &str = "net";
/// The key of the aggregate in which owners ask for ports.
const PORTS_KEY: &str = "port-forwarding";

/// A network card and what is behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// No card.
    None,
    /// QEMU's own network: the guest sees 10.0.2.0/24.
    User {
        /// Ports of this computer that lead to ports of the guest.
        forwards: Vec<Forward>,
    },
    /// A tap device.
    Tap(Box<Tap>),
}

/// A tap device that somebody else made and keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tap {
    /// Its name, at most 15 characters.
    pub name: String,
    /// Address of the guest's card, `02:…`.
    pub mac: String,
    /// What the guest is told.
    pub addresses: Addresses,
    /// What lists show of it, but for the ports.
    pub shown: Networking,
    /// Ports of this computer that lead to ports of the guest.
    pub forwards: Vec<Forward>,
}

/// A port of this computer that leads to one of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// Where this computer listens.
    pub host: SocketAddr,
    /// Where the guest listens.
    pub guest_port: u16,
    /// Whether TCP is forwarded.
    pub tcp: bool,
    /// Whether UDP is forwarded.
    pub udp: bool,
}

/// The network as the guest is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// With prefix length, `172.16.6.2/24`.
    pub addresses: Vec<String>,
    /// IPv4 gateway.
    pub gateway4: Option<String>,
    /// IPv6 gateway.
    pub gateway6: Option<String>,
    /// Resolvers.
    pub nameservers: Vec<String>,
}

impl Link {
    /// What the seed says; `None` without a card.
    pub fn addresses(&self) -> Option<Addresses> {
        match self {
            Link::None => None,
            Link::User { .. } => Some(Addresses {
                addresses: vec!["10.0.2.15/24".into()],
                gateway4: Some("10.0.2.2".into()),
                gateway6: None,
                nameservers: vec!["10.0.2.3".into()],
            }),
            Link::Tap(tap) => Some(tap.addresses.clone()),
        }
    }

    /// Ports of this computer that lead to the guest.
    pub fn forwards(&self) -> &[Forward] {
        match self {
            Link::None => &[],
            Link::User { forwards } => forwards,
            Link::Tap(tap) => &tap.forwards,
        }
    }
}

/// Who asks for a link.
#[derive(Clone, Debug)]
pub struct LinkRequest {
    /// The instance.
    pub item_hash: ItemHash,
    /// Its number on this node.
    pub vm_id: u32,
    /// Whose instance it is.
    pub owner: String,
    /// What it had when it ran last; the same ports are kept where possible.
    pub before: Option<Link>,
    /// Whether its guest runs already and only the node is new.
    pub is_running: bool,
    /// Ports that its owner asks for; `None` when nobody knows, so that those
    /// that are there stay.
    pub ports: Option<WantedPorts>,
}

/// What a running guest's link has become.
#[derive(Debug)]
pub struct Mapped {
    /// From now on.
    pub link: Link,
    /// What QEMU's monitor is to be told for it.
    pub commands: Vec<String>,
}

/// The ports that an owner asks for; `None` when the core node does not say.
pub(crate) async fn wished_ports(
    core: &CoreNode,
    owner: &str,
    item_hash: &ItemHash,
) -> Option<WantedPorts> {
    match core.aggregate(owner, PORTS_KEY).await {
        Ok(aggregate) => {
            let aggregate = aggregate.unwrap_or(Value::Null);
            Some(wanted_ports(&aggregate, item_hash.as_str()))
        }
        Err(error) => {
            tracing::warn!(%item_hash, %error, "the ports of an instance stay as they are");
            None
        }
    }
}

/// Gives instances their links. `attach` is called before each start of QEMU and
/// when a running guest is found again after a restart of the node; it must be
/// repeatable. `detach` is called when the guest has ended and stays so.
pub trait Links: Send + Sync + std::fmt::Debug {
    /// Makes, or finds again, the link of an instance.
    fn attach(&self, request: LinkRequest) -> BoxFuture<'_, Result<Link, InstanceFault>>;

    /// Leads other ports to a running guest.
    fn map<'a>(
        &'a self,
        item_hash: &'a ItemHash,
        before: &'a Link,
        wanted: WantedPorts,
    ) -> BoxFuture<'a, Result<Mapped, InstanceFault>>;

    /// Takes the link away.
    fn detach(&self, item_hash: &ItemHash, vm_id: u32) -> BoxFuture<'_, ()>;

    /// The instance was erased: addresses and ports may be given to others.
    fn forget(&self, item_hash: &ItemHash) -> BoxFuture<'_, ()>;
}
