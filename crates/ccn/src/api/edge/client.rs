//! Who asks.

use std::net::{IpAddr, Ipv4Addr};

use axum::extract::Request;
use beth_http::{Networks, Peer};

/// The address of a client, as far as it can be known: an extension of every
/// request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client(pub IpAddr);

impl Client {
    /// Of a request; one that came by no connection is our own.
    pub fn of(request: &Request, proxies: &Networks) -> Client {
        let peer = request.extensions().get::<Peer>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0.ip());
        Client(proxies.client(peer, request.headers()))
    }
}
