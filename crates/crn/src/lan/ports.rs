//! Ports of the host that lead to ports of guests (compute.md §23).
//!
//! ```text
//! wanted {22 tcp, 80 tcp+udp} ─▶ kept where the guest has it ─▶ next free from 24000 for the rest
//! ```
//!
//! One port of the host for one port of a guest, both protocols. A mapping
//! keeps its port as long as it is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::LanError;
use crate::limits;

/// The port that SSH listens on in instances; always mapped.
pub const SSH: u16 = 22;

/// Port of the guest to where it is reached.
pub type PortMap = BTreeMap<u16, Mapping>;

/// Port of the guest to the protocols that are wanted.
pub type WantedPorts = BTreeMap<u16, Protocols>;

/// Where a port of a guest is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Port of the host.
    pub host: u16,
    /// TCP is led to the guest.
    pub tcp: bool,
    /// UDP is led to the guest.
    pub udp: bool,
}

/// Protocols of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Protocols {
    /// TCP is wanted.
    pub tcp: bool,
    /// UDP is wanted.
    pub udp: bool,
}

/// The ports that the value of an owner's aggregate `port-forwarding` asks for
/// one guest. What is no port, or asks for no protocol, is left out; of more
/// than the bound, the lowest ports count.
pub fn wanted_ports(aggregate: &Value, item_hash: &str) -> WantedPorts {
    let ports = aggregate
        .get(item_hash)
        .and_then(|guest| guest.get("ports"))
        .and_then(Value::as_object);
    let mut wanted = WantedPorts::new();
    for (port, protocols) in ports.into_iter().flatten() {
        let flag = |name: &str| protocols.get(name).and_then(Value::as_bool) == Some(true);
        let protocols = Protocols {
            tcp: flag("tcp"),
            udp: flag("udp"),
        };
        match port.parse() {
            Ok(port @ 1..) if protocols.tcp || protocols.udp => {
                wanted.insert(port, protocols);
            }
            _ => {}
        }
    }
    while wanted.len() > limits::GUEST_PORTS_MAX {
        wanted.pop_last();
    }
    wanted
}

/// What a guest has, as a wish.
pub(super) fn wanted_of(current: &PortMap) -> WantedPorts {
    let of = |(&port, &Mapping { tcp, udp, .. }): (&u16, &Mapping)| (port, Protocols { tcp, udp });
    current.iter().map(of).collect()
}

/// Adds SSH over TCP to what is wanted.
pub fn with_ssh(mut wanted: WantedPorts) -> WantedPorts {
    wanted.entry(SSH).or_default().tcp = true;
    wanted
}

/// What the search for ports works with.
pub(super) struct Search<'a> {
    /// First and last.
    pub(super) range: (u16, u16),
    /// Where to begin; moved behind what is given out.
    pub(super) next: &'a mut u16,
    /// Ports that lead to guests already.
    pub(super) used: BTreeSet<u16>,
}

impl Search<'_> {
    /// The mappings of a guest: of `current` what is still wanted, and free
    /// ports for the rest.
    pub(super) fn remap(
        &mut self,
        current: &PortMap,
        wanted: &WantedPorts,
        is_free: impl Fn(u16) -> bool,
    ) -> Result<PortMap, LanError> {
        let mut map = PortMap::new();
        for (&port, &Protocols { tcp, udp }) in wanted {
            let host = match current.get(&port) {
                Some(mapping) => mapping.host,
                None => self.take(&is_free)?,
            };
            map.insert(port, Mapping { host, tcp, udp });
        }
        Ok(map)
    }

    fn take(&mut self, is_free: impl Fn(u16) -> bool) -> Result<u16, LanError> {
        let (first, last) = self.range;
        let begin = (*self.next).clamp(first, last);
        let port = (begin..=last)
            .chain(first..begin)
            .find(|port| !self.used.contains(port) && is_free(*port))
            .ok_or(LanError::NoPort { first, last })?;
        self.used.insert(port);
        *self.next = port.checked_add(1).unwrap_or(first);
        Ok(port)
    }
}

/// True when nothing on this host listens there.
pub(super) fn is_free(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tcp(ports: &[u16]) -> WantedPorts {
        let protocols = Protocols {
            tcp: true,
            udp: false,
        };
        ports.iter().map(|&port| (port, protocols)).collect()
    }

    fn hosts(map: &PortMap) -> Vec<(u16, u16)> {
        map.iter()
            .map(|(&port, mapping)| (port, mapping.host))
            .collect()
    }

    #[test]
    fn what_an_aggregate_asks_for() {
        let hash = "8920";
        for (aggregate, expected) in [
            (
                json!({"8920": {"ports": {"80": {"tcp": true, "udp": false}}}}),
                vec![(80, true, false)],
            ),
            (
                json!({"8920": {"ports": {"53": {"udp": true}, "7": {"tcp": 1}, "0": {"tcp": true},
                "65536": {"tcp": true}, "-1": {"tcp": true}, "x; flush": {"tcp": true}, "9": null}}}),
                vec![(53, false, true)],
            ),
            (json!({"8921": {"ports": {"80": {"tcp": true}}}}), vec![]),
            (json!({"8920": {"ports": ["80"]}}), vec![]),
            (json!([]), vec![]),
            (json!(null), vec![]),
        ] {
            let found: Vec<_> = wanted_ports(&aggregate, hash)
                .into_iter()
                .map(|(port, wanted)| (port, wanted.tcp, wanted.udp))
                .collect();
            assert_eq!(found, expected, "{aggregate}");
        }
        let many: serde_json::Map<String, Value> = (1..=60_000)
            .map(|port| (port.to_string(), json!({"tcp": true})))
            .collect();
        let wanted = wanted_ports(&json!({"8920": {"ports": many}}), hash);
        assert_eq!(wanted.len(), limits::GUEST_PORTS_MAX);
        assert_eq!(wanted.keys().next(), Some(&1));
    }

    #[test]
    fn ssh_is_always_wanted() {
        let udp = Protocols {
            tcp: false,
            udp: true,
        };
        assert_eq!(with_ssh(WantedPorts::new()), tcp(&[22]));
        let both = with_ssh(WantedPorts::from([(22, udp)]));
        assert!(both[&22].tcp && both[&22].udp);
    }

    #[test]
    fn ports_stay_and_go_round() {
        let (mut next, range) = (0, (24_000, 24_004));
        let mut search = Search {
            range,
            next: &mut next,
            used: BTreeSet::from([24_001]),
        };
        let first = search.remap(&PortMap::new(), &tcp(&[22, 80]), |port| port != 24_002);
        let first = first.unwrap();
        assert_eq!(hosts(&first), [(22, 24_000), (80, 24_003)]);
        let second = search.remap(&first, &tcp(&[80, 443]), |_| true).unwrap();
        assert_eq!(hosts(&second), [(80, 24_003), (443, 24_004)]);
        let third = search
            .remap(&second, &tcp(&[80, 443, 1]), |_| true)
            .unwrap();
        assert_eq!(third[&1].host, 24_002);
        let error = search.remap(&third, &tcp(&[2, 3]), |_| true);
        assert!(matches!(error, Err(LanError::NoPort { .. })));
    }

    #[test]
    fn a_port_that_is_listened_on_is_not_free() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        assert!(!is_free(listener.local_addr().unwrap().port()));
    }
}
