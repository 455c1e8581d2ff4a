//! Guests in QEMU's own network, with ports of this computer forwarded.
//!
//! ```text
//! wanted ─▶ kept where the guest has it, if it is free ─▶ next free one for the rest
//! ```

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

use beth_protocol::ItemHash;
use futures::future::BoxFuture;

use super::{Forward, Link, LinkRequest, Links, Mapped, NETDEV};
use crate::instance::fault::InstanceFault;
use crate::lan::{Protocols, WantedPorts, with_ssh};
use crate::limits;

/// User-mode networks with the ports that owners ask for, SSH always.
#[derive(Debug)]
pub struct UserLinks {
    address: IpAddr,
}

/// The next port to try, of the whole process: QEMU opens a port only a while
/// after it was found free, and nobody else shall find it so meanwhile.
static CURSOR: Mutex<u16> = Mutex::new(limits::FORWARD_PORT_FIRST);

impl UserLinks {
    /// Ports are opened on `address`.
    pub fn new(address: IpAddr) -> UserLinks {
        UserLinks { address }
    }

    /// A port for each that is wanted. What QEMU has open is kept unseen; what it
    /// had open once is kept if it is free.
    fn forwards(
        &self,
        (before, is_open): (&[Forward], bool),
        wanted: WantedPorts,
    ) -> Result<Vec<Forward>, InstanceFault> {
        let kept: BTreeMap<u16, u16> = before
            .iter()
            .map(|forward| (forward.guest_port, forward.host.port()))
            .filter(|(_, port)| is_open || self.is_free(*port))
            .collect();
        let mut taken: Vec<u16> = kept.values().copied().collect();
        let mut forwards = Vec::new();
        for (guest_port, Protocols { tcp, udp }) in wanted {
            let port = match kept.get(&guest_port) {
                Some(port) => *port,
                None => self.next_free(&taken)?,
            };
            taken.push(port);
            forwards.push(Forward {
                host: SocketAddr::new(self.address, port),
                guest_port,
                tcp,
                udp,
            });
        }
        Ok(forwards)
    }

    fn next_free(&self, taken: &[u16]) -> Result<u16, InstanceFault> {
        let mut cursor = CURSOR.lock().unwrap_or_else(PoisonError::into_inner);
        let span = limits::FORWARD_PORT_LAST - limits::FORWARD_PORT_FIRST + 1;
        for _ in 0..span {
            let port = *cursor;
            *cursor = match port {
                limits::FORWARD_PORT_LAST => limits::FORWARD_PORT_FIRST,
                port => port + 1,
            };
            if !taken.contains(&port) && self.is_free(port) {
                return Ok(port);
            }
        }
        Err(InstanceFault::NoRoom(
            "every port for guests is in use; stop another instance".into(),
        ))
    }

    fn is_free(&self, port: u16) -> bool {
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        [SocketAddr::new(self.address, port), everywhere]
            .iter()
            .all(|address| TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok())
    }
}

/// What was forwarded before, as a wish.
fn wanted_of(forwards: &[Forward]) -> WantedPorts {
    let of = |forward: &Forward| {
        let (tcp, udp) = (forward.tcp, forward.udp);
        (forward.guest_port, Protocols { tcp, udp })
    };
    forwards.iter().map(of).collect()
}

/// What the monitor is told: first what goes, then what comes.
fn commands(before: &[Forward], after: &[Forward]) -> Vec<String> {
    let ways = |forwards: &[Forward]| -> Vec<(&'static str, SocketAddr, u16)> {
        let of = |forward: &Forward| {
            let tcp = forward.tcp.then_some("tcp");
            let udp = forward.udp.then_some("udp");
            let (host, guest_port) = (forward.host, forward.guest_port);
            let both = tcp.into_iter().chain(udp);
            both.map(move |protocol| (protocol, host, guest_port))
        };
        forwards.iter().flat_map(of).collect()
    };
    let (before, after) = (ways(before), ways(after));
    let gone = before.iter().filter(|way| !after.contains(way));
    let gone = gone.map(|(protocol, host, _)| format!("hostfwd_remove {NETDEV} {protocol}:{host}"));
    let new = after.iter().filter(|way| !before.contains(way));
    let new = new.map(|(protocol, host, guest_port)| {
        format!("hostfwd_add {NETDEV} {protocol}:{host}-:{guest_port}")
    });
    gone.chain(new).collect()
}

impl Links for UserLinks {
    fn attach(&self, request: LinkRequest) -> BoxFuture<'_, Result<Link, InstanceFault>> {
        Box::pin(async move {
            if let (true, Some(link)) = (request.is_running, &request.before) {
                return Ok(link.clone());
            }
            let before = request.before.as_ref().map_or(&[][..], Link::forwards);
            let wanted = request.ports.unwrap_or_else(|| wanted_of(before));
            let forwards = self.forwards((before, false), with_ssh(wanted))?;
            Ok(Link::User { forwards })
        })
    }

    fn map<'a>(
        &'a self,
        _item_hash: &'a ItemHash,
        before: &'a Link,
        wanted: WantedPorts,
    ) -> BoxFuture<'a, Result<Mapped, InstanceFault>> {
        Box::pin(async move {
            let before = before.forwards();
            let forwards = self.forwards((before, true), with_ssh(wanted))?;
            Ok(Mapped {
                commands: commands(before, &forwards),
                link: Link::User { forwards },
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
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn ssh() -> WantedPorts {
        with_ssh(WantedPorts::new())
    }

    #[test]
    fn a_port_is_kept_unless_somebody_took_it() {
        let links = UserLinks::new(Ipv4Addr::LOCALHOST.into());
        let first = links.forwards((&[], false), ssh()).unwrap();
        assert_eq!(links.forwards((&first, false), ssh()).unwrap(), first);
        let _taken = TcpListener::bind(first[0].host).unwrap();
        assert_ne!(links.forwards((&first, false), ssh()).unwrap(), first);
        // While QEMU runs it is QEMU that has taken it.
        assert_eq!(links.forwards((&first, true), ssh()).unwrap(), first);
    }

    #[test]
    fn the_monitor_hears_of_what_changed_only() {
        let forward = |port: u16, guest_port, tcp, udp| Forward {
            host: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            guest_port,
            tcp,
            udp,
        };
        let before = [
            forward(24000, 22, true, false),
            forward(24001, 80, true, true),
        ];
        let after = [
            forward(24000, 22, true, false),
            forward(24001, 80, true, false),
        ];
        assert!(commands(&before, &before).is_empty());
        assert_eq!(
            commands(&before, &after),
            ["hostfwd_remove net udp:127.0.0.1:24001"]
        );
        assert_eq!(
            commands(&after, &before),
            ["hostfwd_add net udp:127.0.0.1:24001-:80"]
        );
    }
}
