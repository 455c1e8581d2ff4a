//! Lies that gossip itself cannot see: the frames are in order.

use std::time::{Duration, Instant};

use beth_network::{Config, Network, PublishError, Published};
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, MessageType};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::Outcome;

const TOPIC: &str = "ALEPH-TEST";
const SECOND: i64 = 1_790_000_000;
const JUNK_BYTES: usize = 10_000;
const LOOK: Duration = Duration::from_millis(10);

/// Messages that are not what they say they are, a few each second.
pub async fn lie(victim: &str, time: Duration) -> Outcome {
    let account = Account::ethereum(&format!("{:064x}", 0xbad)).unwrap();
    let lies = move |number: u64| lie_number(&account, number).to_string().into_bytes();
    say(victim, time, LOOK, lies).await
}

/// Junk, as fast as the victim takes it.
pub async fn flood(victim: &str, time: Duration) -> Outcome {
    let junk = |number: u64| {
        let mut bytes = format!("junk {number} ").into_bytes();
        bytes.resize(JUNK_BYTES, b'x');
        bytes
    };
    say(victim, time, Duration::ZERO, junk).await
}

/// A post that is wrong in one of five ways, and in truth is nobody's.
fn lie_number(account: &Account, number: u64) -> Value {
    let content = json!({
        "address": account.address(), "time": SECOND, "type": "lie", "content": {"number": number},
    });
    let time = Timestamp::from_seconds(SECOND);
    let message = account.sign_message(MessageType::Post, &content, Some("TEST"), time);
    let mut lie = serde_json::to_value(&message).unwrap();
    match number % 5 {
        0 => lie["signature"] = json!(format!("0x{}", "11".repeat(65))),
        1 => lie["item_hash"] = json!(format!("{number:064x}")),
        2 => lie["item_content"] = json!(content.to_string().replace("lie", "truth")),
        3 => lie["sender"] = json!("0x00000000000000000000000000000000000000aa"),
        _ => lie["type"] = json!("NONSENSE"),
    }
    lie
}

async fn say(
    victim: &str,
    time: Duration,
    pause: Duration,
    what: impl Fn(u64) -> Vec<u8>,
) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        listen: "/ip4/0.0.0.0/tcp/0".into(),
        identity: folder.path().join("key"),
        bootstrap: vec![victim.to_owned()],
        topics: vec![TOPIC.to_owned()],
        quic: false,
        peers_wanted: 0,
        ..Config::default()
    };
    let (network, mut received) = Network::start(config, CancellationToken::new())
        .await
        .unwrap();
    tokio::spawn(async move { while received.recv().await.is_some() {} });
    let began = Instant::now();
    let (mut acts, mut cut_off) = (0, false);
    while began.elapsed() < time && !cut_off {
        match network.publish(TOPIC, what(acts)).await {
            Ok(Published::Sent) => acts += 1,
            // It was connected, and is not any more.
            Ok(Published::NoPeers) => {
                cut_off = acts > 0 && network.connected_peers().await.is_empty()
            }
            Ok(Published::Duplicate) | Err(PublishError::PeersBusy) => {}
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(pause.max(LOOK * u32::from(acts == 0))).await;
    }
    let id = network.peer_id().to_owned();
    network.stop().await;
    Outcome { id, acts, cut_off }
}
