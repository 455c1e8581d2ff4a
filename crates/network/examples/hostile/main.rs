//! A peer that means harm, for the tests of whole networks.
//!
//! `hostile <how> <multiaddress of the victim> <seconds>` attacks until the victim
//! cuts it off or the time is over, and then says in a line of JSON what it did:
//! `{"id": …, "acts": …, "cut_off": …}`.
//!
//! ```text
//!  liar     gossip that is signed as gossip must be, with messages that are not what they say
//!  flood    the same with junk, as fast as it goes
//!  forger   gossip frames with broken signatures, over a stream of its own
//!  garbage  random bytes where frames belong, on every protocol
//!  giant    frames that announce, and begin to send, a gigabyte
//!  mute     connections and streams that are opened, and a byte now and then
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod gossip;
mod streams;

use std::time::Duration;

/// What an attack came to.
struct Outcome {
    id: String,
    acts: u64,
    cut_off: bool,
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [how, victim, seconds] = words.as_slice() else {
        panic!("hostile <liar|flood|forger|garbage|giant|mute> <multiaddress> <seconds>");
    };
    let time = Duration::from_secs(seconds.parse().unwrap());
    let outcome = match how.as_str() {
        "liar" => gossip::lie(victim, time).await,
        "flood" => gossip::flood(victim, time).await,
        other => streams::attack(streams::Way::named(other).unwrap(), victim, time).await,
    };
    println!(
        "{}",
        serde_json::json!({"id": outcome.id, "acts": outcome.acts, "cut_off": outcome.cut_off})
    );
}
