//! The network under test, and what every test needs of it.

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use aleph_sdk::client::{AlephClient, AlephMessageClient, MessageError};
use aleph_sdk::messages::PostBuilder;
use aleph_types::account::EvmAccount;
use aleph_types::chain::Chain;
use aleph_types::channel::Channel;
use aleph_types::item_hash::ItemHash;
use aleph_types::message::pending::PendingMessage;
use serde_json::{Value, json};
use url::Url;

const VISIBLE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

static NETWORK: LazyLock<Value> = LazyLock::new(|| {
    let said = std::env::var("NETWORK")
        .expect("NETWORK must say where the nodes are: run scripts/test-clients-rs.sh");
    serde_json::from_str(&said).expect("NETWORK is JSON")
});

/// An address of the network: `core` 0 and 1, `compute` 0, or `published` 0, a core node that has the aggregates of
/// the public network's foundation too.
pub fn url(kind: &str, index: usize) -> Url {
    NETWORK[kind][index]
        .as_str()
        .expect("the address of a node")
        .parse()
        .expect("an address")
}

/// A client of the first core node.
pub fn client() -> AlephClient {
    AlephClient::new(url("core", 0))
}

/// A client of the second core node.
pub fn other_client() -> AlephClient {
    AlephClient::new(url("core", 1))
}

/// One of the ten funded accounts.
pub fn account(index: usize) -> EvmAccount {
    let key = NETWORK["accounts"][index]["private_key"]
        .as_str()
        .expect("a key");
    let bytes = hex::decode(key.trim_start_matches("0x")).expect("a key in hexadecimal digits");
    EvmAccount::new(Chain::Ethereum, &bytes).expect("an account")
}

/// An account that nobody has seen yet and that owns nothing.
pub fn stranger() -> EvmAccount {
    EvmAccount::new(Chain::Ethereum, &fresh_bytes(32)).expect("an account")
}

/// A name that nobody has used yet.
pub fn fresh(stem: &str) -> String {
    format!("{stem}-{}", hex::encode(fresh_bytes(6)))
}

pub fn fresh_channel(stem: &str) -> Channel {
    Channel::from(fresh(stem))
}

/// Bytes that differ at every call.
pub fn fresh_bytes(size_bytes: usize) -> Vec<u8> {
    let mut state = RandomState::new().build_hasher().finish() | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(next)
        .take(size_bytes.div_ceil(8))
        .flatten()
        .collect();
    bytes.truncate(size_bytes);
    bytes
}

/// A hash that nothing has.
pub fn nothing() -> ItemHash {
    ItemHash::try_from("ab".repeat(32).as_str()).expect("a hash")
}

/// A post of an empty content, signed and not sent.
pub fn post(account: &EvmAccount, channel: &Channel) -> PendingMessage {
    let builder = PostBuilder::new(account, "note", json!({})).expect("a post");
    builder
        .channel(channel.clone())
        .build()
        .expect("a signed post")
}

/// Sends a message and waits until it is in force; answers its hash.
pub async fn processed(message: &PendingMessage) -> ItemHash {
    let answer = match client().submit_message(message, true).await {
        Ok(answer) => answer,
        Err(error) => panic!(
            "{error}: {:?}",
            client().get_message(&message.item_hash).await
        ),
    };
    assert_eq!(
        (
            answer.message_status.as_str(),
            answer.publication_status.status.as_str()
        ),
        ("processed", "success")
    );
    message.item_hash.clone()
}

/// Sends a message that is refused; answers the node's words, which hold a code.
pub async fn rejected(message: &PendingMessage) -> String {
    match client().submit_message(message, true).await {
        Err(MessageError::ApiError { status: 422, body }) => body,
        other => panic!("expected 422, got {other:?}"),
    }
}

/// Asks again and again until the answer is accepted.
pub async fn eventually<T, F: Future<Output = T>>(
    mut ask: impl FnMut() -> F,
    accept: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + VISIBLE;
    loop {
        let answer = ask().await;
        if accept(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {VISIBLE:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// What ends within the time in which something must be visible.
pub async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(VISIBLE, what)
        .await
        .unwrap_or_else(|_| panic!("not within {VISIBLE:?}"))
}
