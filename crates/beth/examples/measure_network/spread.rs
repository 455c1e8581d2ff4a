//! How soon a message published at one core node is seen at others, under a
//! steady stream of them.
//!
//! ```text
//!   500 messages/s ──▶ node 0 ──gossip──▶ nodes 1 … n ──WebSocket──▶ here
//! ```
//! The clock of a message runs from the instant at which it was due to be sent, so
//! that a slow node cannot hide its delay by slowing the sender down.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beth_protocol::{Account, ItemHash, Message, MessageType};
use beth_sdk::Client;
use beth_sdk::client::messages::{MessageFilter, Wait};
use futures::StreamExt;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant as Due, sleep_until, timeout};

use crate::nodes::Node;
use crate::processes::{cpu_ticks, memory_mb};

const SECONDS: usize = 20;
const SENDERS: u8 = 100;
const PATIENCE: Duration = Duration::from_secs(60);

pub fn measure(binary: &Path, rate: usize, others: usize) {
    let mut nodes = vec![Node::start(binary, Vec::new())];
    let first = nodes[0].address();
    nodes.extend((0..others).map(|_| Node::start(binary, vec![first.clone()])));
    for node in &nodes {
        node.connected(others);
    }
    let messages = messages(rate * SECONDS);
    let processes: Vec<u32> = nodes.iter().map(Node::process).collect();
    let before = cpu_ticks(&processes);
    let began = Instant::now();
    let urls: Vec<String> = nodes.iter().map(|node| node.url.clone()).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut delays = runtime.block_on(delays(&urls, messages, rate));
    let seconds = began.elapsed().as_secs_f64();
    let cores = (cpu_ticks(&processes) - before) as f64 / 100.0 / seconds;
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize];
    println!(
        "published here → seen at each of {others} others: {:.1} ms p50, {:.1} ms p95, {:.1} ms p99, {:.1} ms max ({rate} messages/s, {} frames)",
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0),
        delays.len()
    );
    println!(
        "CPU of a node for a message: {:.0} µs",
        cores * seconds * 1e6 / (nodes.len() * rate * SECONDS) as f64
    );
    let memory = processes.iter().map(|process| memory_mb(*process));
    println!(
        "meanwhile the {} nodes take {cores:.2} cores, at most {:.0} MiB each",
        nodes.len(),
        memory.fold(0.0, f64::max)
    );
    let (mut copies, mut accepted) = (0, 0);
    for node in &nodes {
        let said = node.peers();
        for topic in said["topics"].as_array().unwrap() {
            copies += topic["duplicates"].as_u64().unwrap();
            accepted += topic["accepted"].as_u64().unwrap();
        }
    }
    println!(
        "copies of a message that a node had: {:.2}",
        copies as f64 / accepted as f64
    );
}

/// All of them, signed beforehand.
fn messages(count: usize) -> Vec<Message> {
    let accounts: Vec<Account> = (1..=SENDERS)
        .map(|number| Account::ethereum(&format!("{number:064x}")).unwrap())
        .collect();
    let now = beth_sdk::now();
    let sign = |number: usize| {
        let account = &accounts[number % accounts.len()];
        let words =
            json!({"number": number, "words": "as long as a short note that somebody wrote"});
        let content = beth_sdk::content::post(account.address(), "measure", words, None);
        account.sign_message(MessageType::Post, &content, Some("MEASURE"), now)
    };
    (0..count).map(sign).collect()
}

/// From the instant a message was due to the frame, in ms; one for each message
/// and each other node.
async fn delays(urls: &[String], messages: Vec<Message>, rate: usize) -> Vec<f64> {
    let (send, mut arrived) = unbounded_channel();
    let mut readers = tokio::task::JoinSet::new();
    for url in &urls[1..] {
        readers.spawn(read(url.clone(), send.clone()).await);
    }
    drop(send);
    let here = Arc::new(Client::new(&urls[0]).unwrap());
    let mut due = HashMap::with_capacity(messages.len());
    let expected = messages.len() * (urls.len() - 1);
    let began = Due::now() + Duration::from_millis(100);
    let pace = Duration::from_secs(1) / rate as u32;
    for (number, message) in messages.iter().enumerate() {
        due.insert(message.item_hash.clone(), began + pace * number as u32);
    }
    let publish = tokio::spawn(async move {
        let mut calls = tokio::task::JoinSet::new();
        for (number, message) in messages.into_iter().enumerate() {
            sleep_until(began + pace * number as u32).await;
            let here = here.clone();
            calls.spawn(async move { here.submit(&message, Wait::Verdict).await.unwrap() });
            while calls.try_join_next().is_some() {}
        }
        calls.join_all().await;
    });
    let mut delays = Vec::with_capacity(expected);
    while delays.len() < expected {
        let (hash, at): (ItemHash, Due) = timeout(PATIENCE, arrived.recv()).await.unwrap().unwrap();
        delays.push(at.duration_since(due[&hash]).as_secs_f64() * 1e3);
    }
    publish.await.unwrap();
    readers.abort_all();
    delays
}

/// A reader of all new messages of a node, once it has been accepted.
async fn read(
    url: String,
    send: UnboundedSender<(ItemHash, Due)>,
) -> impl Future<Output = ()> + Send + 'static {
    let filter = MessageFilter {
        channels: vec!["MEASURE".into()],
        ..MessageFilter::default()
    };
    let client = Client::new(&url).unwrap();
    let mut frames = Box::pin(client.watch(filter, 0).await.unwrap());
    async move {
        while let Some(frame) = frames.next().await {
            let frame = frame.unwrap();
            let _ = send.send((frame.message.item_hash.clone(), Due::now()));
        }
    }
}
