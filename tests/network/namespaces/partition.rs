//! A network that falls into two parts, which both go on, and becomes one again.

use std::time::Duration;

use super::lan::{Host, Lan};
use super::nodes::{Node, agree, connected, wait};
use super::posts::posts;

const EACH: usize = 60;

#[test]
fn both_sides_of_a_partition_go_on_and_agree_when_it_heals() {
    let lan = Lan::new();
    let nodes = Node::mesh(&lan, 5);
    connected(&nodes, 2);
    let before = posts(EACH);
    nodes[0].accept(&before);
    agree(&nodes, &[&before]);

    let (left, right) = nodes.split_at(2);
    for node in left {
        cut(&node.host, right);
    }
    let (here, there) = (posts(EACH), posts(EACH));
    std::thread::scope(|scope| {
        scope.spawn(|| left[0].accept(&here));
        scope.spawn(|| right[0].accept(&there));
    });
    // Each side agrees with itself and knows nothing of the other.
    agree(left, &[&before, &here]);
    agree(right, &[&before, &there]);

    for node in left {
        node.host.open();
    }
    agree(&nodes, &[&before, &here, &there]);
    // And what is said now is heard by all at once.
    let after = posts(1);
    nodes[4].accept(&after);
    let heard = || nodes.iter().all(|node| node.has(&after[0]));
    wait(Duration::from_secs(60), heard, |heard| *heard, String::new);
}

/// Nothing passes between a host and these nodes.
fn cut(host: &Host, from: &[Node]) {
    let addresses: Vec<String> = from
        .iter()
        .map(|node| node.host.address.to_string())
        .collect();
    let set = format!("{{ {} }}", addresses.join(", "));
    host.filter(
        &format!("ip saddr {set} drop;"),
        &format!("ip daddr {set} drop;"),
    );
}
