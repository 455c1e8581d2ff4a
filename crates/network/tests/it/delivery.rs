//! What is said at one node is heard at the others.

use std::{collections::HashSet, time::Instant};

use beth_network::{Network, PublishError, Published, limits, message_id};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{Peer, TOPIC, config, pair, within};

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_both_ways() {
    let (mut first, mut second) = pair().await;
    first.says(b"from the first").await;
    let heard = second.hears().await;
    assert_eq!(heard.topic, TOPIC);
    assert_eq!(heard.data, b"from the first");
    assert_eq!(heard.from, first.network.peer_id());

    second.says(b"from the second").await;
    let heard = first.hears().await;
    assert_eq!(heard.data, b"from the second");
    assert_eq!(heard.from, second.network.peer_id());
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_in_a_line_name_the_author() {
    let mut left = Peer::start(&[]).await;
    let middle = Peer::start(&[&left]).await;
    let mut right = Peer::start(&[&middle]).await;
    middle.sees(&[&left, &right]).await;
    left.sees(&[&middle]).await;
    right.sees(&[&middle]).await;
    assert_eq!(
        left.network.connected_peers().await,
        [middle.network.peer_id()]
    );

    left.says(b"left to right").await;
    let heard = right.hears().await;
    assert_eq!(
        (heard.data.as_slice(), heard.from.as_str()),
        (&b"left to right"[..], left.network.peer_id())
    );
    right.says(b"right to left").await;
    let heard = left.hears().await;
    assert_eq!(
        (heard.data.as_slice(), heard.from.as_str()),
        (&b"right to left"[..], right.network.peer_id())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn same_bytes_are_said_once() {
    let (first, mut second) = pair().await;
    first.says(b"once").await;
    assert_eq!(second.hears().await.data, b"once");
    let again = first.network.publish(TOPIC, b"once".to_vec()).await;
    assert_eq!(again, Ok(Published::Duplicate));
    let echoed = second.network.publish(TOPIC, b"once".to_vec()).await;
    assert_eq!(echoed, Ok(Published::Duplicate));
    first.says(b"next").await;
    assert_eq!(second.hears().await.data, b"next");
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_nothing_is_remembered() {
    let alone = Peer::start(&[]).await;
    for _ in 0..2 {
        let published = alone.network.publish(TOPIC, b"anybody?".to_vec()).await;
        assert_eq!(published, Ok(Published::NoPeers));
    }
    let mut late = Peer::start(&[&alone]).await;
    alone.sees(&[&late]).await;
    alone.says(b"anybody?").await;
    assert_eq!(late.hears().await.data, b"anybody?");
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes() {
    let (first, mut second) = pair().await;
    let too_large = vec![0; limits::FRAME_BYTES];
    let error = first.network.publish(TOPIC, too_large).await.unwrap_err();
    assert!(matches!(
        error,
        PublishError::TooLarge {
            limit_bytes: limits::FRAME_BYTES,
            ..
        }
    ));
    assert!(
        error.to_string().contains("store its content as a file"),
        "{error}"
    );

    // Back to back, so that the reader's buffer holds the head of the next frame.
    let messages: Vec<Vec<u8>> = (0..8)
        .map(|byte| vec![byte; limits::PAYLOAD_BYTES])
        .collect();
    for message in &messages {
        first.says(message).await;
    }
    for message in messages {
        assert_eq!(second.hears().await.data, message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_topic_is_refused() {
    let alone = Peer::start(&[]).await;
    let error = alone
        .network
        .publish("elsewhere", vec![1])
        .await
        .unwrap_err();
    assert_eq!(
        error,
        PublishError::UnknownTopic {
            topic: "elsewhere".to_owned()
        }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn full_queue_loses_nothing_and_still_publishes() {
    const MESSAGES: usize = 600;
    let (first, mut second) = pair().await;
    let burst = Instant::now();
    for number in 0..MESSAGES {
        first.says(&padded(number)).await;
    }
    // The second reads nothing yet, its queue is full, and it can still publish.
    second.says(b"busy").await;

    let mut heard = HashSet::new();
    while heard.len() < MESSAGES {
        heard.insert(message_id(&second.hears().await.data));
    }
    println!(
        "burst: {MESSAGES} messages of 1 KB delivered in {:?}",
        burst.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_takes_less_than_100_ms() {
    const MESSAGES: usize = 500;
    let (first, mut second) = pair().await;
    let mut taken = Vec::with_capacity(MESSAGES);
    for number in 0..MESSAGES {
        let message = padded(number);
        let said = Instant::now();
        first.says(&message).await;
        assert_eq!(second.hears().await.data, message);
        taken.push(said.elapsed());
    }
    taken.sort();
    let (median, p95, p99) = (
        taken[MESSAGES / 2],
        taken[MESSAGES * 95 / 100],
        taken[MESSAGES * 99 / 100],
    );
    println!("delivery, 1 KB, two nodes: p50 {median:?}, p95 {p95:?}, p99 {p99:?}");
    assert!(p95.as_millis() < 100, "p95 {p95:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_everything() {
    let (first, mut second) = pair().await;
    let both = [first.network.clone(), second.network.clone()];
    for network in &both {
        within(network.stop()).await;
        within(network.join()).await;
        let error = network.publish(TOPIC, vec![1]).await.unwrap_err();
        assert_eq!(error, PublishError::Stopped);
        assert!(network.connected_peers().await.is_empty());
    }
    assert!(within(second.received.recv()).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_given_at_the_start_ends_everything() {
    let folder = TempDir::new().unwrap();
    let cancel = CancellationToken::new();
    let (network, mut received) = Network::start(config(&folder, &[]), cancel.clone())
        .await
        .unwrap();
    cancel.cancel();
    within(network.join()).await;
    assert!(within(received.recv()).await.is_none());
}

fn padded(number: usize) -> Vec<u8> {
    format!("{number:01000}").into_bytes()
}
