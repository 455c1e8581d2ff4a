//! What a guest is told, and what others are told of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::address::{Kind, Mac};
use super::block::Block;
use super::ports::{Mapping, PortMap, WantedPorts};

/// What a guest asks for.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The number it should have; unset, or not free: the lowest free one.
    pub vm_id: Option<u32>,
    /// What it is.
    pub kind: Kind,
    /// The user whose QEMU opens the tap; unset: only root can.
    pub owner_uid: Option<u32>,
    /// Ports that lead to it. Unset, as when its owner's aggregate could not be
    /// fetched: those it has. Instances have SSH anyway.
    pub ports: Option<WantedPorts>,
}

/// The network card of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub vm_id: u32,
    /// Its Ethernet address; others are dropped.
    pub mac: Mac,
    /// Its IPv4 address.
    pub ipv4: Ipv4Addr,
    /// The IPv4 network it is alone in, with the host.
    pub ipv4_network: Block,
    /// The host, seen from it.
    pub ipv4_gateway: Ipv4Addr,
    /// Its IPv6 addresses; none in QEMU's own network.
    pub ipv6: Option<LinkV6>,
    /// Its name servers.
    pub dns: Vec<IpAddr>,
    /// Ports of the host that lead to it.
    pub ports: PortMap,
    /// What is on the other end.
    pub end: End,
}

/// The IPv6 side of a network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkV6 {
    /// Its address.
    pub address: Ipv6Addr,
    /// The block that is its own.
    pub network: Block,
    /// The host, seen from it.
    pub gateway: Ipv6Addr,
}

/// What is on the other end of a network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A tap of this name.
    Tap(String),
    /// QEMU itself; ports listen on this address.
    User(Ipv4Addr),
}

/// What the API tells of the network of a guest (compute.md §6.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Networking {
    /// IPv4 network.
    pub ipv4_network: Block,
    /// Address of the host where mapped ports are reached.
    pub host_ipv4: Ipv4Addr,
    /// IPv6 network.
    pub ipv6_network: Block,
    /// IPv6 address.
    pub ipv6_ip: Ipv6Addr,
    /// IPv4 address.
    pub ipv4_ip: Ipv4Addr,
    /// Port of the guest to where it is reached.
    pub mapped_ports: PortMap,
}

impl Link {
    /// The value of QEMU's `-netdev` for it.
    pub fn netdev(&self, id: &str) -> String {
        match &self.end {
            End::Tap(name) => format!("tap,id={id},ifname={name},script=no,downscript=no"),
            End::User(listen) => {
                let Link { ipv4, .. } = self;
                let mut text = format!(
                    "user,id={id},ipv6=off,net={},host={},dhcpstart={ipv4}",
                    self.ipv4_network, self.ipv4_gateway
                );
                if let Some(IpAddr::V4(dns)) = self.dns.first() {
                    text.push_str(&format!(",dns={dns}"));
                }
                for (port, mapping) in &self.ports {
                    for protocol in protocols(mapping) {
                        let host = mapping.host;
                        text.push_str(&format!(
                            ",hostfwd={protocol}:{listen}:{host}-{ipv4}:{port}"
                        ));
                    }
                }
                text
            }
        }
    }

    /// The commands of QEMU's monitor that lead from the ports of this link to
    /// those of another state of it; none with a tap.
    pub fn monitor_commands(&self, now: &Link, id: &str) -> Vec<String> {
        let End::User(listen) = &self.end else {
            return Vec::new();
        };
        let before = forwards(&self.ports);
        let after = forwards(&now.ports);
        let gone = before.iter().filter(|forward| !after.contains(forward));
        let new = after.iter().filter(|forward| !before.contains(forward));
        let gone = gone
            .map(|(protocol, host, _)| format!("hostfwd_remove {id} {protocol}:{listen}:{host}"));
        let new = new.map(|(protocol, host, port)| {
            format!(
                "hostfwd_add {id} {protocol}:{listen}:{host}-{}:{port}",
                self.ipv4
            )
        });
        gone.chain(new).collect()
    }
}

fn forwards(ports: &PortMap) -> Vec<(&'static str, u16, u16)> {
    let of = |(&port, mapping): (&u16, &Mapping)| {
        let host = mapping.host;
        protocols(mapping).map(move |protocol| (protocol, host, port))
    };
    ports.iter().flat_map(of).collect()
}

fn protocols(mapping: &Mapping) -> impl Iterator<Item = &'static str> + use<> {
    let tcp = mapping.tcp.then_some("tcp");
    tcp.into_iter().chain(mapping.udp.then_some("udp"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use beth_protocol::ItemHash;

    use super::*;

    fn link(end: End, ports: &[(u16, u16, bool, bool)]) -> Link {
        Link {
            vm_id: 6,
            mac: Mac::of(&ItemHash::of_bytes(b"")),
            ipv4: Ipv4Addr::new(172, 16, 6, 2),
            ipv4_network: "172.16.6.0/24".parse().unwrap(),
            ipv4_gateway: Ipv4Addr::new(172, 16, 6, 1),
            ipv6: None,
            dns: vec!["172.16.6.3".parse().unwrap()],
            ports: ports
                .iter()
                .map(|&(port, host, tcp, udp)| (port, Mapping { host, tcp, udp }))
                .collect(),
            end,
        }
    }

    #[test]
    fn what_qemu_is_told() {
        let tap = link(End::Tap("vmtap6".into()), &[(22, 24_000, true, false)]);
        let expected = "tap,id=net0,ifname=vmtap6,script=no,downscript=no";
        assert_eq!(tap.netdev("net0"), expected);
        let end = End::User(Ipv4Addr::LOCALHOST);
        let one = link(
            end.clone(),
            &[(22, 24_000, true, false), (53, 24_001, true, true)],
        );
        assert_eq!(
            one.netdev("net0"),
            "user,id=net0,ipv6=off,net=172.16.6.0/24,host=172.16.6.1,dhcpstart=172.16.6.2,dns=172.16.6.3,\
             hostfwd=tcp:127.0.0.1:24000-172.16.6.2:22,hostfwd=tcp:127.0.0.1:24001-172.16.6.2:53,\
             hostfwd=udp:127.0.0.1:24001-172.16.6.2:53"
        );
        let two = link(
            end,
            &[
                (22, 24_000, true, false),
                (53, 24_001, false, true),
                (80, 24_002, true, false),
            ],
        );
        assert_eq!(
            one.monitor_commands(&two, "net0"),
            [
                "hostfwd_remove net0 tcp:127.0.0.1:24001",
                "hostfwd_add net0 tcp:127.0.0.1:24002-172.16.6.2:80"
            ]
        );
        assert!(tap.monitor_commands(&two, "net0").is_empty());
    }
}
