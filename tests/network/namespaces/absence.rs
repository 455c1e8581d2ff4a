//! Nodes that were away: killed in the middle of work, or not yet born.

use super::lan::Lan;
use super::nodes::{Node, agree, connected};
use super::posts::posts;

const EACH: usize = 60;
/// What a late joiner finds; `BETH_LATE=n` sets another number
/// (`scripts/test-long.sh` takes 100,000).
const LATE: usize = 5_000;
const CLIENTS: usize = 4;

#[test]
fn a_node_that_is_killed_comes_back_and_brings_what_it_had_accepted() {
    let lan = Lan::new();
    let mut nodes = Node::mesh(&lan, 3);
    connected(&nodes, 2);
    // It is killed with what it accepted last still on its way to the others.
    let mine = posts(EACH);
    nodes[2].accept(&mine);
    nodes[2].kill();
    let meanwhile = [posts(EACH), posts(EACH)];
    nodes[0].accept(&meanwhile[0]);
    nodes[1].accept(&meanwhile[1]);

    nodes[2].restart();
    agree(&nodes, &[&mine, &meanwhile[0], &meanwhile[1]]);
}

#[test]
fn a_late_joiner_gets_everything() {
    let count = std::env::var("BETH_LATE").map_or(LATE, |text| text.parse().unwrap());
    let lan = Lan::new();
    let [mut early, mut late] = [1, 2].map(|number| Node::new(lan.host(number)));
    early.start(&[]);
    let lots: Vec<_> = (0..CLIENTS).map(|_| posts(count / CLIENTS)).collect();
    std::thread::scope(|scope| {
        for lot in &lots {
            scope.spawn(|| early.accept(lot));
        }
    });
    late.start(&[early.p2p_address()]);
    let lots: Vec<_> = lots.iter().map(Vec::as_slice).collect();
    agree([&early, &late], &lots);
}
