//! The packet filter of guests: one table `inet beth`, replaced as a whole.
//!
//! ```text
//! tap ─▶ source       address and MAC are the guest's own        else dropped
//!     ├▶ to_host      neighbour discovery, pings, open ports     else dropped
//!     └▶ from_guest   to the external interface only; name servers, open ranges,
//!                     not private ones; bounded connections      else dropped
//! external ─▶ ports_in  port of the host becomes port of a guest
//!          └▶ to_guest  mapped ports; all of IPv6; bounded       else dropped
//! ```
//!
//! A script is a function of what is remembered. It removes and makes the table
//! in one transaction, so that there never are old and new rules, nor none. It
//! names no other table. Texts of tenants do not occur in it: only numbers,
//! addresses and a checked name of an interface.

use std::collections::BTreeSet;
use std::fmt::{Display, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::{Mac, nth4, tap_name};
use super::block::Block;
use super::config::LanConfig;
use super::state::State;

/// Name of the table.
pub(super) const TABLE: &str = "beth";

/// Ranges that are nobody's on the internet: private networks, the host
/// itself, metadata of clouds.
const CLOSED: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
    "::/96",
    "::ffff:0:0/96",
    "64:ff9b:1::/48",
    "fc00::/7",
    "fe80::/9",
    "ff00::/8",
];

/// Ranges that stay closed whatever is opened: metadata of clouds.
const METADATA: &[&str] = &["169.254.0.0/16", "168.63.129.16/32", "fd00:ec2::/32"];

/// What the rules depend on besides what is remembered.
pub(super) struct Rules<'a> {
    pub(super) config: &'a LanConfig,
    /// The external interface; checked.
    pub(super) uplink: &'a str,
    /// Name servers that guests were told.
    pub(super) resolvers: &'a [IpAddr],
}

#[derive(Default)]
struct Elements {
    taps: Vec<String>,
    macs: Vec<String>,
    sources4: Vec<String>,
    sources6: Vec<String>,
    tcp: Vec<String>,
    udp: Vec<String>,
}

/// The script that removes the table.
pub(super) fn removal() -> String {
    format!("add table inet {TABLE}\ndelete table inet {TABLE}\n")
}

impl Rules<'_> {
    /// The script that makes the rules of all attached guests the only ones.
    pub(super) fn script(&self, state: &State) -> String {
        let elements = self.elements(state);
        let mut text = removal();
        text.push_str(&format!("table inet {TABLE} {{\n"));
        self.sets(&mut text, &elements);
        text.push_str(&self.chains());
        text.push_str("}\n");
        text
    }

    fn elements(&self, state: &State) -> Elements {
        let mut all = Elements::default();
        for (item_hash, guest) in state.guests.iter().filter(|(_, guest)| guest.attached) {
            let Some(network) = guest.ipv4_network(self.config) else {
                continue;
            };
            let (tap, mac, ipv4) = (tap_name(guest.vm_id), Mac::of(item_hash), nth4(network, 2));
            all.taps.push(format!("\"{tap}\""));
            all.macs.push(format!("\"{tap}\" . {mac}"));
            all.sources4.push(format!("\"{tap}\" . {mac} . {ipv4}"));
            if let Some(block) = guest.ipv6_network(self.config, item_hash) {
                all.sources6.push(format!("\"{tap}\" . {mac} . {block}"));
            }
            for (port, mapping) in &guest.ports {
                let element = format!("{} : {ipv4} . {port}", mapping.host);
                if mapping.tcp {
                    all.tcp.push(element.clone());
                }
                if mapping.udp {
                    all.udp.push(element);
                }
            }
        }
        all
    }

    fn sets(&self, text: &mut String, all: &Elements) {
        let tap = "type ifname;";
        set(text, "taps", tap, &all.taps);
        set(text, "macs", "type ifname . ether_addr;", &all.macs);
        let kind = "type ifname . ether_addr . ipv4_addr;";
        set(text, "sources4", kind, &all.sources4);
        let kind = "type ifname . ether_addr . ipv6_addr; flags interval;";
        set(text, "sources6", kind, &all.sources6);
        let v4 = "type ipv4_addr; flags interval; auto-merge;";
        let v6 = "type ipv6_addr; flags interval; auto-merge;";
        let (resolvers4, resolvers6) = split(self.resolvers.iter().copied(), IpAddr::is_ipv4);
        set(text, "resolvers4", v4, &resolvers4);
        set(text, "resolvers6", v6, &resolvers6);
        let open = self.config.open_ranges.iter().copied();
        let (open4, open6) = split(open, Block::is_ipv4);
        set(text, "open4", v4, &open4);
        set(text, "open6", v6, &open6);
        let (closed4, closed6) = split(closed(CLOSED), Block::is_ipv4);
        set(text, "closed4", v4, &closed4);
        set(text, "closed6", v6, &closed6);
        let (metadata4, metadata6) = split(closed(METADATA), Block::is_ipv4);
        set(text, "metadata4", v4, &metadata4);
        set(text, "metadata6", v6, &metadata6);
        for name in ["new_out", "new_in", "connections"] {
            let kind = format!("{tap} flags dynamic; size 8192;");
            set(text, name, &kind, &[""; 0]);
        }
        let kind = "type inet_service : ipv4_addr . inet_service;";
        for (name, ports) in [("ports_tcp", &all.tcp), ("ports_udp", &all.udp)] {
            collection(text, ("map", name), kind, ports);
        }
    }

    fn chains(&self) -> String {
        let LanConfig {
            connections_max,
            connection_rate_max: rate,
            ..
        } = self.config;
        let (uplink, burst) = (self.uplink, rate.saturating_mul(2));
        let hide6 = match self.config.hides_ipv6() {
            true => format!("iifname @taps oifname \"{uplink}\" meta nfproto ipv6 masquerade"),
            false => String::new(),
        };
        let host_ports: BTreeSet<u16> = self.config.host_ports.iter().copied().collect();
        let host_ports = match host_ports.is_empty() {
            true => String::new(),
            false => format!("tcp dport {{ {} }} accept", joined(&host_ports)),
        };
        format!(
            r#"
  chain source {{
    type filter hook prerouting priority raw; policy accept;
    iifname @taps jump source_of_guest
  }}
  chain source_of_guest {{
    iifname . ether saddr . ip saddr @sources4 return
    iifname . ether saddr . ip6 saddr @sources6 return
    iifname . ether saddr @macs ip6 saddr {{ ::, fe80::/10 }} ip6 daddr {{ fe80::/10, ff02::/16 }} icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} return
    counter drop
  }}
  chain input {{
    type filter hook input priority filter - 5; policy accept;
    iifname @taps jump to_host
  }}
  chain to_host {{
    ct state established,related accept
    icmp type echo-request limit rate 50/second accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
    icmpv6 type echo-request limit rate 50/second accept
    {host_ports}
    counter drop
  }}
  chain forward {{
    type filter hook forward priority filter - 5; policy accept;
    iifname @taps jump from_guest
    oifname @taps jump to_guest
  }}
  chain from_guest {{
    oifname != "{uplink}" counter drop
    ct state established,related accept
    ct state invalid drop
    meta l4proto {{ tcp, udp }} th dport 53 ip daddr @resolvers4 goto admit_out
    meta l4proto {{ tcp, udp }} th dport 53 ip6 daddr @resolvers6 goto admit_out
    ip daddr @metadata4 counter drop
    ip6 daddr @metadata6 counter drop
    ip daddr @open4 goto admit_out
    ip6 daddr @open6 goto admit_out
    ip daddr @closed4 counter drop
    ip6 daddr @closed6 counter drop
    goto admit_out
  }}
  chain admit_out {{
    add @new_out {{ iifname limit rate over {rate}/second burst {burst} packets }} counter drop
    add @connections {{ iifname ct count over {connections_max} }} counter drop
    accept
  }}
  chain to_guest {{
    iifname != "{uplink}" counter drop
    ct state established,related accept
    ct state invalid drop
    ct status dnat goto admit_in
    meta nfproto ipv6 goto admit_in
    counter drop
  }}
  chain admit_in {{
    add @new_in {{ oifname limit rate over {rate}/second burst {burst} packets }} counter drop
    add @connections {{ oifname ct count over {connections_max} }} counter drop
    accept
  }}
  chain ports_in {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname "{uplink}" fib daddr type local meta nfproto ipv4 dnat ip to tcp dport map @ports_tcp
    iifname "{uplink}" fib daddr type local meta nfproto ipv4 dnat ip to udp dport map @ports_udp
  }}
  chain hide {{
    type nat hook postrouting priority srcnat; policy accept;
    iifname @taps oifname "{uplink}" meta nfproto ipv4 masquerade
    {hide6}
  }}
"#
        )
    }
}

fn set(text: &mut String, name: &str, kind: &str, elements: &[impl Display]) {
    collection(text, ("set", name), kind, elements);
}

fn collection(
    text: &mut String,
    (what, name): (&str, &str),
    kind: &str,
    elements: &[impl Display],
) {
    let elements = match elements {
        [] => String::new(),
        some => format!(" elements = {{ {} }};", joined(some)),
    };
    // Writing to a string does not fail.
    let _ = writeln!(text, "  {what} {name} {{ {kind}{elements} }}");
}

fn joined(all: impl IntoIterator<Item = impl Display>) -> String {
    let all: Vec<String> = all.into_iter().map(|one| one.to_string()).collect();
    all.join(", ")
}

fn split<T>(all: impl Iterator<Item = T>, is_ipv4: impl Fn(&T) -> bool) -> (Vec<T>, Vec<T>) {
    all.partition(is_ipv4)
}

/// The ranges, and those that name them through a translator (64:ff9b::/96).
fn closed(texts: &[&str]) -> impl Iterator<Item = Block> {
    let blocks: Vec<Block> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    let translated: Vec<Block> = blocks.iter().copied().filter_map(translated).collect();
    blocks.into_iter().chain(translated)
}

fn translated(block: Block) -> Option<Block> {
    let IpAddr::V4(first) = block.first() else {
        return None;
    };
    let base = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0).to_bits();
    let address = Ipv6Addr::from_bits(base | u128::from(Ipv4Addr::to_bits(first)));
    Some(Block::around(address.into(), 96 + block.prefix_bits()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use beth_protocol::ItemHash;
    use serde_json::Value;

    use super::super::address::Kind;
    use super::super::ports::Mapping;
    use super::*;

    fn state() -> State {
        let config = LanConfig::default();
        let mut state = State::default();
        let hash = ItemHash::parse(&format!("8920215b2e96{}", "0".repeat(52))).unwrap();
        state.admit(&config, &hash, (6, Kind::Instance)).unwrap();
        let guest = state.guests.get_mut(&hash).unwrap();
        guest.attached = true;
        let mapping = |host, tcp, udp| Mapping { host, tcp, udp };
        guest.ports.insert(22, mapping(24_000, true, false));
        guest.ports.insert(8080, mapping(24_001, false, true));
        state
    }

    fn script(config: &LanConfig, state: &State) -> String {
        let resolvers = ["10.0.0.2".parse().unwrap()];
        let rules = Rules {
            config,
            uplink: "eth0",
            resolvers: &resolvers,
        };
        rules.script(state)
    }

    /// Upstream's rules say the same of ports: which of the host leads where.
    #[test]
    fn ports_of_the_vectors() {
        let text = include_str!("../../../../vectors/crn/nftables.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        let script = script(&LanConfig::default(), &state());
        for (name, map) in [
            ("port_redirect_tcp_24000_to_22", "ports_tcp"),
            ("port_redirect_udp_24001_to_8080", "ports_udp"),
        ] {
            let expressions = &vectors[name][0]["add"]["rule"]["expr"];
            let host = &expressions[1]["match"]["right"];
            let (address, port) = (
                &expressions[2]["dnat"]["addr"],
                &expressions[2]["dnat"]["port"],
            );
            let element = format!("{host} : {} . {port}", address.as_str().unwrap());
            let line = script
                .lines()
                .find(|line| line.contains(&format!("map {map} ")));
            assert!(line.unwrap().contains(&element), "{element}: {line:?}");
        }
        let rule = &vectors["setup_vm_6"].to_string();
        assert!(rule.contains("vmtap6") && script.contains("elements = { \"vmtap6\" }"));
    }

    #[test]
    fn names_no_other_table_and_flushes_nothing() {
        let script = script(&LanConfig::default(), &state());
        assert!(!script.contains("flush"));
        let tables = script.lines().filter(|line| line.contains("table "));
        assert!(tables.clone().count() == 3);
        assert!(
            tables
                .into_iter()
                .all(|line| line.contains("table inet beth"))
        );
    }

    #[test]
    fn follows_state_and_configuration() {
        let mut config = LanConfig::default();
        let text = script(&config, &state());
        assert!(text.contains("meta nfproto ipv6 masquerade"));
        assert!(text.contains("fc00:1:2:3:3:8920:215b:2e90/124"));
        assert!(text.contains("64:ff9b::a9fe:0/112"));
        let element = "set resolvers4 { type ipv4_addr; flags interval; auto-merge; elements = { 10.0.0.2 }; }";
        assert!(text.contains(element));
        config.ipv6_pool = "2a01:4f8:171:787::/64".parse().unwrap();
        config.host_ports = vec![443, 80];
        config.open_ranges = vec!["10.9.0.0/16".parse().unwrap()];
        let text = script(&config, &state());
        assert!(!text.contains("meta nfproto ipv6 masquerade"));
        assert!(text.contains("tcp dport { 80, 443 } accept"));
        assert!(text.contains("elements = { 10.9.0.0/16 }"));
        let mut state = state();
        state
            .guests
            .values_mut()
            .for_each(|guest| guest.attached = false);
        let text = script(&config, &state);
        assert!(!text.contains("vmtap") && !text.contains("24000"));
    }
}
