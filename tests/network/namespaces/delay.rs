//! Links of different and changing length: what is said later is heard sooner.

use std::time::Duration;

use super::lan::{HUB, Lan};
use super::nodes::{Node, P2P_PORT, agree, connected};
use super::posts::posts;
use super::relay::{Delay, relay};

const EACH: usize = 60;

#[test]
fn messages_that_overtake_each_other_are_all_heard() {
    let lan = Lan::new();
    let mut nodes: Vec<Node> = (1..=4).map(|number| Node::new(lan.host(number))).collect();
    // There is no way but over the relays, and each pair has two of its own.
    for node in &nodes {
        node.host.filter("drop;", "drop;");
    }
    let links = nodes
        .iter()
        .map(|node| (node.host.address, node.id.clone()));
    let links: Vec<_> = links.collect();
    for (index, node) in nodes.iter_mut().enumerate() {
        let mut bootstrap = Vec::new();
        for (other, (address, id)) in links.iter().enumerate() {
            if other == index {
                continue;
            }
            let number = (4 * index + other) as u64;
            let delay = Delay {
                least: Duration::from_millis(10 * number),
                longest: Duration::from_millis(20 * number + 200),
            };
            let at = relay((*address, P2P_PORT).into(), delay, number);
            bootstrap.push(format!("/ip4/{HUB}/tcp/{}/p2p/{id}", at.port()));
        }
        node.start(&bootstrap);
    }
    connected(&nodes, 3);
    let lots: Vec<_> = nodes.iter().map(|_| posts(EACH)).collect();
    std::thread::scope(|scope| {
        for (node, lot) in nodes.iter().zip(&lots) {
            scope.spawn(|| node.accept(lot));
        }
    });
    let lots: Vec<_> = lots.iter().map(Vec::as_slice).collect();
    agree(&nodes, &lots);
}
