//! How nodes find each other.

use tempfile::TempDir;

use super::{Peer, config, status::until};

async fn seeker(bootstrap: &[&Peer]) -> Peer {
    let folder = TempDir::new().unwrap();
    let mut settings = config(&folder, bootstrap);
    settings.peers_wanted = 8;
    Peer::start_with(folder, settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_becomes_a_triangle() {
    let left = seeker(&[]).await;
    let middle = seeker(&[&left]).await;
    let right = seeker(&[&middle]).await;
    left.sees(&[&middle, &right]).await;
    right.sees(&[&middle, &left]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn introduced_peers_are_called_once() {
    let first = Peer::start(&[]).await;
    let second = Peer::start(&[]).await;
    let told = vec![
        "nonsense".to_owned(),
        second.address(),
        first.address(),
        second.address(),
    ];
    first.network.introduce(told.clone()).await;
    first.sees(&[&second]).await;
    for _ in 0..20 {
        first.network.introduce(told.clone()).await;
    }
    let status = first.network.status().await;
    assert_eq!((status.peers.len(), status.peers[0].connections), (1, 1));
    let status = second.network.status().await;
    assert_eq!((status.peers.len(), status.peers[0].connections), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_introduced_peer_is_called_again() {
    let first = Peer::start(&[]).await;
    let second = Peer::start(&[]).await;
    first.network.introduce(vec![second.address()]).await;
    first.sees(&[&second]).await;
    let gone = async {
        until(&first, |status| status.peers.is_empty()).await;
    };
    let second = second.restart(gone).await;
    first.sees(&[&second]).await;
}
