//! Peers that say what is no frame: to whoever fetches, and to whoever gives.

use std::time::Duration;

use beth_network::content::DownloadError;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, StreamProtocol, Swarm, SwarmBuilder, noise, swarm::SwarmEvent, tcp, yamux,
};
use tokio::task::JoinHandle;

use super::shelf::{Basket, Shelf};
use super::{SIZE, asker, fetch, sharing};
use crate::{breathe, within};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/beth/content/1.0.0");
/// After "have": size and what is no frame.
const HAS: [u8; 13] = [0, 0, 0, 9, 3, 0, 0, 0, 0, 0, 160, 4, 210];

fn swarm() -> Swarm<libp2p_stream::Behaviour> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|_| libp2p_stream::Behaviour::new())
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build()
}

/// A peer that says it has everything, and then this; its address.
async fn giver(garbage: &'static [u8]) -> (String, String, JoinHandle<()>) {
    let mut swarm = swarm();
    let mut incoming = swarm.behaviour().new_control().accept(PROTOCOL).unwrap();
    swarm
        .listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap())
        .unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    let peer = *swarm.local_peer_id();
    let speaking = tokio::spawn(async move {
        let talk = async {
            while let Some((_, mut stream)) = incoming.next().await {
                let mut question = [0; 37];
                stream.read_exact(&mut question).await.unwrap();
                stream.write_all(&HAS).await.unwrap();
                stream.flush().await.unwrap();
                let mut question = [0; 13];
                stream.read_exact(&mut question).await.unwrap();
                stream.write_all(garbage).await.unwrap();
                stream.flush().await.unwrap();
            }
        };
        let poll = async { while swarm.next().await.is_some() {} };
        tokio::select! { () = talk => {}, () = poll => {} }
    });
    let address = address.with_p2p(peer).unwrap().to_string();
    (address, peer.to_string(), speaking)
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_from_a_source_is_found_and_the_next_one_asked() {
    // No kind, a huge frame, a chunk without a state, an answer to no question.
    for garbage in [
        &[0, 0, 0, 1, 77][..],
        &[255, 255, 255, 255, 5],
        &[0, 0, 0, 3, 5, 0, 0],
        &[0, 0, 0, 1, 4],
    ] {
        let (address, liar, speaking) = giver(garbage).await;
        let shelf = Shelf::honest(SIZE);
        let here = asker(&[]).await;
        here.network.dial(&address).await.unwrap();
        let (_, done) = fetch(&here, &shelf, Basket::of(&shelf)).await;
        let Err(DownloadError::Lost(report)) = done else {
            panic!("{done:?}");
        };
        assert!(report.liars.contains_key(&liar), "{garbage:?}: {report:?}");
        assert_eq!(report.wasted_bytes, 0);
        let source = sharing(&shelf).await;
        here.network.dial(&source.address()).await.unwrap();
        let (basket, done) = fetch(&here, &shelf, Basket::of(&shelf)).await;
        assert!(done.unwrap().liars.is_empty());
        assert!(basket.bytes() == shelf.bytes);
        speaking.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_from_who_fetches_ends_its_stream_alone() {
    let shelf = Shelf::honest(SIZE);
    let source = sharing(&shelf).await;
    let mut swarm = swarm();
    let mut control = swarm.behaviour().new_control();
    let address: Multiaddr = source.address().parse().unwrap();
    let peer = source.network.peer_id().parse().unwrap();
    swarm.dial(address).unwrap();
    let poll = tokio::spawn(async move { while swarm.next().await.is_some() {} });
    let have = [&[0, 0, 0, 33, 1][..], &shelf.digest].concat();
    for garbage in [
        &[0, 0, 0, 0][..],
        &[255, 255, 255, 255, 2],
        &[0, 0, 0, 1, 9],
        // A chunk that the content does not have.
        &[0, 0, 0, 9, 2, 255, 255, 255, 255, 255, 255, 255, 255],
        &have,
    ] {
        let mut stream = within(async {
            loop {
                match control.open_stream(peer, PROTOCOL).await {
                    Ok(stream) => return stream,
                    Err(_) => breathe().await,
                }
            }
        })
        .await;
        stream.write_all(&have).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = [0; 13];
        within(stream.read_exact(&mut answer)).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.flush().await.unwrap();
        let mut rest = Vec::new();
        // Closed or reset: nothing more is said.
        let _ = within(stream.read_to_end(&mut rest)).await;
        assert!(rest.is_empty(), "{garbage:?}");
    }
    let here = asker(&[&source]).await;
    let (basket, done) = fetch(&here, &shelf, Basket::of(&shelf)).await;
    assert!(done.unwrap().liars.is_empty());
    assert!(basket.bytes() == shelf.bytes);
    poll.abort();
}
