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

    /// Of a request that passed the edge.
    pub fn known(request: &Request) -> Client {
        let known = request.extensions().get::<Client>().copied();
        known.unwrap_or_else(|| Client::of(request, &Networks::default()))
    }
}
