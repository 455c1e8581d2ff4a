//! Networks that an operator names, and who a client is behind a proxy.
//!
//! `X-Forwarded-For` is a list that every proxy adds to at its end. Read from
//! there, the first address that is no trusted proxy is the client: what stands
//! before it could be invented by him.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use http::HeaderMap;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// A set of addresses: `10.0.0.0/8`, `127.0.0.1`, `::1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<(IpAddr, u8)>);

/// A text that names no network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongNetwork(String);

impl std::fmt::Display for WrongNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let WrongNetwork(text) = self;
        write!(
            f,
            "{text:?} is no address and no network; write it like 10.0.0.7 or 10.0.0.0/8"
        )
    }
}

impl std::error::Error for WrongNetwork {}

impl Networks {
    /// Reads a list of addresses and networks.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Networks, WrongNetwork> {
        texts
            .iter()
            .map(|text| network(text.as_ref()))
            .collect::<Result<_, _>>()
            .map(Networks)
    }

    /// True when an address is in one of the networks.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0
            .iter()
            .any(|(network, bits)| is_within(address, *network, *bits))
    }

    /// The client of a request: its peer, or whom trusted proxies name.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.contains(client) {
            return client;
        }
        // As bytes: a client may have begun the list with anything.
        let lists = headers.get_all(FORWARDED_FOR).iter();
        let named: Vec<&[u8]> = lists
            .flat_map(|list| list.as_bytes().split(|byte| *byte == b','))
            .collect();
        for name in named.into_iter().rev() {
            let name = std::str::from_utf8(name).map(str::trim).unwrap_or_default();
            let Ok(address) = IpAddr::from_str(name) else {
                break;
            };
            client = address.to_canonical();
            if !self.contains(client) {
                break;
            }
        }
        client
    }
}

/// Those who count as one client: an address, or the /64 of an IPv6 address.
pub fn group_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            IpAddr::V6(Ipv6Addr::from(segments))
        }
        address => address,
    }
}

fn network(text: &str) -> Result<(IpAddr, u8), WrongNetwork> {
    let wrong = || WrongNetwork(text.to_owned());
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let address = IpAddr::from_str(address).map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    match bits.unwrap_or(most) {
        bits if bits <= most => Ok((address, bits)),
        _ => Err(wrong()),
    }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let differ = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => u128::from((a.to_bits() ^ b.to_bits()).leading_zeros()),
        (IpAddr::V6(a), IpAddr::V6(b)) => u128::from((a.to_bits() ^ b.to_bits()).leading_zeros()),
        _ => return false,
    };
    differ >= u128::from(bits)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn networks_hold_their_addresses() {
        let networks = Networks::parse(&["10.0.0.0/8", "192.0.2.7", "fd00::/16"]).unwrap();
        for (address, is_in) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("::ffff:10.0.0.1", true),
            ("fd00::1", true),
            ("fd01::1", false),
        ] {
            assert_eq!(
                networks.contains(address.parse().unwrap()),
                is_in,
                "{address}"
            );
        }
        for wrong in ["10.0.0.0/33", "house", "10.0.0.0/x", "::/129"] {
            assert!(Networks::parse(&[wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_trusted_proxies_name_the_client() {
        let networks = Networks::parse(&["127.0.0.1", "10.0.0.0/8"]).unwrap();
        for (peer, list, client) in [
            ("198.51.100.1", "203.0.113.9", "198.51.100.1"),
            ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
            ("127.0.0.1", "1.1.1.1, 203.0.113.9, 10.0.0.5", "203.0.113.9"),
            ("127.0.0.1", "é, 203.0.113.9", "203.0.113.9"),
            ("127.0.0.1", "nonsense", "127.0.0.1"),
            ("127.0.0.1", "", "127.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                FORWARDED_FOR,
                HeaderValue::from_bytes(list.as_bytes()).unwrap(),
            );
            let found = networks.client(peer.parse().unwrap(), &headers);
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} {list}");
        }
    }

    #[test]
    fn a_house_has_one_ipv6_network() {
        let group = |text: &str| group_of(text.parse().unwrap());
        assert_eq!(group("2001:db8::1"), group("2001:db8::ffff:1"));
        assert_ne!(group("2001:db8::1"), group("2001:db8:0:1::1"));
        assert_ne!(group("192.0.2.1"), group("192.0.2.2"));
    }
}
