//! The snapshot says what is.

use beth_network::{Direction, Fault, PeerStatus, Status, Transport};

use super::{Peer, TOPIC, breathe, pair, within};

#[tokio::test(flavor = "multi_thread")]
async fn peers_are_named_with_what_is_known_of_them() {
    let (first, second) = pair().await;
    let status = until(&first, |status| {
        status
            .peers
            .iter()
            .all(|peer| peer.agent.is_some() && peer.round_trip.is_some() && peer.gossip.is_some())
    })
    .await;
    assert_eq!(status.peer_id, first.network.peer_id());
    assert_eq!(status.listening, first.network.listen_addresses());
    let caller = only(&status);
    assert_eq!(caller.id, second.network.peer_id());
    assert_eq!(caller.direction, Direction::Inbound);
    assert_eq!(caller.transport, Transport::Tcp);
    assert_eq!(caller.topics, [TOPIC, "ALIVE"]);
    assert!(
        caller.agent.as_ref().unwrap().starts_with("beth/"),
        "{caller:?}"
    );
    assert!(caller.protocols.iter().any(|id| id == "/meshsub/1.1.0"));
    assert!(caller.protocols.iter().any(|id| id == "/beth/sync/1.0.0"));
    assert_eq!(caller.points, 0.0);
    assert!(caller.score >= 0.0, "{caller:?}");

    let status = second.network.status().await;
    let called = only(&status);
    assert_eq!(called.direction, Direction::Outbound);
    assert_eq!(called.address, first.place());
    assert_eq!(called.connections, 1);

    second.network.stop().await;
    let status = until(&first, |status| status.peers.is_empty()).await;
    assert_eq!(status.topics[0].peers, 0);
    assert_eq!(second.network.status().await, Status::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_others_reach_a_node_ends_in_its_name_once() {
    let (first, _second) = pair().await;
    first.network.reachable("/ip4/192.0.2.1/tcp/4001").await;
    let named = format!("/ip4/192.0.2.1/tcp/4001/p2p/{}", first.network.peer_id());
    until(&first, |status| status.external.contains(&named)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_counted_by_topic() {
    let (first, mut second) = pair().await;
    for number in 0..20_u8 {
        first.says(&[number; 100]).await;
        second.hears().await;
    }
    let said = first.network.status().await.topics[0].clone();
    assert_eq!((said.topic.as_str(), said.peers), (TOPIC, 1));
    assert_eq!((said.published, said.messages_out), (20, 20));
    assert!(said.bytes_out > 20 * 100, "{said:?}");
    assert_eq!(said.messages_in, 0);

    let heard = second.network.status().await.topics[0].clone();
    assert_eq!((heard.messages_in, heard.duplicates), (20, 0));
    assert_eq!(heard.bytes_in, said.bytes_out);
    assert_eq!(heard.published, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_cost_points() {
    let (first, second) = pair().await;
    first
        .network
        .demote(second.network.peer_id(), Fault::Garbage);
    first.network.demote("nobody", Fault::Flood);
    let status = until(&first, |status| only(status).points > 0.0).await;
    let peer = only(&status);
    assert!((peer.points - Fault::Garbage.points()).abs() < 1.0);
    assert!(peer.score < 0.0, "{peer:?}");
    assert!(status.blocked.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_with_too_many_faults_is_cut_off_and_refused() {
    let (first, second) = pair().await;
    for _ in 0..3 {
        first
            .network
            .demote(second.network.peer_id(), Fault::WrongContent);
    }
    let status = until(&first, |status| !status.blocked.is_empty()).await;
    assert_eq!(status.blocked[0].id, second.network.peer_id());
    assert!(status.blocked[0].remaining.as_secs() > 500);
    until(&first, |status| status.peers.is_empty()).await;
    let error = first.network.dial(&second.address()).await.unwrap_err();
    assert!(error.to_string().contains("block list"), "{error}");
}

/// The status of a node when it is so.
pub async fn until(peer: &Peer, is_so: impl Fn(&Status) -> bool) -> Status {
    within(async {
        loop {
            let status = peer.network.status().await;
            if is_so(&status) {
                return status;
            }
            breathe().await;
        }
    })
    .await
}

fn only(status: &Status) -> &PeerStatus {
    assert_eq!(status.peers.len(), 1, "{status:?}");
    &status.peers[0]
}
