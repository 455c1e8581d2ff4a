//! Links that lose packets.

use super::lan::Lan;
use super::nodes::{Node, agree, connected};
use super::posts::posts;

const EACH: usize = 60;

#[test]
fn every_third_packet_lost_loses_no_message() {
    let lan = Lan::new();
    let nodes = Node::mesh(&lan, 4);
    for node in &nodes {
        node.host.filter("numgen random mod 100 < 30 drop;", "");
    }
    connected(&nodes, 1);
    let lots: Vec<_> = nodes.iter().map(|_| posts(EACH)).collect();
    std::thread::scope(|scope| {
        for (node, lot) in nodes.iter().zip(&lots) {
            scope.spawn(|| node.accept(lot));
        }
    });
    let lots: Vec<_> = lots.iter().map(Vec::as_slice).collect();
    agree(&nodes, &lots);
}
