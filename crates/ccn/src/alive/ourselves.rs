//! Where other nodes reach this one: what is announced.
//!
//! ```text
//!  public_address ──────────────────────────┐
//!  listening on one address ────────────────┼─▶ host ─▶ P2P, HTTP and IPFS address
//!  listening on all of them ─▶ discovery ───┘
//! ```

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use beth_network::Network;
use beth_protocol::alive::{Alive, Host, PeerType, Place, Reach};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::discovery::Discovery;
use crate::config::{CcnConfig, P2pConfig};
use crate::error::Error;
use crate::limits::PUBLIC_ADDRESS_AGE_MAX;
use crate::metrics::VERSION;
use crate::neighbours::{Guard, base};

/// This node, as others see it.
pub(super) struct Ourselves {
    config: P2pConfig,
    serves_ipfs: bool,
    configured: Option<Host>,
    network: Arc<Network>,
    http: SocketAddr,
    discovery: Discovery,
    guard: Guard,
    /// What discovery found last, and when.
    found: Mutex<Option<(Instant, IpAddr)>>,
}

/// What listens here.
#[derive(Clone, Debug)]
struct Bound {
    peer_id: String,
    /// Multiaddresses of the gossip, with the actual ports.
    p2p: Vec<String>,
    http: SocketAddr,
    /// The gossip's port gives blocks of IPFS too.
    serves_ipfs: bool,
}

/// Where this node says that it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Announced {
    pub(super) p2p: Option<String>,
    pub(super) http: Option<String>,
    pub(super) ipfs: Option<String>,
}

impl Ourselves {
    pub(super) fn new(
        config: &CcnConfig,
        (network, http): (Arc<Network>, SocketAddr),
        discovery: Discovery,
        guard: Guard,
    ) -> Result<Ourselves, Error> {
        let serves_ipfs = config.ipfs.enabled;
        let config = config.p2p.clone();
        let written = config.public_address.as_deref();
        let configured = written.map(|text| host(text).ok_or_else(|| unclear(text)));
        Ok(Ourselves {
            configured: configured.transpose()?,
            config,
            serves_ipfs,
            network,
            http,
            discovery,
            guard,
            found: Mutex::default(),
        })
    }

    /// What can be said without asking anybody.
    pub(super) fn at_once(&self) -> Option<Announced> {
        let host = self.configured.clone().or_else(|| self.listening())?;
        Some(self.announce(&host))
    }

    /// The same, after looking for the public address if need be. `None` while
    /// it is not known.
    pub(super) async fn announced(&self) -> Option<Announced> {
        if let Some(announced) = self.at_once() {
            return Some(announced);
        }
        let mut found = self.found.lock().await;
        let is_fresh = |(at, _): &(Instant, IpAddr)| at.elapsed() < PUBLIC_ADDRESS_AGE_MAX;
        let known = found.filter(is_fresh);
        let ip = match known {
            Some((_, ip)) => ip,
            None => {
                let listening = self.network.listen_addresses();
                let asked = self.discovery.public_ip(&listening).await;
                // An old answer is better than none.
                let ip = asked.or(found.map(|(_, ip)| ip))?;
                *found = Some((Instant::now(), ip));
                ip
            }
        };
        Some(self.announce(&Host::Ip(ip)))
    }

    /// The one address that the gossip listens on.
    fn listening(&self) -> Option<Host> {
        let place = Place::of_multiaddress(&format!("{}/p2p/x", self.config.listen));
        // Port 0 is no place yet.
        let text = self.config.listen.split('/').nth(2);
        let ip = match place.map(|place| place.host) {
            Some(Host::Ip(ip)) => ip,
            _ => text?.parse().ok()?,
        };
        (!ip.is_unspecified()).then_some(Host::Ip(ip))
    }

    fn announce(&self, host: &Host) -> Announced {
        let bound = Bound {
            peer_id: self.network.peer_id().to_owned(),
            p2p: self.network.listen_addresses(),
            http: self.http,
            serves_ipfs: self.serves_ipfs,
        };
        let announced = announced(&self.config, self.configured.is_some(), &bound, host);
        for place in [
            announced.p2p.as_deref().and_then(Place::of_multiaddress),
            announced.http.as_deref().and_then(Place::of_url),
        ] {
            if let Some(Host::Ip(ip)) = place.map(|place| place.host) {
                self.guard.open(Reach::of(ip));
            }
        }
        announced
    }
}

impl Announced {
    /// The alive messages that say so.
    pub(super) fn messages(&self) -> impl Iterator<Item = Alive> {
        let addresses = [
            (PeerType::P2p, &self.p2p),
            (PeerType::Http, &self.http),
            (PeerType::Ipfs, &self.ipfs),
        ];
        let known = addresses
            .into_iter()
            .filter_map(|(peer_type, address)| Some((peer_type, address.clone()?)));
        known.map(|(peer_type, address)| Alive {
            address,
            peer_type,
            version: VERSION.to_owned(),
        })
    }
}

fn announced(config: &P2pConfig, is_configured: bool, bound: &Bound, host: &Host) -> Announced {
    let written = config.public_address.as_deref();
    let p2p = match written.filter(|text| text.starts_with('/')) {
        Some(address) => Some(format!("{}/p2p/{}", base(address), bound.peer_id)),
        None => bound
            .port()
            .map(|port| format!("{}/tcp/{port}/p2p/{}", multi(host), bound.peer_id)),
    };
    let listens_on = bound.http.ip();
    let outside = match is_configured || listens_on.is_unspecified() {
        true => host.clone(),
        false => Host::Ip(listens_on),
    };
    // A proxy stands before it, whose name only the operator knows.
    let is_hidden = listens_on.is_loopback() && !is_loopback(host);
    let http = match &config.public_url {
        Some(url) => Some(base(url).to_owned()),
        None if is_hidden => None,
        None => Some(url(&outside, bound.http.port())),
    };
    Announced {
        ipfs: p2p.clone().filter(|_| bound.serves_ipfs),
        p2p,
        http,
    }
}

impl Bound {
    /// The TCP port of the gossip.
    fn port(&self) -> Option<u16> {
        self.p2p
            .iter()
            .filter(|address| address.contains("/tcp/"))
            .find_map(|address| Place::of_multiaddress(address))
            .map(|place| place.port)
    }
}

fn multi(host: &Host) -> String {
    match host {
        Host::Ip(IpAddr::V4(ip)) => format!("/ip4/{ip}"),
        Host::Ip(IpAddr::V6(ip)) => format!("/ip6/{ip}"),
        Host::Name(name) => format!("/dns/{name}"),
    }
}

fn url(host: &Host, port: u16) -> String {
    match host {
        Host::Ip(IpAddr::V6(ip)) => format!("http://[{ip}]:{port}"),
        Host::Ip(ip) => format!("http://{ip}:{port}"),
        Host::Name(name) => format!("http://{name}:{port}"),
    }
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Ip(ip) => Reach::of(*ip) == Reach::Loopback,
        Host::Name(_) => false,
    }
}

/// A host as operators write it: an address, a name or a multiaddress.
fn host(text: &str) -> Option<Host> {
    if text.starts_with('/') {
        return Some(Place::of_multiaddress(&format!("{}/p2p/x", base(text)))?.host);
    }
    match text.parse() {
        Ok(ip) => Some(Host::Ip(ip)),
        Err(_) => Some(Place::of_url(&format!("http://{text}:1"))?.host),
    }
}

fn unclear(text: &str) -> Error {
    Error::Config(format!(
        "`[ccn.p2p] public_address` is {text:?}: write an IP address, a host name, or a multiaddress such as /ip4/203.0.113.7/tcp/4025"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ID: &str = "QmZkurbY2G2hWay59yiTgQNaQxHSNzKZFt2jbnwJhQcKgV";

    fn say(public_address: Option<&str>, public_url: Option<&str>, http: &str) -> Announced {
        let config = P2pConfig {
            public_address: public_address.map(str::to_owned),
            public_url: public_url.map(str::to_owned),
            ..P2pConfig::default()
        };
        let bound = Bound {
            peer_id: ID.to_owned(),
            p2p: vec![
                format!("/ip4/127.0.0.1/udp/4027/quic-v1/p2p/{ID}"),
                format!("/ip4/127.0.0.1/tcp/4025/p2p/{ID}"),
            ],
            http: http.parse().unwrap(),
            serves_ipfs: false,
        };
        let found = host(public_address.unwrap_or("51.159.57.71")).unwrap();
        announced(&config, public_address.is_some(), &bound, &found)
    }

    #[test]
    fn a_found_address_makes_the_messages_of_upstream() {
        let samples = include_str!("../../../../vectors/network/p2p/alive_messages.json");
        let samples: serde_json::Value = serde_json::from_str(samples).unwrap();
        let said = say(None, None, "0.0.0.0:4024");
        for (place, mut message) in said.messages().enumerate() {
            message.version = "0.10.3".to_owned();
            assert_eq!(samples["messages"][place], message.to_text());
        }
        assert_eq!(said.messages().count(), 2);
    }

    #[test]
    fn blocks_are_given_at_the_port_of_the_gossip() {
        let bound = Bound {
            peer_id: ID.to_owned(),
            p2p: vec![format!("/ip4/0.0.0.0/tcp/4025/p2p/{ID}")],
            http: "0.0.0.0:4024".parse().unwrap(),
            serves_ipfs: true,
        };
        let ip = host("51.159.57.71").unwrap();
        let said = announced(&P2pConfig::default(), false, &bound, &ip);
        assert_eq!(said.messages().count(), 3);
        assert_eq!(said.ipfs, said.p2p);
    }

    #[test]
    fn what_the_operator_wrote_is_announced() {
        let p2p = |said: &Announced| said.p2p.clone().unwrap();
        let http = |said: &Announced| said.http.clone().unwrap();
        let named = say(Some("node.example"), None, "127.0.0.1:1");
        assert_eq!(p2p(&named), format!("/dns/node.example/tcp/4025/p2p/{ID}"));
        assert_eq!(named.http, None, "a proxy of unknown name");
        let proxied = say(Some("::1"), Some("https://node.example/"), "127.0.0.1:1");
        assert_eq!(p2p(&proxied), format!("/ip6/::1/tcp/4025/p2p/{ID}"));
        assert_eq!(http(&proxied), "https://node.example");
        let moved = say(Some("/ip4/1.2.3.4/tcp/99/"), None, "0.0.0.0:7");
        assert_eq!(p2p(&moved), format!("/ip4/1.2.3.4/tcp/99/p2p/{ID}"));
        assert_eq!(http(&moved), "http://1.2.3.4:7");
        let split = say(None, None, "10.0.0.1:7");
        assert_eq!(http(&split), "http://10.0.0.1:7");
        for wrong in ["", "http://a", "a b", "/ip4/1.2.3.4", "1.2.3.4:5"] {
            assert_eq!(host(wrong), None, "{wrong}");
        }
    }
}
