//! Measures networks of real processes as people meet them.
//!
//! ```text
//! cargo run --release -p beth --example measure_network [local | spread [messages a second [others]] | idle]
//!
//! local    a network of `beth up`: start, size, idleness, one message after the other
//! spread   core nodes: messages published at one, seen at (ten) others
//! idle     one core node with a hundred peers that have nothing to say
//! ```
//! Without a word all of them, one after the other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs
)]

mod idle;
mod local;
mod nodes;
mod processes;
mod spread;

fn main() {
    let example = std::env::current_exe().unwrap();
    let binary = example.ancestors().nth(2).unwrap().join("beth");
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |what: &str| words.first().is_none_or(|word| word == what);
    if is_wanted("local") {
        local::measure(&binary);
    }
    if is_wanted("spread") {
        let number = |index: usize| words.get(index).map(|word| word.parse().unwrap());
        spread::measure(&binary, number(1).unwrap_or(500), number(2).unwrap_or(10));
    }
    if is_wanted("idle") {
        idle::measure(&binary);
    }
}
