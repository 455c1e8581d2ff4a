//! A late joiner: an empty node that meets one which has everything, and the
//! questions of two that have the same.

use std::time::{Duration, Instant};

use axum::Router;
use beth_ccn::node::Node;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::Options;
use crate::feed::{Feed, Lines};
use crate::http::config;
use crate::meter::Meter;
use crate::replay::serve_apart;
use crate::rounds::fill;

const DEADLINE: Duration = Duration::from_secs(1_800);
const LOOK: Duration = Duration::from_millis(50);

pub async fn measure(options: Options) {
    let count = options.level_or(100_000);
    let path = options.messages(count);
    let full = options.scratch();
    let digest = {
        let cancel = CancellationToken::new();
        let node = Node::start(config(full.path()), cancel.clone())
            .await
            .unwrap();
        let context = node.context.clone();
        let served = tokio::spawn(node.serve(Router::new()));
        let feed = Feed::new(context.pipeline.clone(), options.in_flight, 2);
        fill(&feed, &mut Lines::open(&path), count).await;
        let digest = context.readers.read(|state| state.digest()).unwrap();
        drop((context, feed));
        cancel.cancel();
        served.await.unwrap().unwrap();
        digest
    };

    let (child, said) = serve_apart(full.path()).await;
    let empty = options.scratch();
    let mut config = config(empty.path());
    config.p2p.bootstrap = vec![said.peer];
    let cancel = CancellationToken::new();
    let meter = Meter::start();
    let begun = Instant::now();
    let node = Node::start(config, cancel.clone()).await.unwrap();
    let context = node.context.clone();
    let served = tokio::spawn(node.serve(Router::new()));
    let complete = async {
        let mut looks = interval(LOOK);
        loop {
            looks.tick().await;
            let here = context.read(|state| state.digest()).await.unwrap();
            if here.messages >= count {
                return here;
            }
        }
    };
    let here = timeout(DEADLINE, complete).await.unwrap();
    let took = begun.elapsed();
    let cost = meter.stop(count);
    assert_eq!(here, digest, "both nodes have the same state");
    println!(
        "an empty node has {count} messages of its neighbour {:.1} s after its start: {:.0}/s; {:.1} µs CPU a message of its own, peak memory {:.0} MiB",
        took.as_secs_f64(),
        count as f64 / took.as_secs_f64(),
        cost.cpu_micros,
        cost.peak_mib
    );
    drop(context);
    cancel.cancel();
    served.await.unwrap().unwrap();
    drop(child);
}
