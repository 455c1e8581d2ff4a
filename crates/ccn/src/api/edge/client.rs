//! Who asks.

use std::net::{IpAddr, Ipv4Addr};

use axum::extract::Request;
use beth_http::{Networks, Peer};

/// The address of a client, as far as it can be known: an extension of every
/// request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The address.
    pub address: IpAddr,
    /// True for a program of this computer that asks without a proxy between.
    pub is_local: bool,
}

impl Client {
    /// Of a request; one that came by no connection is our own.
    pub fn of(request: &Request, proxies: &Networks) -> Client {
        let peer = request.extensions().get::<Peer>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0.ip());
        let address = proxies.client(peer, request.headers());
        let is_local = address.is_loopback() && !proxies.contains(peer);
        Client { address, is_local }
    }

    /// The peer of a request, when it looks like a proxy that the operator forgot
    /// to name: it speaks for somebody, and comes from a place where proxies are.
    pub fn unnamed_proxy(request: &Request, proxies: &Networks) -> Option<IpAddr> {
        let peer = request.extensions().get::<Peer>()?.0.ip().to_canonical();
        let is_near = match peer {
            IpAddr::V4(peer) => peer.is_loopback() || peer.is_private(),
            IpAddr::V6(peer) => peer.is_loopback() || peer.is_unique_local(),
        };
        let speaks = request.headers().contains_key("x-forwarded-for");
        (is_near && speaks && !proxies.contains(peer)).then_some(peer)
    }

    /// Of a request that passed the edge.
    pub fn known(request: &Request) -> Client {
        let known = request.extensions().get::<Client>().copied();
        known.unwrap_or_else(|| Client::of(request, &Networks::default()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::SocketAddr;

    use axum::body::Body;

    use super::*;

    #[test]
    fn proxies_that_were_forgotten_are_noticed() {
        let proxies = Networks::parse(&["10.0.0.1"]).unwrap();
        for (peer, is_noticed) in [
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("10.0.0.2:1", true),
            ("[fd00::7]:1", true),
            ("10.0.0.1:1", false),
            ("198.51.100.7:1", false),
        ] {
            let peer: SocketAddr = peer.parse().unwrap();
            let request = Request::builder().extension(Peer(peer));
            let plain = request.body(Body::empty()).unwrap();
            assert_eq!(Client::unnamed_proxy(&plain, &proxies), None);
            let request = Request::builder().extension(Peer(peer));
            let request = request.header("x-forwarded-for", "192.0.2.1");
            let request = request.body(Body::empty()).unwrap();
            let found = Client::unnamed_proxy(&request, &proxies);
            assert_eq!(found, is_noticed.then_some(peer.ip()), "{peer}");
        }
    }
}
