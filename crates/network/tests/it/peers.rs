//! Who is connected to whom, and for how long.

use beth_network::{Error, Network};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{Peer, breathe, config, pair, within};

#[tokio::test(flavor = "multi_thread")]
async fn restarted_peer_is_called_again() {
    let (first, mut second) = pair().await;
    let (id, address) = (first.network.peer_id().to_owned(), first.address());
    let noticed = within(async {
        while !second.network.connected_peers().await.is_empty() {
            breathe().await;
        }
    });
    let mut first = first.restart(noticed).await;
    assert_eq!(first.network.peer_id(), id);
    assert_eq!(first.address(), address);

    first.sees(&[&second]).await;
    second.sees(&[&first]).await;
    first.says(b"back").await;
    assert_eq!(second.hears().await.data, b"back");
    second.says(b"welcome").await;
    assert_eq!(first.hears().await.data, b"welcome");
}

#[tokio::test(flavor = "multi_thread")]
async fn bootstrap_peer_that_comes_later_is_found() {
    let late = Peer::start(&[]).await;
    let folder = TempDir::new().unwrap();
    let settings = config(&folder, &[&late]);
    let mut early = None;
    let late = late
        .restart(async { early = Some(Peer::start_with(folder, settings).await) })
        .await;
    let early = early.unwrap();
    early.sees(&[&late]).await;
    late.sees(&[&early]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_call_each_other_at_once() {
    let [mut first, mut second] = [Peer::start(&[]).await, Peer::start(&[]).await];
    let (to_first, to_second) = (first.address(), second.address());
    let (one, other) = tokio::join!(
        first.network.dial(&to_second),
        second.network.dial(&to_first)
    );
    one.unwrap();
    other.unwrap();
    first.sees(&[&second]).await;
    second.sees(&[&first]).await;
    first.says(b"hello").await;
    assert_eq!(second.hears().await.data, b"hello");
    second.says(b"hello yourself").await;
    assert_eq!(first.hears().await.data, b"hello yourself");
}

#[tokio::test(flavor = "multi_thread")]
async fn dialling() {
    let (first, second) = pair().await;
    second
        .network
        .dial(&first.address())
        .await
        .expect("connected already");

    let stranger = Peer::start(&[]).await;
    let place = first.place();
    let wrong = format!("{place}/p2p/{}", stranger.network.peer_id());
    let error = second.network.dial(&wrong).await.unwrap_err();
    let Error::WrongPeer { found, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(found, first.network.peer_id());

    let gone = stranger.address();
    stranger.network.stop().await;
    let error = second.network.dial(&gone).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");

    let error = second.network.dial("127.0.0.1:4025").await.unwrap_err();
    assert!(matches!(error, Error::Address { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn own_address_among_the_bootstrap_peers_is_skipped() {
    let first = Peer::start(&[]).await;
    let folder = TempDir::new().unwrap();
    let mut settings = config(&folder, &[&first]);
    let own = beth_network::Identity::load_or_create(&settings.identity)
        .unwrap()
        .peer_id();
    settings
        .bootstrap
        .push(format!("/ip4/127.0.0.1/tcp/9/p2p/{own}"));
    let second = Peer::start_with(folder, settings).await;
    second.sees(&[&first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn taken_port_and_bad_addresses_are_said() {
    let first = Peer::start(&[]).await;
    let folder = TempDir::new().unwrap();
    let mut settings = config(&folder, &[]);
    settings.listen = first.place();
    let error = Network::start(settings, CancellationToken::new())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("Free the port or configure another"),
        "{error}"
    );

    let mut settings = config(&folder, &[]);
    settings.bootstrap = vec!["/ip4/127.0.0.1/tcp/4025".to_owned()];
    let error = Network::start(settings, CancellationToken::new())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("does not end in /p2p/"),
        "{error}"
    );
}
