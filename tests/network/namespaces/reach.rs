//! Nodes of which not everybody can call everybody.

use super::lan::Lan;
use super::nodes::{Node, P2P_PORT, agree, connected};
use super::posts::posts;

const EACH: usize = 60;

#[test]
fn a_node_that_can_call_but_not_be_called() {
    let lan = Lan::new();
    let nodes = Node::mesh(&lan, 2);
    // Whoever connected before this starts over.
    nodes[0].host.filter(
        &format!("ct state new tcp dport {P2P_PORT} drop; ct state new meta l4proto udp drop;"),
        "",
    );
    let mut nodes = nodes;
    for node in &mut nodes {
        node.kill();
    }
    for node in &mut nodes {
        node.restart();
    }
    connected(&nodes, 1);
    let lots = [posts(EACH), posts(EACH)];
    nodes[0].accept(&lots[0]);
    nodes[1].accept(&lots[1]);
    agree(&nodes, &[&lots[0], &lots[1]]);
}

#[test]
fn two_nodes_behind_routers_agree_by_a_third() {
    let lan = Lan::new();
    let mut nodes = vec![
        Node::new(lan.host(1)),
        Node::new(lan.host_behind_nat(2)),
        Node::new(lan.host_behind_nat(3)),
    ];
    // The two know each other's addresses, and these lead nowhere.
    let addresses: Vec<String> = nodes.iter().map(Node::p2p_address).collect();
    for node in &mut nodes {
        node.start(&addresses);
    }
    connected(&nodes, 1);
    let lots = [posts(EACH), posts(EACH), posts(EACH)];
    for (node, lot) in nodes.iter().zip(&lots) {
        node.accept(lot);
    }
    agree(&nodes, &[&lots[0], &lots[1], &lots[2]]);
}
