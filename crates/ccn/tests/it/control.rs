//! The socket of operators.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use beth_ccn::control::{Client, ControlError, NAME};
use beth_ccn::peers::Peers;

use crate::running::{Running, until};

async fn ask(running: &Running) -> Peers {
    let client = Client::open(&running.context.config.folder).await.unwrap();
    client.peers().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_is_the_owners_alone_and_goes_with_the_node() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    let absent = Client::open(folder.path()).await.unwrap_err();
    assert!(matches!(absent, ControlError::Absent(_)), "{absent}");
    // What a crash left behind.
    drop(UnixListener::bind(&path).unwrap());
    let absent = Client::open(folder.path()).await.unwrap_err();
    assert!(matches!(absent, ControlError::Absent(_)), "{absent}");

    let node = Running::start(folder.path(), |_| {}).await;
    until("a socket", async || {
        Client::open(folder.path()).await.is_ok()
    })
    .await;
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(ask(&node).await.peer_id, node.context.network.peer_id());
    let public = reqwest::get(format!("{}/peers", node.url)).await.unwrap();
    assert_eq!(public.status(), 404);
    node.stop().await;
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_may_be_deep() {
    let top = tempfile::tempdir().unwrap();
    let folder = top.path().join("d".repeat(120)).join("e".repeat(120));
    let node = Running::start(&folder, |_| {}).await;
    until("a socket", async || Client::open(&folder).await.is_ok()).await;
    assert_eq!(ask(&node).await.peer_id, node.context.network.peer_id());
    node.stop().await;
    assert!(!folder.join(NAME).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_are_shown_with_what_both_have() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let other = Running::start(there.path(), |_| {}).await;
    let address = other.context.network.addresses().remove(0);
    let (_, id) = address.rsplit_once("/p2p/").unwrap();
    let gone = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo";
    let node = Running::start(here.path(), |config| {
        config.p2p.bootstrap = vec![address.clone(), gone.into()];
    })
    .await;
    until("a visit", async || {
        let Ok(client) = Client::open(here.path()).await else {
            return false;
        };
        let peers = client.peers().await.unwrap();
        peers.connected.iter().any(|peer| peer.visit.is_some())
    })
    .await;

    let peers = ask(&node).await;
    let [peer] = peers.connected.as_slice() else {
        panic!("{peers:?}");
    };
    assert_eq!(
        (peer.id.as_str(), peer.direction.as_str()),
        (id, "outbound")
    );
    let visit = peer.visit.as_ref().unwrap();
    assert_eq!((visit.fetched, visit.offered), (0, 0));
    assert!(visit.questions > 0 && visit.bytes > 0);
    let absent: Vec<&str> = peers.absent.iter().map(|peer| &*peer.address).collect();
    assert_eq!(absent, ["/ip4/127.0.0.1/tcp/1"]);
    let mut topics: Vec<&str> = peers.topics.iter().map(|topic| &*topic.topic).collect();
    topics.sort_unstable();
    assert_eq!(topics, ["ALEPH-TEST", "ALIVE"]);

    let metrics = reqwest::get(format!("{}/metrics", node.url)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for line in [
        "beth_ccn_peers{direction=\"outbound\",transport=\"tcp\"}",
        "beth_ccn_topic_peers{topic=\"ALEPH-TEST\"} 1",
        "beth_ccn_visits_total{found=\"same\"}",
        "beth_ccn_contents_proven_total{found=\"rotten\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    node.stop().await;
    other.stop().await;
}
