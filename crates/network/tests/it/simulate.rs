//! The model of a network (`examples/simulate`): it is deterministic, it
//! converges, and messages spread in it as fast as they should. Times are
//! virtual.

use std::time::Duration;

use super::model::outcome::Outcome;
use super::model::settings::{Scenario, Settings};
use super::model::world::World;
use super::real;

fn small() -> Settings {
    Settings {
        nodes: 60,
        neighbours: Some(12),
        messages: 24,
        rate: 4.0,
        ..Settings::default()
    }
}

fn run(settings: &Settings) -> Outcome {
    World::new(settings.clone()).run()
}

/// All there is to say of an outcome.
fn told(outcome: &Outcome) -> String {
    format!("{outcome}{outcome:?}")
}

#[test]
fn the_same_seed_tells_the_same() {
    let settings = Settings {
        loss: 0.02,
        upstream_share: 0.3,
        scenario: Scenario::Churn,
        ..small()
    };
    let first = told(&run(&settings));
    assert_eq!(first, told(&run(&settings)));
    let other = Settings {
        seed: 2,
        ..settings
    };
    assert_ne!(first, told(&run(&other)));
}

#[test]
fn a_thousand_nodes_hear_within_half_a_second() {
    let settings = Settings {
        messages: 12,
        ..Settings::default()
    };
    assert_eq!((settings.nodes, settings.bytes), (1_000, 10_000));
    let links = (Duration::from_millis(50), Duration::from_millis(150));
    assert_eq!(settings.latency, links);
    let outcome = run(&settings);
    assert!(outcome.percentile(0.95) < 500.0, "{outcome}");
    assert!(
        outcome.percentile(0.5) > 100.0,
        "faster than the links: {outcome}"
    );
    assert_eq!(outcome.missing, 0, "{outcome}");
}

#[test]
fn what_was_cut_converges() {
    let outcome = run(&Settings {
        scenario: Scenario::Partition,
        ..small()
    });
    let delivered = outcome.by_gossip + outcome.by_visit;
    assert!(outcome.by_visit > 0.2, "nothing was cut: {outcome}");
    assert!((delivered - 1.0).abs() < 1e-9, "{outcome}");
    assert!(
        outcome.convergence.is_some_and(|seconds| seconds < 60.0),
        "{outcome}"
    );
}

#[test]
fn nodes_that_come_and_go_converge() {
    let outcome = run(&Settings {
        messages: 120,
        scenario: Scenario::Churn,
        ..small()
    });
    assert!(outcome.by_visit > 0.0, "nobody left: {outcome}");
    assert_eq!(
        (outcome.missing, outcome.convergence.is_some()),
        (0, true),
        "{outcome}"
    );
}

#[test]
fn a_slow_check_makes_cancelling_worth_it() {
    let slow = Settings {
        check: Duration::from_millis(100),
        ..small()
    };
    let mut deaf = slow.clone();
    deaf.gossip.dont_want_bytes = usize::MAX;
    let (with, without) = (run(&slow), run(&deaf));
    assert!(
        with.duplicates < 0.8 * without.duplicates,
        "{with}{without}"
    );
}

/// The model against what it is a model of: bytes that real nodes send through
/// links of the same latencies.
#[tokio::test(flavor = "multi_thread")]
async fn the_model_sends_what_real_nodes_send() {
    let settings = Settings {
        nodes: 10,
        neighbours: Some(6),
        messages: 10,
        rate: 10.0,
        // Without optimisation ciphers and signatures take longer than the links.
        bytes: 2_000,
        latency: (Duration::from_millis(20), Duration::from_millis(60)),
        bandwidth: 10_000_000_000,
        check: Duration::ZERO,
        calling: Duration::from_secs(1),
        warm_up: Duration::from_secs(4),
        ..Settings::default()
    };
    let measured = real::measure(&settings).await.unwrap();
    let outcome = run(&settings);
    assert_eq!(measured.delays.len(), measured.expected);
    let ratio = measured.node_bytes / outcome.node_bytes;
    println!(
        "real {:.0} bytes a message and node, model {:.0}",
        measured.node_bytes, outcome.node_bytes
    );
    assert!(
        (0.7..1.5).contains(&ratio),
        "{ratio}: {measured:?}\n{outcome}"
    );
}
