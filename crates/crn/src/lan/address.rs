//! Which addresses a guest has (compute.md §22): a function of its number, of
//! its item hash and of the pools, so that others can compute them too.
//!
//! ```text
//! number 6        ─▶ vmtap6, 172.16.6.0/24: host .1, guest .2
//! hash 8920215b2e9… ─▶ <pool /64>:3:8920:215b:2e90/124: host …0, guest …1
//!                                 └ kind
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use beth_protocol::ItemHash;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::block::Block;

/// Bits of the IPv6 block of one guest.
const GUEST_IPV6_BITS: u8 = 124;

/// What a guest is; the number is the fifth group of its IPv6 address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Kind {
    /// A machine of a program, started for calls.
    Microvm = 1,
    /// A program that always runs.
    PersistentProgram = 2,
    /// A whole machine.
    #[default]
    Instance = 3,
}

/// How IPv6 blocks are given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ipv6Policy {
    /// Computed from the item hash: the address survives a move.
    #[default]
    Static,
    /// One after the other.
    Dynamic,
}

/// The Ethernet address of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mac([u8; 6]);

impl Mac {
    /// The one of a guest: locally administered, made of its item hash.
    pub fn of(item_hash: &ItemHash) -> Mac {
        let [a, b, c, d, e, ..]: [u8; 32] = Sha256::digest(item_hash.as_str().as_bytes()).into();
        Mac([0x02, a, b, c, d, e])
    }
}

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Name of the tap of a guest.
pub fn tap_name(vm_id: u32) -> String {
    format!("vmtap{vm_id}")
}

/// The IPv4 network of a guest, `None` beyond the end of the pool.
pub fn ipv4_network(pool: Block, prefix_bits: u8, vm_id: u32) -> Option<Block> {
    let IpAddr::V4(first) = pool.first() else {
        return None;
    };
    let size = 1u64.checked_shl(32 - u32::from(prefix_bits.min(30)))?;
    let network = u64::from(first.to_bits()) + size * u64::from(vm_id);
    let address = Ipv4Addr::from_bits(u32::try_from(network).ok()?);
    pool.contains(address.into())
        .then(|| Block::around(address.into(), prefix_bits))
}

/// The IPv6 network of a guest by the static policy.
pub fn ipv6_static(pool: Block, kind: Kind, item_hash: &ItemHash) -> Option<Block> {
    let IpAddr::V6(first) = pool.first() else {
        return None;
    };
    let digest = item_hash
        .digest()
        .unwrap_or_else(|| Sha256::digest(item_hash.as_str().as_bytes()).into());
    let [a, b, c, d, e, f, ..] = digest;
    let [p, q, r, s, ..] = first.segments();
    let address = Ipv6Addr::new(
        p,
        q,
        r,
        s,
        kind as u16,
        u16::from_be_bytes([a, b]),
        u16::from_be_bytes([c, d]),
        u16::from_be_bytes([e, f & 0xf0]),
    );
    Some(Block::around(address.into(), GUEST_IPV6_BITS))
}

/// The IPv6 network of this index by the dynamic policy; the first of the pool
/// is the host's. `None` beyond the end of the pool.
pub fn ipv6_dynamic(pool: Block, index: u32) -> Option<Block> {
    let IpAddr::V6(first) = pool.first() else {
        return None;
    };
    let offset = (u128::from(index) + 1) << (128 - u32::from(GUEST_IPV6_BITS));
    let address = Ipv6Addr::from_bits(first.to_bits().checked_add(offset)?);
    pool.contains(address.into())
        .then(|| Block::around(address.into(), GUEST_IPV6_BITS))
}

/// The address at this place of an IPv4 network.
pub fn nth4(network: Block, index: u32) -> Ipv4Addr {
    match network.first() {
        IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits().wrapping_add(index)),
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

/// The address at this place of an IPv6 network.
pub fn nth6(network: Block, index: u32) -> Ipv6Addr {
    match network.first() {
        IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits().wrapping_add(index.into())),
        IpAddr::V4(_) => Ipv6Addr::UNSPECIFIED,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../../../vectors/crn/addressing.json")).unwrap()
    }

    #[test]
    fn addresses_of_the_vectors() {
        let vectors = vectors();
        let cases = vectors["static"].as_array().unwrap();
        assert!(cases.len() >= 4);
        for case in cases {
            let text = |name: &str| case[name].as_str().unwrap();
            let vm_id = u32::try_from(case["vm_id"].as_u64().unwrap()).unwrap();
            let hash = ItemHash::parse(text("vm_hash")).unwrap();
            let kind: Kind = serde_json::from_value(case["vm_type"].clone()).unwrap();
            assert_eq!(tap_name(vm_id), text("device"));
            let network = ipv4_network("172.16.0.0/12".parse().unwrap(), 24, vm_id).unwrap();
            assert_eq!(network.to_string(), text("ipv4_network"));
            assert_eq!(format!("{}/24", nth4(network, 1)), text("host_ip"));
            assert_eq!(format!("{}/24", nth4(network, 2)), text("guest_ip"));
            let network = ipv6_static(text("ipv6_pool").parse().unwrap(), kind, &hash).unwrap();
            assert_eq!(network.to_string(), text("ipv6_network"));
            assert_eq!(format!("{}/124", nth6(network, 0)), text("host_ipv6"));
            assert_eq!(format!("{}/124", nth6(network, 1)), text("guest_ipv6"));
            let wide = "2a01:4f8:171:700::/56".parse().unwrap();
            assert_eq!(
                ipv6_static(wide, kind, &hash).unwrap().to_string(),
                text("ipv6_network_with_56_pool(2a01:4f8:171:700::/56)")
            );
        }
    }

    #[test]
    fn dynamic_networks_of_the_vectors() {
        let vectors = vectors();
        let expected = vectors["dynamic_2a01:4f8:171:787::/112_prefix124"].clone();
        let pool = "2a01:4f8:171:787::/112".parse().unwrap();
        let networks: Vec<String> = (0..3)
            .map(|index| ipv6_dynamic(pool, index).unwrap().to_string())
            .collect();
        assert_eq!(serde_json::json!(networks), expected);
        assert_eq!(
            ipv6_dynamic(pool, 4094).map(|block| block.to_string()),
            Some("2a01:4f8:171:787::fff0/124".into())
        );
        assert_eq!(ipv6_dynamic(pool, 4095), None);
    }

    #[test]
    fn the_pool_ends() {
        let pool = "172.16.0.0/12".parse().unwrap();
        for (vm_id, expected) in [
            (255, Some("172.16.255.0/24")),
            (256, Some("172.17.0.0/24")),
            (4095, Some("172.31.255.0/24")),
            (4096, None),
            (u32::MAX, None),
        ] {
            let network = ipv4_network(pool, 24, vm_id).map(|block| block.to_string());
            assert_eq!(network.as_deref(), expected);
        }
    }
}
