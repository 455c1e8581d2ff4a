//! A small world of messages, always the same, applied for real; and the same
//! messages kept in a list, to be filtered without any index.

use beth_protocol::judge::{Complete, Rules, Verdict, judge};
use beth_protocol::time::Timestamp;
use beth_protocol::{Chain, ItemHash, ItemType, Message, MessageType};
use beth_store::confirmations::Transaction;
use beth_store::pending::Arrival;
use beth_store::rows::Outcome;
use beth_store::{Error, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Numbers that look random and never change.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % sides
    }

    pub fn one<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// One message of the world.
pub struct Entry {
    pub message: Message,
    pub content: Value,
    pub reception: Timestamp,
    /// Time and height of the earliest confirmation.
    pub confirmed: Option<(Timestamp, i64)>,
}

pub struct World {
    pub store: Store,
    pub entries: Vec<Entry>,
    _folder: TempDir,
}

pub const SENDERS: [&str; 4] = ["0xA", "0xB", "0xC", "0xD"];
pub const CHANNELS: [&str; 3] = ["NOTES", "FILES", "ÉTÉ"];
pub const POST_TYPES: [&str; 3] = ["note", "blog", "chat"];
pub const TAGS: [&str; 4] = ["red", "green", "blue", "grey"];
pub const REFS: [&str; 3] = ["ref-1", "ref-2", "ref-3"];
pub const KEYS: [&str; 3] = ["profile", "settings", "domains"];

/// One of ninety times within two days: buckets of counts hold a few each.
pub fn moment(dice: &mut Dice) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000 + 1_800 * dice.below(90) as i64)
}

impl World {
    /// Three hundred messages: posts, amends, aggregates and files; many with
    /// the same time.
    pub fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.sqlite")).unwrap();
        let mut world = World {
            store,
            entries: Vec::new(),
            _folder: folder,
        };
        let mut dice = Dice::new(7);
        let mut originals: Vec<(String, usize)> = Vec::new();
        for number in 0..300 {
            let who = dice.below(SENDERS.len());
            let time = moment(&mut dice);
            let mut content = json!({"address": SENDERS[who], "time": time, "n": number});
            let kind = match dice.below(10) {
                0..=4 => {
                    content = json!({"address": SENDERS[who], "time": time, "type": dice.one(&POST_TYPES),
                        "content": {"n": number, "tags": tags(&mut dice)}});
                    if dice.below(3) == 0 {
                        content["ref"] = json!(dice.one(&REFS));
                    }
                    MessageType::Post
                }
                5..=6 if !originals.is_empty() => {
                    let (original, owner) = dice.one(&originals).clone();
                    content = json!({"address": SENDERS[owner], "time": time, "type": "amend", "ref": original,
                        "content": {"n": number, "tags": tags(&mut dice)}});
                    let sender = SENDERS[owner];
                    world.add(MessageType::Post, sender, content, (time, &mut dice));
                    continue;
                }
                5..=8 => {
                    content = json!({"address": SENDERS[who], "time": time, "key": dice.one(&KEYS),
                        "content": {"n": number}});
                    MessageType::Aggregate
                }
                _ => {
                    let file = ItemHash::of_bytes(&[dice.below(6) as u8]);
                    world
                        .store
                        .writer
                        .transaction(|state| state.add_file(file.as_str(), 10))
                        .unwrap();
                    content["item_type"] = json!("storage");
                    content["item_hash"] = json!(file);
                    content["tags"] = json!(tags(&mut dice));
                    if dice.below(2) == 0 {
                        content["payment"] = json!({"type": "hold", "chain": "ETH"});
                    }
                    MessageType::Store
                }
            };
            let is_post = kind == MessageType::Post;
            let hash = world.add(kind, SENDERS[who], content, (time, &mut dice));
            if is_post {
                originals.push((hash, who));
            }
        }
        world.confirm_some();
        world
    }

    /// So many aggregates more, among the times of the others.
    pub fn go_on(&mut self, count: usize) {
        let mut dice = Dice::new(23);
        for number in 0..count {
            let (who, time) = (dice.below(SENDERS.len()), moment(&mut dice));
            let content = json!({"address": SENDERS[who], "time": time, "key": "later",
                "content": {"n": number}});
            self.add(
                MessageType::Aggregate,
                SENDERS[who],
                content,
                (time, &mut dice),
            );
        }
    }

    fn add(
        &mut self,
        kind: MessageType,
        sender: &str,
        content: Value,
        (time, dice): (Timestamp, &mut Dice),
    ) -> String {
        let text = content.to_string();
        let message = Message {
            sender: sender.to_owned(),
            chain: *dice.one(&[Chain::Eth, Chain::Sol]),
            signature: Some("0x".into()),
            message_type: kind,
            item_type: ItemType::Inline,
            item_hash: ItemHash::of_bytes(text.as_bytes()),
            item_content: Some(text),
            time,
            channel: (dice.below(4) > 0).then(|| (*dice.one(&CHANNELS)).to_owned()),
        };
        let parsed = message.inline_content().unwrap().unwrap();
        let complete = Complete::new(message.clone(), parsed);
        let reception = Timestamp::from_seconds(1_800_000_000 + self.entries.len() as i64 / 3);
        let rules = Rules::default();
        self.store
            .writer
            .transaction(|state| {
                let Verdict::Accept(effects) = judge(&complete, state, &rules, reception).unwrap()
                else {
                    panic!("not accepted: {content}");
                };
                state.apply(&complete, &effects, &rules, reception)?;
                Ok::<_, Error>(())
            })
            .unwrap();
        let hash = message.item_hash.to_string();
        self.entries.push(Entry {
            message,
            content,
            reception,
            confirmed: None,
        });
        hash
    }

    /// Most messages are confirmed, some twice, a few in other transactions at
    /// the same time.
    fn confirm_some(&mut self) {
        let mut dice = Dice::new(11);
        let mut transactions = Vec::new();
        for number in 0..20 {
            transactions.push(Transaction {
                hash: format!("0x{number:02}"),
                chain: Chain::Eth,
                height: 100 + dice.below(12) as i64,
                time: Timestamp::from_seconds(1_900_000_000 + dice.below(12) as i64),
                publisher: "0xP".into(),
            });
        }
        for entry in &mut self.entries {
            let mut by = Vec::new();
            for _ in 0..dice.below(3) {
                let transaction = dice.one(&transactions);
                by.push((
                    transaction.time,
                    transaction.hash.clone(),
                    transaction.height,
                ));
                confirm(
                    &mut self.store,
                    entry.message.item_hash.as_str(),
                    transaction,
                );
            }
            entry.confirmed = by.into_iter().min().map(|(time, _, height)| (time, height));
        }
    }
}

fn confirm(store: &mut Store, hash: &str, transaction: &Transaction) {
    let arrival = Arrival {
        raw: Value::Null,
        reception_time: transaction.time,
        origin: "onchain",
        transaction: Some(Box::new(transaction.clone())),
        retry_of: None,
        gone: Vec::new(),
    };
    store
        .writer
        .transaction(|state| state.note_confirmation(hash, &arrival, &Outcome::Processed))
        .unwrap();
}

fn tags(dice: &mut Dice) -> Vec<&'static str> {
    (0..dice.below(3)).map(|_| *dice.one(&TAGS)).collect()
}
