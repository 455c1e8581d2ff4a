//! Two and three nodes that exchange blocks.

mod hostile;
mod shelf;

use std::collections::BTreeMap;
use std::time::Duration;

use beth_network::{Exchange, Found, Missing};

use self::shelf::{Shelf, cid, cid_v0};
use crate::{Peer, within};

pub(super) const PATIENCE: Duration = Duration::from_secs(25);

/// A node and its blocks.
pub(super) struct Trader {
    pub(super) peer: Peer,
    pub(super) exchange: Exchange,
    pub(super) shelf: Shelf,
}

impl Trader {
    pub(super) async fn start(blocks: &[Vec<u8>], neighbours: &[&Trader]) -> Trader {
        let neighbours: Vec<&Peer> = neighbours.iter().map(|one| &one.peer).collect();
        let peer = Peer::start(&neighbours).await;
        let shelf = Shelf::of(blocks);
        let exchange = peer.network.exchange(shelf.clone().into());
        peer.sees(&neighbours).await;
        for neighbour in neighbours {
            neighbour.sees(&[&peer]).await;
        }
        Trader {
            peer,
            exchange,
            shelf,
        }
    }

    pub(super) async fn fetch(&self, cids: Vec<Vec<u8>>, from: &[&Trader]) -> Vec<Found> {
        let from: Vec<String> = from
            .iter()
            .map(|one| one.peer.network.peer_id().to_owned())
            .collect();
        let mut fetch = self.exchange.fetch(cids, &from, PATIENCE);
        let mut all = Vec::new();
        within(async {
            while let Some(found) = fetch.next().await {
                all.push(found);
            }
        })
        .await;
        all
    }
}

pub(super) fn blocks(count: usize, bytes: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| {
            let mut block = vec![number as u8; bytes];
            block[..4].copy_from_slice(&(number as u32).to_be_bytes());
            block
        })
        .collect()
}

fn found(cid: Vec<u8>, block: &[u8]) -> Found {
    let block = Ok(block.to_vec());
    Found { cid, block }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_under_all_its_names() {
    let has = Trader::start(&[b"block".to_vec()], &[]).await;
    let wants = Trader::start(&[], &[&has]).await;
    let names = [cid(b"block"), cid_v0(b"block")];
    for name in &names {
        // From whoever has it, and from whoever is named.
        for providers in [&[][..], &[&has]] {
            let all = wants.fetch(vec![name.clone()], providers).await;
            assert_eq!(all, [found(name.clone(), b"block")]);
        }
    }
    let all = wants.fetch(names.to_vec(), &[]).await;
    assert_eq!(all.len(), 2, "each name has its answer: {all:?}");
    assert_eq!(wants.exchange.exchanged().faults, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_blocks_are_said_to_be() {
    let has = Trader::start(&[b"block".to_vec()], &[]).await;
    let wants = Trader::start(&[], &[&has]).await;
    let names = vec![cid(b"block"), cid(b"another")];
    for providers in [&[][..], &[&has]] {
        let all = wants.fetch(names.clone(), providers).await;
        let all: BTreeMap<_, _> = all.into_iter().map(|one| (one.cid, one.block)).collect();
        assert_eq!(all[&names[0]], Ok(b"block".to_vec()));
        assert_eq!(all[&names[1]], Err(Missing::Nobody));
    }
    let alone = Trader::start(&[], &[]).await;
    let all = alone.fetch(vec![cid(b"block")], &[]).await;
    assert_eq!(all[0].block, Err(Missing::Nobody));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_blocks() {
    let all = blocks(1_000, 2_000);
    let has = Trader::start(&all, &[]).await;
    let wants = Trader::start(&[], &[&has]).await;
    let names: Vec<_> = all.iter().map(|block| cid(block)).collect();
    let came = wants.fetch(names, &[]).await;
    let mut came: Vec<_> = came.into_iter().map(|one| one.block.unwrap()).collect();
    came.sort();
    assert!(came == all);
    let exchanged = wants.exchange.exchanged();
    assert_eq!((exchanged.blocks_received, exchanged.faults), (1_000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_blocks_of_two_peers() {
    let all = blocks(40, 1 << 20);
    let one = Trader::start(&all, &[]).await;
    let two = Trader::start(&all, &[]).await;
    let wants = Trader::start(&[], &[&one, &two]).await;
    let names: Vec<_> = all.iter().map(|block| cid(block)).collect();
    let came = wants.fetch(names, &[&one, &two]).await;
    let mut came: Vec<_> = came.into_iter().map(|one| one.block.unwrap()).collect();
    came.sort();
    assert!(came == all);
    for peer in [one, two] {
        let sent = peer.exchange.exchanged().blocks_sent;
        assert!((1..=40).contains(&sent), "{sent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_at_different_peers() {
    let all = blocks(40, 5_000);
    let one = Trader::start(&all[..20], &[]).await;
    let two = Trader::start(&all[20..], &[]).await;
    let wants = Trader::start(&[], &[&one, &two]).await;
    let names: Vec<_> = all.iter().map(|block| cid(block)).collect();
    for providers in [&[][..], &[&one], &[&two, &one]] {
        let came = wants.fetch(names.clone(), providers).await;
        assert!(came.iter().all(|one| one.block.is_ok()), "{came:?}");
        assert_eq!(came.len(), all.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_later_is_sent() {
    let has = Trader::start(&[], &[]).await;
    let wants = Trader::start(&[], &[&has]).await;
    // A peer that asks and waits, as those of IPFS do.
    let mut stranger = hostile::Stranger::connect(&has).await;
    stranger.wants(&[&cid(b"late")]).await;
    stranger.told_absent(&cid(b"late")).await;
    has.shelf.put(b"late");
    has.exchange.arrived();
    stranger.gets(b"late").await;
    let all = wants.fetch(vec![cid(b"late")], &[]).await;
    assert_eq!(all, [found(cid(b"late"), b"late")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_is_walked_in_one_session() {
    let leaves = blocks(300, 1_000);
    let root: Vec<u8> = leaves.iter().flat_map(|leaf| cid(leaf)).collect();
    let all: Vec<_> = leaves.iter().cloned().chain([root.clone()]).collect();
    let has = Trader::start(&all, &[]).await;
    let wants = Trader::start(&[], &[&has]).await;
    let mut fetch = wants.exchange.fetch(vec![cid(&root)], &[], PATIENCE);
    let top = within(fetch.next()).await.unwrap().block.unwrap();
    fetch.want(top.chunks(36).map(<[u8]>::to_vec).collect());
    let mut count = 0;
    while let Some(found) = within(fetch.next()).await {
        assert!(found.block.is_ok());
        count += 1;
    }
    assert_eq!(count, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_connected_to() {
    let has = Trader::start(&[b"block".to_vec()], &[]).await;
    let wants = Trader::start(&[], &[]).await;
    let address = has.peer.address();
    let mut fetch = wants
        .exchange
        .fetch(vec![cid(b"block")], &[address], PATIENCE);
    let got = within(fetch.next()).await.unwrap();
    assert_eq!(got.block, Ok(b"block".to_vec()));
}
