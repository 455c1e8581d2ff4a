//! Signed test messages, for benchmarks and tests: any number of them, each a
//! function of a seed and its index.
//!
//! ```text
//!  seed, index ─▶ kind ─▶ sender (Zipf) ─▶ time (5 % early) ─▶ content ─▶ signed
//!                  └ AMEND, FORGET: a post of an earlier block of 100
//! ```
//!
//! A message refers only to messages with a smaller index, and the content of
//! these is computed again where their hash is needed. So any range can be made
//! by any thread, and every message is processed when the messages before it
//! are. Nobody acts for another; programs and instances, which somebody has to
//! pay, are absent.

mod content;
mod dice;
mod file;

use beth_protocol::time::Timestamp;
use beth_protocol::{Account, ItemHash, Message, MessageType};
use serde_json::Value;
use sha2::{Digest, Sha256};

use dice::{Dice, Zipf};

/// Senders when nobody says how many.
pub const SENDERS: usize = 1_000;
/// Exponent of the senders' shares.
const ZIPF_EXPONENT: f64 = 1.05;
/// Time of message 0: 2023-11-14T22:13:20Z, one second between two messages.
const FIRST_SECOND: i64 = 1_700_000_000;
/// One message of this many is early, as if it came late.
const ONE_IN_EARLY: u64 = 20;
/// By at most so much.
const EARLY_SECONDS_MAX: u64 = 600;

/// What kind of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Only POSTs, none of which refers to another.
    Posts,
    /// POSTs, amends, AGGREGATEs and FORGETs in the shares of the network.
    Network,
    /// The same with STOREs, whose files are those of [`Workload::file`].
    NetworkWithFiles,
}

/// An endless list of signed messages.
pub struct Workload {
    profile: Profile,
    seed: u64,
    senders: Vec<Account>,
    shares: Zipf,
}

/// What the message at an index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Post,
    /// Of the post at this index.
    Amend(u64),
    Aggregate,
    Store,
    /// Of the post at this index.
    Forget(u64),
}

impl Workload {
    /// The messages of a seed, of [`SENDERS`] accounts.
    pub fn new(profile: Profile, seed: u64) -> Workload {
        Workload::of_senders(profile, seed, SENDERS)
    }

    /// The messages of a seed and a number of accounts, at least one. Accounts
    /// of a seed are the same whatever their number.
    pub fn of_senders(profile: Profile, seed: u64, senders: usize) -> Workload {
        let count = senders.max(1);
        let senders = (0_u64..)
            .filter_map(|number| {
                let key = Sha256::digest(format!("beth workload {seed} sender {number}"));
                Account::ethereum(&const_hex::encode(key)).ok()
            })
            .take(count)
            .collect();
        Workload {
            profile,
            seed,
            senders,
            shares: Zipf::new(count, ZIPF_EXPONENT),
        }
    }

    /// The message at an index, signed.
    pub fn message(&self, index: u64) -> Message {
        let kind = self.kind(index);
        let channel = format!("CHANNEL-{}", self.dice(index, "channel").low(200));
        self.sender(index).sign_message(
            message_type(kind),
            &self.content(index, kind),
            Some(&channel),
            self.time(index),
        )
    }

    /// The file that the STORE at this index names; `None` when there is no
    /// STORE at this index.
    pub fn file(&self, index: u64) -> Option<Vec<u8>> {
        (self.kind(index) == Kind::Store).then(|| self.file_of(index))
    }

    /// Who signs the message at an index.
    pub fn sender(&self, index: u64) -> &Account {
        let author = match self.kind(index) {
            Kind::Amend(original) | Kind::Forget(original) => original,
            _ => index,
        };
        let number = self.shares.draw(&mut self.dice(author, "sender"));
        &self.senders[number]
    }

    fn time(&self, index: u64) -> Timestamp {
        let mut dice = self.dice(index, "time");
        let mut micros = (FIRST_SECOND + index as i64) * 1_000_000 + dice.below(1_000_000) as i64;
        if dice.below(ONE_IN_EARLY) == 0 {
            micros -= dice.below(EARLY_SECONDS_MAX * 1_000_000) as i64;
        }
        Timestamp::from_micros(micros)
    }

    /// Blocks of 100 messages; each has the same kinds, spread over it.
    fn kind(&self, index: u64) -> Kind {
        if self.profile == Profile::Posts {
            return Kind::Post;
        }
        let (block, slot) = (index / BLOCK, index % BLOCK * SPREAD % BLOCK);
        match slot {
            0 if block >= BACK => Kind::Forget(index_of(block - BACK, FORGETTABLE)),
            AMENDS_FROM..AGGREGATES_FROM if block >= BACK => {
                Kind::Amend(self.original(index, block))
            }
            AGGREGATES_FROM..STORES_FROM => Kind::Aggregate,
            STORES_FROM.. if self.profile == Profile::NetworkWithFiles => Kind::Store,
            _ => Kind::Post,
        }
    }

    /// A post of an earlier block that nobody forgets; recent ones more often.
    fn original(&self, index: u64, block: u64) -> u64 {
        let mut dice = self.dice(index, "original");
        let back = BACK + dice.low((block - BACK + 1).min(1_000));
        let slot = FORGETTABLE + 1 + dice.below(AMENDS_FROM - FORGETTABLE - 1);
        index_of(block - back, slot)
    }

    fn dice(&self, index: u64, purpose: &str) -> Dice {
        Dice::new(self.seed, index, purpose)
    }
}

const BLOCK: u64 = 100;
/// `index * SPREAD % BLOCK` is the slot, `slot * GATHER % BLOCK` the index.
const SPREAD: u64 = 37;
const GATHER: u64 = 73;
/// Blocks between a message and what it refers to, at least: a pipeline with
/// several threads seldom overtakes itself by so much, even on a busy machine.
const BACK: u64 = 20;
/// Slot of the post that a later block forgets. Slot 0 forgets.
const FORGETTABLE: u64 = 1;
const AMENDS_FROM: u64 = 50;
const AGGREGATES_FROM: u64 = 63;
const STORES_FROM: u64 = 87;

fn index_of(block: u64, slot: u64) -> u64 {
    block * BLOCK + slot * GATHER % BLOCK
}

fn message_type(kind: Kind) -> MessageType {
    match kind {
        Kind::Post | Kind::Amend(_) => MessageType::Post,
        Kind::Aggregate => MessageType::Aggregate,
        Kind::Store => MessageType::Store,
        Kind::Forget(_) => MessageType::Forget,
    }
}

/// The hash of an inline content.
fn hash_of(content: &Value) -> ItemHash {
    ItemHash::of_bytes(content.to_string().as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use beth_protocol::signature;
    use std::collections::HashSet;

    #[test]
    fn the_same_seed_says_the_same() {
        for profile in [Profile::Posts, Profile::Network, Profile::NetworkWithFiles] {
            let (one, two) = (Workload::new(profile, 7), Workload::new(profile, 7));
            let other = Workload::new(profile, 8);
            for index in (0..2_000).step_by(17) {
                assert_eq!(one.message(index), two.message(index));
                assert_ne!(one.message(index), other.message(index));
            }
        }
    }

    #[test]
    fn messages_are_well_formed_distinct_and_of_usual_length() {
        let workload = Workload::of_senders(Profile::NetworkWithFiles, 1, 50);
        let (mut seen, mut bytes) = (HashSet::new(), 0);
        for index in 0..1_000 {
            let message = workload.message(index);
            assert_eq!(signature::verify(&message), Ok(()));
            let content = message.inline_content().unwrap().unwrap();
            bytes += content.size;
            assert!(seen.insert(message.item_hash));
        }
        assert!((350..500).contains(&(bytes / 1_000)), "{bytes}");
    }

    #[test]
    fn references_point_back_to_the_senders_own_posts() {
        let workload = Workload::of_senders(Profile::Network, 3, 20);
        let (mut amends, mut forgets) = (0, 0);
        for index in 0..5_000 {
            let target = match workload.kind(index) {
                Kind::Amend(target) => {
                    amends += 1;
                    target
                }
                Kind::Forget(target) => {
                    forgets += 1;
                    target
                }
                _ => continue,
            };
            assert!(target < index);
            assert_eq!(workload.kind(target), Kind::Post);
            let (message, original) = (workload.message(index), workload.message(target));
            assert_eq!(message.sender, original.sender);
            let text = message.item_content.unwrap();
            assert!(text.contains(original.item_hash.as_str()), "{text}");
        }
        assert_eq!((amends, forgets), (30 * 13, 30));
    }

    #[test]
    fn stores_name_their_files() {
        let workload = Workload::new(Profile::NetworkWithFiles, 1);
        let stores: Vec<u64> = (0..100).filter(|i| workload.file(*i).is_some()).collect();
        assert_eq!(stores.len(), 13);
        for index in stores {
            let hash = ItemHash::of_bytes(&workload.file(index).unwrap());
            let text = workload.message(index).item_content.unwrap();
            assert!(text.contains(hash.as_str()), "{text}");
        }
    }
}
