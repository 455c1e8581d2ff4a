//! How an instance reaches the network, and what its seed says about it.
//!
//! ```text
//! Links::attach(instance) ─▶ Link ─▶ QEMU's network card  +  network-config of the seed
//!          detach ◀─ when it is stopped
//! ```
//!
//! This file knows one way that needs no rights: QEMU's user-mode network with
//! ports of this computer forwarded ([`UserLinks`]). Others implement [`Links`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use beth_protocol::ItemHash;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::fault::InstanceFault;
use crate::limits;
use crate::workloads::Networking;

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
}

/// Gives instances their links. `attach` is called before each start of QEMU and
/// when a running guest is found again after a restart of the node; it must be
/// repeatable. `detach` is called when the guest has ended and stays so.
pub trait Links: Send + Sync + std::fmt::Debug {
    /// Makes, or finds again, the link of an instance.
    fn attach(&self, request: LinkRequest) -> BoxFuture<'_, Result<Link, InstanceFault>>;

    /// Takes the link away.
    fn detach(&self, item_hash: &ItemHash, vm_id: u32) -> BoxFuture<'_, ()>;

    /// The instance was erased: addresses and ports may be given to others.
    fn forget(&self, item_hash: &ItemHash) -> BoxFuture<'_, ()>;
}

/// User-mode networks with the SSH port forwarded.
#[derive(Debug)]
pub struct UserLinks {
    address: IpAddr,
    cursor: Mutex<u16>,
}

impl UserLinks {
    /// Ports are opened on `address`.
    pub fn new(address: IpAddr) -> UserLinks {
        UserLinks {
            address,
            cursor: Mutex::new(limits::FORWARD_PORT_FIRST),
        }
    }

    fn forward(&self, before: Option<&Link>) -> Result<Forward, InstanceFault> {
        let make = |port| Forward {
            host: SocketAddr::new(self.address, port),
            guest_port: 22,
            tcp: true,
            udp: false,
        };
        let mut cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = before.and_then(|link| link.forwards().first().copied());
        if let Some(kept) = kept
            && self.is_free(kept.host.port())
        {
            return Ok(make(kept.host.port()));
        }
        let span = limits::FORWARD_PORT_LAST - limits::FORWARD_PORT_FIRST + 1;
        for _ in 0..span {
            let port = *cursor;
            *cursor = match port {
                limits::FORWARD_PORT_LAST => limits::FORWARD_PORT_FIRST,
                port => port + 1,
            };
            if self.is_free(port) {
                return Ok(make(port));
            }
        }
        Err(InstanceFault::NoRoom(
            "every port for SSH is in use; stop another instance".into(),
        ))
    }

    fn is_free(&self, port: u16) -> bool {
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        [SocketAddr::new(self.address, port), everywhere]
            .iter()
            .all(|address| TcpListener::bind(address).is_ok())
    }
}

impl Links for UserLinks {
    fn attach(&self, request: LinkRequest) -> BoxFuture<'_, Result<Link, InstanceFault>> {
        Box::pin(async move {
            if let (true, Some(link)) = (request.is_running, &request.before) {
                return Ok(link.clone());
            }
            let forward = self.forward(request.before.as_ref())?;
            Ok(Link::User {
                forwards: vec![forward],
            })
        })
    }

    fn detach(&self, _item_hash: &ItemHash, _vm_id: u32) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn forget(&self, _item_hash: &ItemHash) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_kept_unless_somebody_took_it() {
        let links = UserLinks::new(Ipv4Addr::LOCALHOST.into());
        let first = links.forward(None).unwrap();
        let before = Link::User {
            forwards: vec![first],
        };
        assert_eq!(links.forward(Some(&before)).unwrap(), first);
        let _taken = TcpListener::bind(first.host).unwrap();
        assert_ne!(links.forward(Some(&before)).unwrap(), first);
    }
}
