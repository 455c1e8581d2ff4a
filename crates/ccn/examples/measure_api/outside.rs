//! The node on one processor, the clients on another: requests a second.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use axum::Router;
use beth_ccn::CcnConfig;
use beth_ccn::node::Node;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, stdin};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::Options;
use crate::asker::Found;
use crate::inside;
use crate::questions::{Dice, Property, Questions, Share};

/// Different lists that are asked for.
const LISTS: usize = 2_000;

/// Prints the table.
pub async fn measure(options: &Options, folder: &Path, questions: &Questions, found: &Found) {
    let mut node = Command::new(std::env::current_exe().unwrap())
        .arg("serve")
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = BufReader::new(node.stdout.take().unwrap()).lines();
    let address = said.next_line().await.unwrap().unwrap();
    println!(
        "| over HTTP, {} connections | requests/s | node: CPU µs a request | kB an answer | p50 ms | p99 ms |",
        options.connections
    );
    println!("|---|---|---|---|---|---|");
    let mut kinds = lists(questions);
    kinds.extend(inside::paths(found));
    for (name, paths) in kinds {
        // Once through, so that what the node remembers is remembered.
        let warm = ask(options, (&address, 2), &paths).await;
        let before = cpu_micros(node.id().unwrap());
        let said = ask(options, (&address, options.seconds), &paths).await;
        let spent = cpu_micros(node.id().unwrap()) - before;
        drop(warm);
        let number = |key: &str| said[key].as_f64().unwrap();
        println!(
            "| {name} | {:.0} | {:.0} | {:.1} | {:.2} | {:.2} |",
            number("requests") / number("seconds"),
            spent / number("requests"),
            number("bytes") / number("requests") / 1e3,
            number("p50"),
            number("p99")
        );
    }
    drop(node.stdin.take());
    node.wait().await.unwrap();
}

/// Serves a folder until its input ends.
pub async fn serve(folder: &str) {
    let mut config = CcnConfig::in_folder(folder);
    config.listen = ([127, 0, 0, 1], 0).into();
    config.p2p.listen = "/ip4/127.0.0.1/tcp/0".to_owned();
    let cancel = CancellationToken::new();
    let node = Node::start(config, cancel.clone()).await.unwrap();
    println!("{}", node.address);
    std::io::stdout().flush().unwrap();
    let served = tokio::spawn(node.serve(Router::new()));
    stdin().read_to_end(&mut Vec::new()).await.unwrap();
    cancel.cancel();
    served.await.unwrap().unwrap();
}

/// Lists by one filter and by two, of common and rare values.
fn lists(questions: &Questions) -> Vec<(&'static str, Vec<String>)> {
    let mut dice = Dice(5);
    let mut list = |base: &str, is_of_posts: bool| {
        let mut path = format!("{base}?");
        let count = Property::ALL.len() as u64;
        let first = dice.below(count);
        // None, another one, or the same: one filter.
        let second = dice.below(count);
        let mut numbers = vec![first, second];
        numbers.dedup();
        for number in numbers {
            let property = Property::ALL[number as usize];
            let share = [Share::Common, Share::Rare][dice.below(2) as usize];
            if is_of_posts && property.is_of_posts() {
                path += &questions.post_filter(property, share, &mut dice);
            } else if !is_of_posts {
                path += &questions.filter(property, share, &mut dice);
            }
            path.push('&');
        }
        path
    };
    let mut lists = |base: &str, is_of_posts: bool| -> Vec<String> {
        (0..LISTS).map(|_| list(base, is_of_posts)).collect()
    };
    let messages = lists("/api/v0/messages.json", false);
    let posts = lists("/api/v1/posts.json", true);
    let newest = vec!["/api/v0/messages.json".to_owned()];
    let mut full = Dice(6);
    let by_sender = (0..LISTS).map(|_| {
        let filter = questions.filter(Property::Sender, Share::Common, &mut full);
        format!("/api/v0/messages.json?{filter}")
    });
    let by_sender = by_sender.collect();
    vec![
        ("newest 20 messages", newest),
        ("20 messages by sender", by_sender),
        ("20 messages by one or two filters", messages),
        ("20 posts by one or two filters", posts),
    ]
}

async fn ask(options: &Options, (address, seconds): (&str, u64), paths: &[String]) -> Value {
    let mut client = Command::new(std::env::current_exe().unwrap())
        .arg("ask")
        .args([
            address,
            &options.connections.to_string(),
            &seconds.to_string(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    input.write_all(paths.join("\n").as_bytes()).await.unwrap();
    drop(input);
    let said = client.wait_with_output().await.unwrap();
    serde_json::from_slice(&said.stdout).unwrap()
}

/// Processor time of another process so far: clock ticks of 10 ms (proc(5)).
fn cpu_micros(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) * 10_000.0
}
