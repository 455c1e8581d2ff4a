//! The public address of a computer that listens on all of its own.
//!
//! ```text
//!  does it have a public address itself? ── yes ─▶ that
//!     │ no
//!  are all configured nodes in private networks? ── yes ─▶ its private address
//!     │ no
//!  ask the configured URL ── no answer ─▶ its private address, unless configured nodes are public
//! ```
//!
//! So nobody is asked on a network for development, and a node of the Internet
//! never announces an address that means something else to others.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use beth_protocol::alive::{Host, Place, Reach};
use tokio::time::timeout;
use tracing::debug;

use crate::config::CcnConfig;
use crate::limits::{PUBLIC_ADDRESS_BYTES_MAX, PUBLIC_ADDRESS_TIMEOUT};

/// Where packets to the Internet would be sent; none is.
const FAR_AWAY: (Ipv4Addr, u16) = (Ipv4Addr::new(8, 8, 8, 8), 80);

/// How a public address is found.
#[derive(Clone, Debug)]
pub(super) struct Discovery {
    client: reqwest::Client,
    url: String,
    surroundings: Surroundings,
}

/// Which nodes an operator wrote down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Surroundings {
    /// None.
    Alone,
    /// Only such of private networks.
    Private,
    /// Some of the Internet.
    Public,
}

impl Discovery {
    pub(super) fn new(config: &CcnConfig, client: reqwest::Client) -> Discovery {
        let p2p = config.p2p.bootstrap.iter();
        let p2p = p2p.map(|address| Place::of_multiaddress(address));
        let http = config.content_peers.iter();
        let http = http.map(|url| Place::of_url(crate::neighbours::base(url)));
        Discovery {
            client,
            url: config.p2p.public_address_url.clone(),
            surroundings: Surroundings::of(p2p.chain(http)),
        }
    }

    /// Finds it; `listening` are the multiaddresses of the gossip.
    pub(super) async fn public_ip(&self, listening: &[String]) -> Option<IpAddr> {
        let own = own_address();
        if own.is_some_and(|ip| Reach::of(ip) == Reach::Global) {
            return own;
        }
        let inside = || own.or_else(|| first_of(listening));
        match self.surroundings {
            Surroundings::Private => inside(),
            _ if self.url.is_empty() || own.is_none() => inside(),
            Surroundings::Alone => self.ask().await.or_else(inside),
            Surroundings::Public => self.ask().await,
        }
    }

    async fn ask(&self) -> Option<IpAddr> {
        let asked = async {
            let mut response = self.client.get(&self.url).send().await?;
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                body.extend_from_slice(&chunk);
                if body.len() >= PUBLIC_ADDRESS_BYTES_MAX {
                    break;
                }
            }
            Ok::<_, reqwest::Error>(body)
        };
        match timeout(PUBLIC_ADDRESS_TIMEOUT, asked).await {
            Ok(Ok(body)) => address_in(&body),
            Ok(Err(failure)) => {
                debug!(%failure, url = self.url, "the public address could not be asked for");
                None
            }
            Err(_) => {
                debug!(url = self.url, "no answer about the public address in time");
                None
            }
        }
    }
}

impl Surroundings {
    fn of(places: impl Iterator<Item = Option<Place>>) -> Surroundings {
        let mut surroundings = Surroundings::Alone;
        for place in places.flatten() {
            if is_public(&place.host) {
                return Surroundings::Public;
            }
            surroundings = Surroundings::Private;
        }
        surroundings
    }
}

/// Names without a dot, and of these domains, are of a private network.
fn is_public(host: &Host) -> bool {
    match host {
        Host::Ip(ip) => Reach::of(*ip) == Reach::Global,
        Host::Name(name) => {
            let domain = name.rsplit_once('.').map(|(_, domain)| domain);
            let private = ["localhost", "local", "internal", "lan", "test", "home"];
            domain.is_some_and(|domain| !private.contains(&domain))
        }
    }
}

/// Of this computer, as seen from where packets to the Internet leave it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(FAR_AWAY).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (Reach::of(ip) >= Reach::Private).then_some(ip)
}

/// The first address of a computer that has no way to the Internet.
fn first_of(listening: &[String]) -> Option<IpAddr> {
    let places = listening
        .iter()
        .filter_map(|text| Place::of_multiaddress(text));
    let mut ips = places.filter_map(|place| match place.host {
        Host::Ip(ip) => Some(ip),
        Host::Name(_) => None,
    });
    ips.find(|ip| Reach::of(*ip) >= Reach::Private)
}

/// An answer begins with an IPv4 address; what is not public is no answer.
fn address_in(body: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(body).ok()?.trim_start();
    let end = text.find(|one: char| !one.is_ascii_digit() && one != '.');
    let ip: Ipv4Addr = text[..end.unwrap_or(text.len())].parse().ok()?;
    (Reach::of(ip.into()) == Reach::Global).then_some(ip.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let ip = Some(IpAddr::from([51, 159, 57, 71]));
        assert_eq!(address_in(b"51.159.57.71"), ip);
        assert_eq!(address_in(b" 51.159.57.71\n<html>"), ip);
        let wrong: [&[u8]; 6] = [
            b"",
            b"<html>",
            b"1.2.3",
            b"999.1.1.1",
            b"127.0.0.1",
            b"10.0.0.1",
        ];
        for wrong in wrong {
            assert_eq!(address_in(wrong), None);
        }
    }

    #[test]
    fn surroundings() {
        let of = |urls: &[&str]| Surroundings::of(urls.iter().map(|url| Place::of_url(url)));
        assert_eq!(of(&[]), Surroundings::Alone);
        let inside = ["http://127.0.0.1:1", "http://ccn-2:4024", "http://a.local"];
        assert_eq!(of(&inside), Surroundings::Private);
        assert_eq!(
            of(&["http://10.0.0.1", "https://api2.aleph.im"]),
            Surroundings::Public
        );
        assert_eq!(of(&["http://51.159.57.71"]), Surroundings::Public);
    }

    #[test]
    fn without_internet_the_first_address_of_a_network_is_taken() {
        let listening = ["/ip4/127.0.0.1/tcp/1/p2p/x", "/ip4/10.0.0.7/tcp/1/p2p/x"];
        let found = first_of(&listening.map(str::to_owned));
        assert_eq!(found, Some(IpAddr::from([10, 0, 0, 7])));
    }
}
