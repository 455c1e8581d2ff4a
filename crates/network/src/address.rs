//! Addresses as operators write them.

use std::net::{IpAddr, SocketAddr, TcpListener};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

use crate::error::Error;

/// Where a peer answers and who it has to prove to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerAddress {
    pub(crate) id: PeerId,
    /// Without the final `/p2p/<id>`.
    pub(crate) address: Multiaddr,
}

impl PeerAddress {
    /// Reads an address whose last, and only, identity is the peer's
    /// (network.md §2.6).
    pub(crate) fn parse(text: &str) -> Result<PeerAddress, Error> {
        let mut address = parse(text)?;
        let Some(Protocol::P2p(id)) = address.pop() else {
            return Err(malformed(text, "it does not end in /p2p/<peer id>"));
        };
        if address.iter().any(|part| matches!(part, Protocol::P2p(_))) {
            return Err(malformed(text, "it names more than one peer id"));
        }
        if address.is_empty() {
            return Err(malformed(text, "it says who the peer is but not where"));
        }
        Ok(PeerAddress { id, address })
    }
}

/// Reads a listening address and makes sure that its port is free: the
/// listener of libp2p shares its port with any other listener that shares too.
pub(crate) fn parse_listen(text: &str) -> Result<Multiaddr, Error> {
    let address = parse(text)?;
    let socket = match address.iter().collect::<Vec<_>>()[..] {
        [Protocol::Ip4(ip), Protocol::Tcp(port)] => SocketAddr::new(IpAddr::V4(ip), port),
        [Protocol::Ip6(ip), Protocol::Tcp(port)] => SocketAddr::new(IpAddr::V6(ip), port),
        _ => return Err(malformed(text, "nodes listen on /ip4/<address>/tcp/<port>")),
    };
    match TcpListener::bind(socket) {
        Ok(_) => Ok(address),
        Err(error) => Err(Error::Listen {
            address: text.to_owned(),
            reason: error.to_string(),
        }),
    }
}

/// The address of QUIC with the port number of a listening TCP address.
pub(crate) fn quic_beside(tcp: &Multiaddr) -> Option<Multiaddr> {
    let mut parts = tcp.iter();
    let (host, Protocol::Tcp(port)) = (parts.next()?, parts.next()?) else {
        return None;
    };
    if parts.next().is_some() {
        return None;
    }
    let host = Multiaddr::empty().with(host);
    Some(host.with(Protocol::Udp(port)).with(Protocol::QuicV1))
}

fn parse(text: &str) -> Result<Multiaddr, Error> {
    text.parse()
        .map_err(|error: libp2p::multiaddr::Error| malformed(text, &error.to_string()))
}

fn malformed(text: &str, reason: &str) -> Error {
    Error::Address {
        address: text.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ID: &str = "QmTXr8ecVWn8DMdDxQktL3YgNrVh7hp33CTMGhN1sqmwRp";

    #[test]
    fn peers() {
        for place in ["/ip4/127.0.0.1/tcp/4025", "/dns/api2.aleph.im/tcp/4025"] {
            let peer = PeerAddress::parse(&format!("{place}/p2p/{ID}")).unwrap();
            assert_eq!(peer.id.to_string(), ID);
            assert_eq!(peer.address.to_string(), place);
        }
        for wrong in [
            "",
            "127.0.0.1:4025",
            "/ip4/127.0.0.1/tcp/4025",
            &format!("/p2p/{ID}"),
            &format!("/ip4/127.0.0.1/tcp/4025/p2p/{ID}/p2p-circuit/p2p/{ID}"),
        ] {
            let error = PeerAddress::parse(wrong).unwrap_err();
            assert!(matches!(error, Error::Address { .. }), "{wrong}");
        }
    }

    #[test]
    fn listening_on_a_port_taken() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = parse_listen(&format!("/ip4/127.0.0.1/tcp/{port}")).unwrap_err();
        assert!(error.to_string().contains("Free the port"), "{error}");
        assert!(parse_listen("/ip4/127.0.0.1/tcp/0").is_ok());
        assert!(parse_listen("/ip4/127.0.0.1/udp/0").is_err());
    }
}
