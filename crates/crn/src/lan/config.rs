//! What the guest network can be told: `[crn.lan]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::address::Ipv6Policy;
use super::block::Block;

/// How guests reach the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// `tap` where this process may change the host's network, else `user`.
    Auto,
    /// A tap for each guest, routed and filtered by the host's kernel.
    Tap,
    /// In QEMU's own process; the host is not changed. For development: guests
    /// reach what listens on the loopback interface of the host.
    #[default]
    User,
    /// No network card.
    None,
}

/// Everything that the guest network can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LanConfig {
    /// How guests reach the network.
    pub mode: Mode,
    /// Interface to the internet. Unset: the one of the default route.
    pub external_interface: Option<String>,
    /// IPv4 addresses of guests; each gets a network of 256 addresses.
    pub ipv4_pool: Block,
    /// IPv6 addresses of guests: a /64 that is routed to this host, or whose
    /// addresses it answers for (`ndp_proxy`). In fc00::/7 guests reach the
    /// internet behind the host's own address.
    pub ipv6_pool: Block,
    /// How blocks of the IPv6 pool are given out.
    pub ipv6_policy: Ipv6Policy,
    /// Answer neighbour discovery on the external interface for guests.
    pub ndp_proxy: bool,
    /// Name servers of guests. Empty: those of the host.
    pub dns: Vec<IpAddr>,
    /// Number of the first guest.
    pub first_number: u32,
    /// First and last port of the host that lead to guests.
    pub ports: (u16, u16),
    /// Address on which such ports listen in mode `user`.
    pub user_address: Ipv4Addr,
    /// Ports of the host (TCP) that guests may reach, such as those of its
    /// public web server.
    pub host_ports: Vec<u16>,
    /// Private address ranges that guests may reach.
    pub open_ranges: Vec<Block>,
    /// Connections that one guest may have at the same time.
    pub connections_max: u32,
    /// New connections a second of one guest, each way.
    pub connection_rate_max: u32,
}

impl Default for LanConfig {
    fn default() -> LanConfig {
        LanConfig {
            mode: Mode::User,
            external_interface: None,
            ipv4_pool: Block::around(Ipv4Addr::new(172, 16, 0, 0).into(), 12),
            ipv6_pool: Block::around(Ipv6Addr::new(0xfc00, 1, 2, 3, 0, 0, 0, 0).into(), 64),
            ipv6_policy: Ipv6Policy::Static,
            ndp_proxy: true,
            dns: Vec::new(),
            first_number: 4,
            ports: (24_000, 65_534),
            user_address: Ipv4Addr::LOCALHOST,
            host_ports: Vec::new(),
            open_ranges: Vec::new(),
            connections_max: 16_384,
            connection_rate_max: 500,
        }
    }
}

impl LanConfig {
    /// What cannot be meant, as a sentence for the operator.
    pub(super) fn fault(&self) -> Option<String> {
        let unique_local = Block::around(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0).into(), 7);
        if !self.ipv4_pool.is_ipv4() || self.ipv4_pool.prefix_bits() > 23 {
            return Some(
                "`ipv4_pool` needs an IPv4 block of at least two networks, such as 172.16.0.0/12"
                    .into(),
            );
        }
        let bits_max = match self.ipv6_policy {
            Ipv6Policy::Static => 64,
            Ipv6Policy::Dynamic => 122,
        };
        if self.ipv6_pool.is_ipv4() || self.ipv6_pool.prefix_bits() > bits_max {
            return Some(format!(
                "`ipv6_pool` needs an IPv6 block of at most {bits_max} bits, such as {unique_local} cut to fc00:1:2:3::/64"
            ));
        }
        if self.ports.0 == 0 || self.ports.0 > self.ports.1 {
            return Some("`ports` needs a first and a last port, such as [24000, 65534]".into());
        }
        match &self.external_interface {
            Some(name) if !is_interface_name(name) => Some(format!(
                "`external_interface` is {name:?}, which is no name of an interface"
            )),
            _ => None,
        }
    }

    /// True when guests cannot be reached by their own IPv6 addresses.
    pub(super) fn hides_ipv6(&self) -> bool {
        let unique_local = Block::around(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0).into(), 7);
        unique_local.contains(self.ipv6_pool.first())
    }
}

/// True for names that the kernel gives and that need no quoting.
pub(super) fn is_interface_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=15).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with(['.', '-'])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn faults() {
        assert_eq!(LanConfig::default().fault(), None);
        assert_eq!(LanConfig::default().mode, Mode::User);
        for (text, word) in [
            (r#"{"ipv4_pool": "fc00::/7"}"#, "ipv4_pool"),
            (r#"{"ipv4_pool": "10.0.0.0/24"}"#, "ipv4_pool"),
            (r#"{"ipv6_pool": "2001:db8::/65"}"#, "ipv6_pool"),
            (r#"{"ports": [9, 8]}"#, "ports"),
            (
                r#"{"external_interface": "eth0\"; flush"}"#,
                "external_interface",
            ),
            (r#"{"external_interface": ".."}"#, "external_interface"),
        ] {
            let config: LanConfig = serde_json::from_str(text).unwrap();
            assert!(config.fault().unwrap().contains(word), "{text}");
        }
        assert!(serde_json::from_str::<LanConfig>(r#"{"pool": 1}"#).is_err());
    }
}
