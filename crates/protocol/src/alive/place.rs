//! Where a node says that it can be reached, and who can reach such a place.
//!
//! Whoever follows an address that somebody else wrote can be led anywhere: to
//! a service that listens for this computer alone, or to the metadata of its
//! cloud. So only the forms that nodes use are read, and each says how far it
//! reaches.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest host name (RFC 1035).
const NAME_BYTES_MAX: usize = 253;
/// Longest text of a peer id that is read.
const PEER_ID_BYTES_MAX: usize = 128;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which computer.
    pub host: Host,
    /// Of TCP or UDP.
    pub port: u16,
    /// Who it is: always there in a multiaddress, never in a URL.
    pub peer_id: Option<String>,
}

/// How a computer is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// By its address.
    Ip(IpAddr),
    /// By a name, which may stand for any address.
    Name(String),
}

/// From where an address can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// It belongs to no node: link-local (metadata of clouds), multicast,
    /// unspecified, reserved.
    Nowhere,
    /// From the same computer.
    Loopback,
    /// From the same private network.
    Private,
    /// From everywhere.
    Global,
}

impl Place {
    /// Reads `/<ip4|ip6|dns|dns4|dns6>/<host>/<tcp|udp>/<port>[/quic-v1]/p2p/<peer id>`.
    pub fn of_multiaddress(text: &str) -> Option<Place> {
        let mut parts = text.strip_prefix('/')?.split('/');
        let kind = parts.next()?;
        let host = host_of(kind, parts.next()?)?;
        let transport = parts.next()?;
        let port = port(parts.next()?)?;
        match (transport, parts.next()?) {
            ("tcp", "p2p") => {}
            ("udp", "quic-v1") if parts.next() == Some("p2p") => {}
            _ => return None,
        }
        let peer_id = parts.next().filter(|id| is_peer_id(id))?.to_owned();
        parts.next().is_none().then_some(Place {
            host,
            port,
            peer_id: Some(peer_id),
        })
    }

    /// Reads `http://<host>[:<port>]` or `https://…`: no user, path or query.
    pub fn of_url(text: &str) -> Option<Place> {
        let (rest, usual) = match text.strip_prefix("http://") {
            Some(rest) => (rest, 80),
            None => (text.strip_prefix("https://")?, 443),
        };
        if let Some(bracketed) = rest.strip_prefix('[') {
            let (ip, after) = bracketed.split_once(']')?;
            let ip: Ipv6Addr = ip.parse().ok()?;
            return Some(Place {
                host: Host::Ip(ip.into()),
                port: port_after(after, usual)?,
                peer_id: None,
            });
        }
        let (host, after) = rest.split_at(rest.find(':').unwrap_or(rest.len()));
        let host = match host.parse::<Ipv4Addr>() {
            Ok(ip) => Host::Ip(ip.into()),
            Err(_) => Host::Name(name(host)?),
        };
        Some(Place {
            host,
            port: port_after(after, usual)?,
            peer_id: None,
        })
    }
}

/// The peer id that a multiaddress of the registry ends in; `None` for one of a
/// relay, which names two (network.md §4.1).
pub fn peer_id_in(multiaddress: &str) -> Option<&str> {
    let (_, id) = multiaddress.split_once("/p2p/")?;
    (!id.is_empty() && !id.contains("/p2p/")).then_some(id)
}

impl Reach {
    /// Of an address.
    pub fn of(ip: IpAddr) -> Reach {
        match ip {
            IpAddr::V4(ip) => Reach::of_v4(ip),
            IpAddr::V6(ip) => Reach::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Reach {
        match ip.octets() {
            [127, ..] => Reach::Loopback,
            [10, ..] | [192, 168, ..] => Reach::Private,
            [172, second, ..] if second & 0xf0 == 16 => Reach::Private,
            // Of providers, and of test networks.
            [100, second, ..] if second & 0xc0 == 64 => Reach::Private,
            [198, 18 | 19, ..] => Reach::Private,
            [0, ..] | [169, 254, ..] | [192, 0, 0, _] => Reach::Nowhere,
            [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Reach::Nowhere,
            [first, ..] if first >= 224 => Reach::Nowhere,
            _ => Reach::Global,
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Reach {
        let v4 = |high: u16, low: u16| {
            let bits = u32::from(high) << 16 | u32::from(low);
            Reach::of_v4(Ipv4Addr::from_bits(bits))
        };
        match ip.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Loopback,
            [0, 0, 0, 0, 0, 0xffff, high, low] => v4(high, low),
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
            [0x2002, high, low, ..] => v4(high, low),
            [first, ..] if first & 0xfe00 == 0xfc00 => Reach::Private,
            [0x2001, 0xdb8, ..] => Reach::Nowhere,
            // Of these alone does the network give addresses away.
            [first, ..] if first & 0xe000 == 0x2000 => Reach::Global,
            _ => Reach::Nowhere,
        }
    }
}

fn host_of(kind: &str, text: &str) -> Option<Host> {
    Some(match kind {
        "ip4" => Host::Ip(IpAddr::V4(text.parse().ok()?)),
        "ip6" => Host::Ip(IpAddr::V6(text.parse().ok()?)),
        "dns" | "dns4" | "dns6" => Host::Name(name(text)?),
        _ => return None,
    })
}

/// A host name. A last label that begins with a digit would make readers of
/// URLs take it for an address: `2130706433`, `0x7f.1`.
fn name(text: &str) -> Option<String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let last = text.rsplit('.').next()?;
    let is_name = text.len() <= NAME_BYTES_MAX
        && text.split('.').all(is_label)
        && last.starts_with(|first: char| first.is_ascii_alphabetic());
    is_name.then(|| text.to_ascii_lowercase())
}

fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| *port != 0)?;
    is_plain.then_some(port)
}

fn port_after(text: &str, usual: u16) -> Option<u16> {
    match text {
        "" => Some(usual),
        _ => port(text.strip_prefix(':')?),
    }
}

fn is_peer_id(text: &str) -> bool {
    (1..=PEER_ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ID: &str = "QmZkurbY2G2hWay59yiTgQNaQxHSNzKZFt2jbnwJhQcKgV";

    #[test]
    fn multiaddresses() {
        for (text, port) in [
            ("/ip4/51.159.57.71/tcp/4025/p2p/", 4025),
            ("/ip6/2001:41d0::1/tcp/1/p2p/", 1),
            ("/dns/api2.aleph.im/tcp/4025/p2p/", 4025),
            ("/ip4/51.159.57.71/udp/4025/quic-v1/p2p/", 4025),
        ] {
            let place = Place::of_multiaddress(&format!("{text}{ID}")).unwrap();
            assert_eq!((place.port, place.peer_id.as_deref()), (port, Some(ID)));
        }
        for text in [
            "",
            "/",
            "51.159.57.71:4025",
            "/ip4/51.159.57.71/tcp/4025",
            "/ip4/51.159.57.71/tcp/4025/p2p/",
            "/ip4/51.159.57.71/tcp/4025/p2p/A/p2p-circuit/p2p/B",
            "/ip4/51.159.57.71/tcp/4025/ws/p2p/A",
            "/ip4/51.159.57.71/tcp/0/p2p/A",
            "/ip4/51.159.57.71/tcp/+1/p2p/A",
            "/ip4/51.159.57/tcp/1/p2p/A",
            "/ip4/051.159.57.71/tcp/1/p2p/A",
            "/unix/run/docker.sock/p2p/A",
            "/dns/1.2.3/tcp/1/p2p/A",
            "/ip4/51.159.57.71/tcp/1/p2p/A?b",
        ] {
            assert_eq!(Place::of_multiaddress(text), None, "{text}");
        }
    }

    #[test]
    fn urls() {
        for (text, host, port) in [
            ("http://51.159.57.71:4024", "51.159.57.71", 4024),
            ("https://api2.aleph.im", "api2.aleph.im", 443),
            ("http://[2001:41d0::1]:4024", "2001:41d0::1", 4024),
            ("http://API.example", "api.example", 80),
        ] {
            let place = Place::of_url(text).unwrap();
            let found = match place.host {
                Host::Ip(ip) => ip.to_string(),
                Host::Name(name) => name,
            };
            assert_eq!((found.as_str(), place.port), (host, port));
        }
        for text in [
            "",
            "ftp://api2.aleph.im",
            "http://",
            "http://a:",
            "http://a:1:2",
            "http://a:65536",
            "http://user@a.example",
            "http://a.example/",
            "http://a.example/admin",
            "http://a.example?x",
            "http://a.example#x",
            "http://a..b",
            "http://2130706433",
            "http://127.1",
            "http://0x7f.0.0.1",
            "http://a.0x1",
            "http://[::1",
            "http://[fe80::1%25eth0]",
            "http://a\\@b",
            "http://ä.example",
        ] {
            assert_eq!(Place::of_url(text), None, "{text}");
        }
    }

    #[test]
    fn reaches() {
        use Reach::*;
        for (ip, reach) in [
            ("51.159.57.71", Global),
            ("8.8.8.8", Global),
            ("127.0.0.1", Loopback),
            ("127.9.9.9", Loopback),
            ("10.1.2.3", Private),
            ("172.16.0.1", Private),
            ("172.32.0.1", Global),
            ("192.168.1.1", Private),
            ("100.64.0.1", Private),
            ("100.128.0.1", Global),
            ("0.0.0.0", Nowhere),
            ("169.254.169.254", Nowhere),
            ("224.0.0.1", Nowhere),
            ("255.255.255.255", Nowhere),
            ("192.0.2.1", Nowhere),
            ("::1", Loopback),
            ("::", Nowhere),
            ("::7f00:1", Nowhere),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:169.254.169.254", Nowhere),
            ("64:ff9b::a00:1", Private),
            ("2002:7f00:1::", Loopback),
            ("fd00::1", Private),
            ("fe80::1", Nowhere),
            ("ff02::1", Nowhere),
            ("2001:41d0::1", Global),
            ("2001:db8::1", Nowhere),
        ] {
            assert_eq!(Reach::of(ip.parse().unwrap()), reach, "{ip}");
        }
    }

    #[test]
    fn peer_ids_of_the_registry() {
        assert_eq!(peer_id_in("/ip4/1.2.3.4/tcp/1/p2p/A"), Some("A"));
        assert_eq!(peer_id_in("/dns/a/tcp/1/p2p/"), None);
        assert_eq!(peer_id_in("/ip4/1.2.3.4/tcp/1"), None);
        assert_eq!(peer_id_in("/ip4/1.2.3.4/p2p/A/p2p-circuit/p2p/B"), None);
        assert_eq!(peer_id_in(""), None);
    }
}
