//! Peers that mean harm: three nodes go on while each of them is attacked.
//!
//! ```text
//!   10.0.0.1 ─┐           ┌─ attack on 1
//!   10.0.0.2 ─┼─ bridge ──┼─ attack on 2     10.0.0.4: the program `hostile` of
//!   10.0.0.3 ─┘           └─ attack on 3     the crate `network`, three times
//! ```
//! Meanwhile each node accepts messages, and answers its clients. In the end all
//! agree, as in every scenario, and who did what no honest peer does is cut off
//! by each node.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::lan::{Host, Lan};
use super::nodes::{Node, agree, connected};
use super::posts::posts;

const EACH: usize = 60;
/// How long an attack goes on unless it is cut off.
const SECONDS: u32 = 6;

/// What the victims do about it.
#[derive(Clone, Copy, PartialEq)]
enum Answer {
    /// The attacker is cut off.
    CutOff,
    /// It is borne: it may be an accident.
    Borne,
}

#[test]
fn messages_that_are_not_what_they_say() {
    under_attack("liar", Answer::CutOff);
}

#[test]
fn junk_as_fast_as_it_goes() {
    under_attack("flood", Answer::CutOff);
}

#[test]
fn gossip_with_forged_signatures() {
    under_attack("forger", Answer::CutOff);
}

#[test]
fn random_bytes_where_frames_belong() {
    under_attack("garbage", Answer::CutOff);
}

#[test]
fn frames_of_a_gigabyte() {
    under_attack("giant", Answer::CutOff);
}

#[test]
fn streams_that_say_nothing() {
    under_attack("mute", Answer::Borne);
}

fn under_attack(how: &str, answer: Answer) {
    let lan = Lan::new();
    let nodes = Node::mesh(&lan, 3);
    connected(&nodes, 2);
    let outside = lan.host(4);
    let before = posts(EACH);
    nodes[0].accept(&before);

    let attacks: Vec<Attack> = nodes
        .iter()
        .map(|node| Attack::begin(how, &outside, node))
        .collect();
    let meanwhile = [posts(EACH), posts(EACH), posts(EACH)];
    for (node, lot) in nodes.iter().zip(&meanwhile) {
        node.accept(lot);
    }
    let ids: Vec<String> = attacks.into_iter().map(Attack::end).collect();
    let after = posts(EACH);
    nodes[2].accept(&after);

    let [one, two, three] = &meanwhile;
    agree(&nodes, &[&before, one, two, three, &after]);
    for (node, id) in nodes.iter().zip(&ids) {
        let said = node.peers();
        let absent = said["absent"].as_array().unwrap();
        let is_cut_off = absent.iter().any(|peer| {
            peer["id"] == id.as_str() && peer["why"].as_str().unwrap().starts_with("cut off")
        });
        assert_eq!(is_cut_off, answer == Answer::CutOff, "{how} {id}: {said}");
        let friends = said["connected"].as_array().unwrap().iter();
        let friends =
            friends.filter(|peer| nodes.iter().any(|node| peer["id"] == node.id.as_str()));
        assert_eq!(friends.count(), 2, "an honest one was cut off: {said}");
    }
}

/// One attacker at work.
struct Attack(Child);

impl Attack {
    fn begin(how: &str, from: &Host, victim: &Node) -> Attack {
        let mut command = Command::new(program());
        command
            .args([how, &victim.p2p_address(), &SECONDS.to_string()])
            .stdout(Stdio::piped());
        Attack(from.within(|| command.spawn().unwrap()))
    }

    /// Waits for its end; its peer id.
    fn end(self) -> String {
        let output = self.0.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let said: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("said {text:?}"));
        eprintln!("{said}");
        assert!(said["acts"].as_u64().unwrap() > 0, "{said}");
        said["id"].as_str().unwrap().to_owned()
    }
}

/// `cargo test --workspace` builds examples beside the binaries.
fn program() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_beth")).with_file_name("examples/hostile");
    assert!(
        path.exists(),
        "{} is missing: cargo build --workspace --examples",
        path.display()
    );
    path
}
