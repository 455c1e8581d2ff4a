//! What is spoken with whom.

use beth_network::{Network, Transport};
use tempfile::TempDir;

use super::{
    Peer, config,
    foreign::{Foreign, Muxer},
    pair,
    status::until,
};

#[tokio::test(flavor = "multi_thread")]
async fn our_kind_speaks_everything() {
    let (_first, second) = pair().await;
    let status = until(&second, |status| {
        status
            .peers
            .iter()
            .all(|peer| peer.gossip.is_some() && !peer.protocols.is_empty())
    })
    .await;
    let peer = &status.peers[0];
    // Everything of 1.2 and more.
    assert_eq!(peer.gossip.as_deref(), Some("/meshsub/1.3.0"));
    for id in [
        "/meshsub/1.2.0",
        "/meshsub/1.1.0",
        "/meshsub/1.0.0",
        "/ipfs/id/1.0.0",
        "/ipfs/ping/1.0.0",
        "/libp2p/autonat/2/dial-request",
        "/libp2p/circuit/relay/0.2.0/stop",
        "/beth/sync/1.0.0",
    ] {
        assert!(
            peer.protocols.iter().any(|spoken| spoken == id),
            "{id}: {peer:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_node_is_a_neighbour() {
    gossips_with(Muxer::Yamux).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_older_than_that_is_a_neighbour() {
    gossips_with(Muxer::Mplex).await;
}

async fn gossips_with(muxer: Muxer) {
    let mut ours = Peer::start(&[]).await;
    let mut other = Foreign::call(&ours.address(), muxer);
    other.is_seen().await;
    let status = until(&ours, |status| {
        status.peers.iter().any(|peer| !peer.topics.is_empty())
    })
    .await;
    let peer = &status.peers[0];
    assert_eq!(peer.id, other.id.to_string());
    assert_eq!(peer.gossip.as_deref(), Some("/meshsub/1.1.0"));
    assert_eq!((peer.agent.as_ref(), peer.round_trip), (None, None));
    other.says(b"from elsewhere").await;
    assert_eq!(ours.hears().await.data, b"from elsewhere");
    ours.says(b"from here").await;
    assert_eq!(other.hears().await, b"from here");
    assert_eq!(other.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn quic_on_the_same_port() {
    let first = Peer::start(&[]).await;
    let quic = quic_address(&first).await;
    let tcp_port = first.place().split('/').nth(4).unwrap().to_owned();
    assert_eq!(quic.split('/').nth(4).unwrap(), tcp_port);

    let folder = TempDir::new().unwrap();
    let mut settings = config(&folder, &[]);
    settings.bootstrap = vec![quic];
    let mut second = Peer::start_with(folder, settings).await;
    second.sees(&[&first]).await;
    first.sees(&[&second]).await;
    for peer in [&first, &second] {
        let status = peer.network.status().await;
        assert_eq!(status.peers[0].transport, Transport::Quic);
    }
    first.says(b"over UDP").await;
    assert_eq!(second.hears().await.data, b"over UDP");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_udp_port_that_is_taken_is_no_obstacle() {
    // A TCP port that is free while the UDP port is taken.
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = udp.local_addr().unwrap().port();
    let folder = TempDir::new().unwrap();
    let mut settings = config(&folder, &[]);
    settings.listen = format!("/ip4/127.0.0.1/tcp/{port}");
    let first = Peer::start_with(folder, settings).await;
    let second = Peer::start(&[&first]).await;
    second.sees(&[&first]).await;
    assert_eq!(first.network.listen_addresses().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn quic_can_be_switched_off() {
    let folder = TempDir::new().unwrap();
    let mut settings = config(&folder, &[]);
    settings.quic = false;
    let first = Peer::start_with(folder, settings).await;
    let second = Peer::start(&[&first]).await;
    first.sees(&[&second]).await;
    assert_eq!(first.network.listen_addresses().len(), 1);
}

async fn quic_address(peer: &Peer) -> String {
    let network: &Network = &peer.network;
    let is_quic = |address: &&String| address.contains("/quic-v1/");
    until(peer, |_| {
        network
            .listen_addresses()
            .iter()
            .any(|address| is_quic(&address))
    })
    .await;
    let addresses = network.listen_addresses();
    addresses.iter().find(is_quic).unwrap().clone()
}
