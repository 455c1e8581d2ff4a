//! What is wrong is not passed on, and who brings it is cut off.

use beth_network::{Received, Verdict};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{
    Peer, TOPIC, config,
    foreign::{Foreign, Muxer},
    status::until,
    within,
};

/// A node that finds wrong what begins with `wrong`, and does not mind the rest.
async fn judge(bootstrap: &[&Peer]) -> (Peer, JoinHandle<()>) {
    let folder = TempDir::new().unwrap();
    let mut settings = config(&folder, bootstrap);
    settings.judged = vec![TOPIC.to_owned()];
    let mut peer = Peer::start_with(folder, settings).await;
    let (_, none) = tokio::sync::mpsc::channel(1);
    let mut received = std::mem::replace(&mut peer.received, none);
    let judging = tokio::spawn(async move {
        while let Some(Received { data, ticket, .. }) = received.recv().await {
            if data.starts_with(b"wrong") {
                ticket.settle(Verdict::Reject);
            } else if data.starts_with(b"forgotten") {
                drop(ticket);
            } else {
                ticket.settle(Verdict::Accept);
            }
        }
    });
    (peer, judging)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_goes_no_further_and_its_bringer_is_cut_off() {
    let liar = Peer::start(&[]).await;
    let (judge, judging) = judge(&[&liar]).await;
    let mut third = Peer::start(&[&judge]).await;
    liar.sees(&[&judge]).await;
    judge.sees(&[&liar, &third]).await;
    until(&judge, |status| {
        status.peers.iter().all(|peer| peer.agent.is_some())
    })
    .await;

    liar.says(b"wrong 0").await;
    liar.says(b"forgotten").await;
    liar.says(b"right").await;
    assert_eq!(third.hears().await.data, b"right");
    let status = judge.network.status().await;
    assert_eq!(status.rejected, 1);
    let topic = status.topics.iter().find(|one| one.topic == TOPIC).unwrap();
    assert_eq!((topic.accepted, topic.withheld), (1, 2));
    let its = |status: &beth_network::Status| {
        let peers = status.peers.iter();
        peers
            .clone()
            .find(|peer| peer.id == liar.network.peer_id())
            .map(|peer| peer.score)
    };
    assert!(its(&status).unwrap() < -5.0, "{status:?}");

    for number in 1..20 {
        let data = format!("wrong {number}").into_bytes();
        let _ = liar.network.publish(TOPIC, data).await;
    }
    let status = until(&judge, |status| its(status).is_none()).await;
    assert_eq!(status.blocked[0].id, liar.network.peer_id());
    judge.says(b"all the same").await;
    assert_eq!(third.hears().await.data, b"all the same");
    judge.network.stop().await;
    within(judging).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_check_is_excused_for_some_time() {
    let (judge, _judging) = judge(&[]).await;
    let mut third = Peer::start(&[&judge]).await;
    judge.sees(&[&third]).await;
    let mut relay = Foreign::call(&judge.address(), Muxer::Yamux);
    relay.is_seen().await;
    for number in 0..100 {
        relay.says(format!("wrong {number}").as_bytes()).await;
    }
    relay.says(b"right").await;
    assert_eq!(third.hears().await.data, b"right");
    let status = until(&judge, |status| status.rejected == 100).await;
    assert!(status.blocked.is_empty(), "{status:?}");
    assert_eq!(relay.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_cut_off() {
    let (judge, _judging) = judge(&[]).await;
    let mut third = Peer::start(&[&judge]).await;
    judge.sees(&[&third]).await;
    let mut flood = Foreign::call(&judge.address(), Muxer::Yamux);
    flood.is_seen().await;
    within(async {
        let mut number = 0;
        while flood.connections() > 0 {
            number += 1;
            flood.says(format!("wrong {number}").as_bytes()).await;
        }
    })
    .await;
    flood.is_cut_off().await;
    let status = judge.network.status().await;
    assert_eq!(status.blocked[0].id, flood.id.to_string());
    assert!(status.rejected >= 200);
    judge.says(b"still here").await;
    assert_eq!(third.hears().await.data, b"still here");
}
