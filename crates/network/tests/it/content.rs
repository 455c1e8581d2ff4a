//! Contents from neighbours: several at once, liars, sources that die or sleep.

mod hostile;
mod shelf;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use beth_network::content::{DownloadError, Report};
use beth_protocol::hash::chain::CHUNK_BYTES;
use tokio::time::timeout;

use crate::{DEADLINE, Peer, within};
use shelf::{Basket, Gate, Lie, Shelf};

const CHUNK: u64 = CHUNK_BYTES as u64;
/// 41 chunks.
const SIZE: usize = 40 * CHUNK_BYTES + 1_234;

async fn fetch(
    peer: &Peer,
    shelf: &Shelf,
    basket: Basket,
) -> (Basket, Result<Report, DownloadError>) {
    let work = peer.network.download(shelf.digest, u64::MAX, basket);
    let (basket, done) = within(work).await;
    (basket.unwrap(), done)
}

/// A node that asks, connected to these.
async fn asker(others: &[&Peer]) -> Peer {
    let asker = Peer::start(&[]).await;
    for other in others {
        asker.network.dial(&other.address()).await.unwrap();
    }
    asker
}

async fn sharing(shelf: &Arc<Shelf>) -> Peer {
    let peer = Peer::start(&[]).await;
    peer.network.share(shelf.clone());
    peer
}

fn id(peer: &Peer) -> String {
    peer.network.peer_id().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_neighbour_gives_contents_of_any_size() {
    for size in [0, 1, CHUNK_BYTES, SIZE] {
        let shelf = Shelf::honest(size);
        let source = sharing(&shelf).await;
        let here = asker(&[&source]).await;
        let (basket, done) = fetch(&here, &shelf, Basket::of(&shelf)).await;
        let report = done.unwrap();
        assert!(basket.bytes() == shelf.bytes, "{size}");
        assert_eq!(report.received_bytes[&id(&source)], size as u64);
        assert_eq!((report.wasted_bytes, report.liars.len()), (0, 0));
        assert_eq!(shelf.given.load(Ordering::SeqCst), size as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_neighbours_share_the_work() {
    let shelf = Shelf::honest(SIZE);
    let sources = [sharing(&shelf).await, sharing(&shelf).await];
    let here = asker(&[&sources[0], &sources[1]]).await;
    let (basket, done) = fetch(&here, &shelf, Basket::of(&shelf)).await;
    let report = done.unwrap();
    assert!(basket.bytes() == shelf.bytes);
    for source in &sources {
        assert!(report.received_bytes[&id(source)] >= CHUNK, "{report:?}");
    }
    assert_eq!(report.wasted_bytes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_costs_one_chunk_and_is_asked_no_more() {
    for lie in [Lie::Bytes, Lie::State, Lie::Size, Lie::Length] {
        // The honest ones speak when the liar has been asked for a chunk.
        let asked = Gate::closed();
        let lying = Shelf::lying(SIZE, lie, 0, &asked);
        let honest = Shelf::waiting(SIZE, &asked);
        let liar = sharing(&lying).await;
        let others = [sharing(&honest).await, sharing(&honest).await];
        let here = asker(&[&liar, &others[0], &others[1]]).await;
        let (basket, done) = fetch(&here, &honest, Basket::of(&honest)).await;
        let report = done.unwrap();
        assert!(basket.bytes() == honest.bytes, "{lie:?}");
        let liars: Vec<&String> = report.liars.keys().collect();
        assert_eq!(liars, [&id(&liar)], "{lie:?}");
        assert!(report.wasted_bytes <= CHUNK, "{lie:?}: {report:?}");
        let received: u64 = report.received_bytes.values().sum();
        assert_eq!(received, SIZE as u64);

        let before = lying.asked.load(Ordering::SeqCst);
        let (_, done) = fetch(&here, &honest, Basket::of(&honest)).await;
        assert!(done.unwrap().liars.is_empty());
        assert_eq!(lying.asked.load(Ordering::SeqCst), before, "{lie:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lies_later_costs_about_as_much_as_it_gave() {
    let asked = Gate::closed();
    let lying = Shelf::lying(SIZE, Lie::Bytes, 9, &asked);
    let honest = Shelf::waiting(SIZE, &asked);
    let (liar, other) = (sharing(&lying).await, sharing(&honest).await);
    let here = asker(&[&liar, &other]).await;
    let (basket, done) = fetch(&here, &honest, Basket::of(&honest)).await;
    let report = done.unwrap();
    assert!(basket.bytes() == honest.bytes);
    assert!(report.liars.contains_key(&id(&liar)), "{report:?}");
    let given = report.received_bytes[&id(&liar)];
    assert!(report.wasted_bytes <= given + 2 * CHUNK, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_source_that_dies_owes_comes_from_another() {
    let (asked, gone) = (Gate::closed(), Gate::closed());
    let dying = Shelf::stopping(SIZE, 10, &asked);
    let other = Shelf::waiting(SIZE, &gone);
    let (first, second) = (sharing(&dying).await, sharing(&other).await);
    let here = asker(&[&first, &second]).await;
    let work = fetch(&here, &other, Basket::of(&other));
    let death = async {
        asked.passed().await;
        first.network.stop().await;
        gone.open();
    };
    let ((basket, done), ()) = tokio::join!(work, death);
    let report = done.unwrap();
    assert!(basket.bytes() == other.bytes);
    let given = report.received_bytes[&id(&first)];
    assert!(given >= 5 * CHUNK, "{report:?}");
    assert_eq!(report.received_bytes[&id(&second)], SIZE as u64 - given);
    assert!(report.liars.is_empty() && report.lost_sources > 0);
    dying.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_where_it_ended() {
    let asked = Gate::closed();
    let dying = Shelf::stopping(SIZE, 10, &asked);
    let first = sharing(&dying).await;
    let here = asker(&[&first]).await;
    let work = fetch(&here, &dying, Basket::of(&dying));
    let death = async {
        asked.passed().await;
        first.network.stop().await;
    };
    let ((basket, done), ()) = tokio::join!(work, death);
    let Err(DownloadError::Lost(report)) = done else {
        panic!("{done:?}");
    };
    dying.release();
    let kept = report.received_bytes[&id(&first)];
    assert!(basket.paused && kept >= 5 * CHUNK, "{report:?}");
    let honest = Shelf::honest(SIZE);
    let second = sharing(&honest).await;
    here.network.dial(&second.address()).await.unwrap();
    let (basket, done) = fetch(&here, &honest, basket).await;
    assert!(basket.bytes() == honest.bytes);
    let report = done.unwrap();
    assert_eq!(report.received_bytes[&id(&second)], SIZE as u64 - kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_sleeps_is_overtaken() {
    let asked = Gate::closed();
    let sleeping = Shelf::stopping(SIZE, 0, &asked);
    let honest = Shelf::waiting(SIZE, &asked);
    let (slow, fast) = (sharing(&sleeping).await, sharing(&honest).await);
    let here = asker(&[&slow, &fast]).await;
    let (basket, done) = fetch(&here, &honest, Basket::of(&honest)).await;
    assert!(basket.bytes() == honest.bytes);
    let report = done.unwrap();
    assert_eq!(report.received_bytes[&id(&fast)], SIZE as u64);
    assert!(report.liars.is_empty());
    sleeping.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_or_is_too_large_does_not_come() {
    let shelf = Shelf::honest(SIZE);
    let source = sharing(&shelf).await;
    let mute = Peer::start(&[]).await;
    let here = asker(&[&source, &mute]).await;
    let missing = Shelf::honest(7);
    let (_, done) = fetch(&here, &missing, Basket::of(&missing)).await;
    assert!(matches!(done, Err(DownloadError::Nowhere)), "{done:?}");
    let basket = Basket::of(&shelf);
    let work = here.network.download(shelf.digest, 1_000, basket);
    let (_, done) = timeout(DEADLINE, work).await.unwrap();
    let Err(DownloadError::TooLarge { size_bytes, .. }) = done else {
        panic!("{done:?}");
    };
    assert_eq!(size_bytes, SIZE as u64);
    assert_eq!(shelf.given.load(Ordering::SeqCst), 0);
}
