//! Messages over HTTP: as many as go through, then a steady rate with a look at
//! the list after some of them. The clients are another process.

use std::path::Path;
use std::process::Stdio;

use axum::Router;
use beth_ccn::CcnConfig;
use beth_ccn::node::Node;
use serde_json::Value;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::Options;
use crate::feed::{Feed, Lines};
use crate::meter::Meter;
use crate::rounds::fill;
use crate::table::threads;

/// Messages sent as fast as they are taken.
const FLOOD: u64 = 60_000;
const FLOOD_CONNECTIONS: u32 = 128;
const STEADY_CONNECTIONS: u32 = 32;

pub async fn measure(options: Options) {
    let stored = options.level_or(100_000);
    let steady = u64::from(options.rate * options.seconds);
    let path = options.messages(stored + FLOOD + steady);
    let data = options.scratch();
    let cancel = CancellationToken::new();
    let node = Node::start(config(data.path()), cancel.clone())
        .await
        .unwrap();
    let (context, address) = (node.context.clone(), node.address.to_string());
    let served = tokio::spawn(node.serve(Router::new()));
    let feed = Feed::new(context.pipeline.clone(), options.in_flight, 2);
    fill(&feed, &mut Lines::open(&path), stored).await;

    let client = |first: u64, count: u64, connections: u32, rate: u32| {
        let numbers = [first, count, connections.into(), rate.into()];
        Command::new(std::env::current_exe().unwrap())
            .arg("client")
            .args([&address, path.to_str().unwrap()])
            .args(numbers.map(|number| number.to_string()))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .output()
    };
    println!("with {stored} messages stored");
    let meter = Meter::start();
    let said = client(stored, FLOOD, FLOOD_CONNECTIONS, 0).await.unwrap();
    let cost = meter.stop(FLOOD);
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    println!(
        "flood over {FLOOD_CONNECTIONS} keep-alive connections: {:.0} processed/s; node {:.1} µs CPU a message, clients {:.1}; node's peak memory {:.0} MiB",
        FLOOD as f64 / number(&said["seconds"]),
        cost.cpu_micros,
        number(&said["cpu_micros"]),
        cost.peak_mib
    );
    println!("<!-- µs by thread: {} -->", threads(&[&cost]));

    let meter = Meter::start();
    let first = stored + FLOOD;
    let said = client(first, steady, STEADY_CONNECTIONS, options.rate)
        .await
        .unwrap();
    let cost = meter.stop(steady);
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    println!(
        "steady {} messages/s for {} s over {STEADY_CONNECTIONS} connections: node {:.1} µs CPU a message, clients {:.1}",
        options.rate,
        options.seconds,
        cost.cpu_micros,
        number(&said["cpu_micros"])
    );
    for what in ["processed", "listed"] {
        let of = |share: &str| number(&said[what][share]);
        println!(
            "until {what} (of {} messages): p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, slowest {:.1} ms",
            said[what]["count"],
            of("p50"),
            of("p99"),
            of("p99.9"),
            of("max")
        );
    }
    drop((context, feed));
    cancel.cancel();
    served.await.unwrap().unwrap();
}

/// A node on free ports of this machine.
pub fn config(folder: &Path) -> CcnConfig {
    let mut config = CcnConfig::in_folder(folder);
    config.listen = ([127, 0, 0, 1], 0).into();
    config.p2p.listen = "/ip4/127.0.0.1/tcp/0".to_owned();
    config
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}
