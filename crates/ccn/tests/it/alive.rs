//! Nodes that hear where others are: real nodes in one process, over loopback.
//!
//! ```text
//!   bootstrap ◀── second, third          learn of each other when registered
//!       ▲  ▲
//!       │  └─ raw peers of the network   strangers, liars
//!       └──── a node of upstream         HTTP alone
//! ```

mod world;

use std::sync::atomic::Ordering;

use beth_network::Published;
use beth_protocol::alive::PeerType;
use serde_json::json;

use world::{Folder, Raw, Upstream, alive, eventually, registry, signed_post};

#[tokio::test(flavor = "multi_thread")]
async fn registered_nodes_learn_of_each_other_through_one_bootstrap_peer() {
    let (one, two, three) = (Folder::new(), Folder::new(), Folder::new());
    let bootstrap = one.start(&[]).await;
    let second = two.start(&[&bootstrap]).await;
    second.is_connected_to(&bootstrap).await;
    let third = three.start(&[&bootstrap]).await;
    // By then everybody has spoken, and nobody is registered.
    third.knows(&bootstrap).await;
    let registry = registry(&[&second.address, &third.address]);
    assert!(
        second
            .rows(PeerType::P2p)
            .iter()
            .all(|(id, _)| *id == bootstrap.id)
    );
    for node in [&bootstrap, &second, &third] {
        node.process(&registry).await;
    }
    second.knows(&third).await;
    bootstrap.knows(&third).await;
    second.is_connected_to(&third).await;
    eventually("who gives blocks is known", async || {
        second.context.neighbours.ipfs().contains(&third.address)
    })
    .await;

    let said = second.json("/api/v0/info/public.json").await;
    assert_eq!(said["node_multi_addresses"], json!([second.address]));
    eventually("metrics show the rows", async || {
        let metrics = second.json("/metrics.json").await;
        let rows = PeerType::ALL.map(|kind| second.rows(kind).len());
        metrics["pyaleph_status_peers_total"] == json!(rows.iter().sum::<usize>())
    })
    .await;
    for node in [third, second, bootstrap] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_liars_are_not_believed_and_who_is_offline_is_not_asked() {
    let folder = Folder::new();
    let node = folder.start(&[]).await;
    let stranger = Raw::start(&node).await;
    let mut registered = Raw::start(&node).await;
    node.process(&registry(&[&registered.address])).await;

    // A stranger, heard by the node before the registered one speaks.
    stranger.say(&alive("P2P", &stranger.address)).await;
    registered.hears(&stranger).await;

    let upstream = Upstream::start(vec![signed_post("known there alone")]).await;
    let foreign = registered.address.replace(&registered.id, &stranger.id);
    for (kind, address) in [
        ("P2P", foreign.as_str()),
        ("P2P", "/ip4/169.254.169.254/tcp/80/p2p/x"),
        ("HTTP", "http://169.254.169.254"),
        ("HTTP", "http://10.0.0.1:4024"),
        ("HTTP", "http://127.0.0.1:1/admin?"),
        ("HTTP", &upstream.url),
    ] {
        assert_eq!(registered.say(&alive(kind, address)).await, Published::Sent);
    }
    let url = upstream.url.clone();
    eventually("the node of upstream is asked", async || {
        node.context.neighbours.http() == [url.clone()]
    })
    .await;
    assert_eq!(node.rows(PeerType::P2p), Vec::<(String, String)>::new());
    let expected = vec![(registered.id.clone(), url)];
    assert_eq!(node.rows(PeerType::Http), expected);

    // Its messages come without anybody's gossip.
    let hash = upstream.messages[0].item_hash.to_string();
    eventually("the message is here", async || node.has(&hash).await).await;

    assert!(upstream.probes.load(Ordering::SeqCst) > 0);
    upstream.stop().await;
    eventually("nobody is online", async || {
        node.context.neighbours.http().is_empty()
    })
    .await;
    assert_eq!(node.rows(PeerType::Http), expected, "it may come back");
    stranger.network.stop().await;
    registered.network.stop().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_heard_survives_a_restart() {
    let (one, two) = (Folder::new(), Folder::new());
    let bootstrap = one.start(&[]).await;
    let node = two.start(&[&bootstrap]).await;
    node.knows(&bootstrap).await;
    node.stop().await;

    let again = two.start(&[]).await;
    again.knows(&bootstrap).await;
    again.is_connected_to(&bootstrap).await;
    // Two nodes of this program that are connected visit each other instead.
    let url = bootstrap.url.clone();
    eventually("it reconciles", async || {
        let peers = again.context.neighbours.peers();
        let known = peers.into_iter().find(|peer| peer.url == url);
        known.is_some_and(|peer| {
            peer.reconciles
                && again
                    .context
                    .neighbours
                    .is_reconciled(&peer.peer_id.unwrap())
        })
    })
    .await;
    again.stop().await;
    bootstrap.stop().await;
}
