//! What the messages say: about 450 bytes of JSON each.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::{Kind, Workload, hash_of};

/// Kinds of posts.
const POST_TYPES: u64 = 50;
/// Different tags.
const TAGS: u64 = 2_000;
/// Different keys of aggregates.
const KEYS: u64 = 1_000;
/// Different members of an aggregate.
const MEMBERS: u64 = 20;

impl Workload {
    pub(super) fn content(&self, index: u64, kind: Kind) -> Value {
        match kind {
            Kind::Post => self.post(index),
            Kind::Amend(original) => self.amend(index, original),
            Kind::Aggregate => self.aggregate(index),
            Kind::Store => self.store(index),
            Kind::Forget(post) => self.forget(index, post),
        }
    }

    /// An original post depends on nothing but its index.
    fn post(&self, index: u64) -> Value {
        let mut dice = self.dice(index, "content");
        let mut content = self.said(index);
        content["type"] = format!("type-{}", dice.low(POST_TYPES)).into();
        if dice.below(8) == 0 {
            content["ref"] = format!("topic-{}", dice.low(10_000)).into();
        }
        content["content"] = body(index, &mut dice);
        if dice.below(100) < 15 {
            let count = 1 + dice.below(3);
            content["content"]["tags"] = (0..count)
                .map(|_| format!("tag-{}", dice.low(TAGS)))
                .collect();
        }
        content
    }

    fn amend(&self, index: u64, original: u64) -> Value {
        let mut content = self.said(index);
        content["type"] = "amend".into();
        content["ref"] = hash_of(&self.post(original)).as_str().into();
        content["content"] = body(index, &mut self.dice(index, "content"));
        content
    }

    fn aggregate(&self, index: u64) -> Value {
        let mut dice = self.dice(index, "content");
        let mut content = self.said(index);
        content["key"] = format!("key-{}", dice.low(KEYS)).into();
        let mut members = Map::new();
        for _ in 0..3 {
            let name = format!("member-{}", dice.below(MEMBERS));
            members.insert(
                name,
                json!({"revision": index, "text": words(&mut dice, 70)}),
            );
        }
        content["content"] = members.into();
        content
    }

    fn store(&self, index: u64) -> Value {
        let mut content = self.said(index);
        content["item_type"] = "storage".into();
        content["item_hash"] = beth_protocol::ItemHash::of_bytes(&self.file_of(index))
            .as_str()
            .into();
        content
    }

    fn forget(&self, index: u64, post: u64) -> Value {
        let mut content = self.said(index);
        content["hashes"] = json!([hash_of(&self.post(post))]);
        content["aggregates"] = json!([]);
        content["reason"] = "no longer needed".into();
        content
    }

    pub(super) fn file_of(&self, index: u64) -> Vec<u8> {
        let text = words(&mut self.dice(index, "file"), 200);
        format!("file {index}\n{text}\n").into_bytes()
    }

    fn said(&self, index: u64) -> Value {
        json!({"address": self.sender(index).address(), "time": self.time(index).to_json()})
    }
}

fn body(index: u64, dice: &mut Dice) -> Value {
    let title = words(dice, 20);
    let characters = 200 + dice.below(120) as usize;
    json!({"title": title, "number": index, "body": words(dice, characters)})
}

/// At least so many characters of words.
fn words(dice: &mut Dice, characters: usize) -> String {
    let mut text = String::with_capacity(characters + 12);
    while text.len() < characters {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(WORDS[dice.below(WORDS.len() as u64) as usize]);
    }
    text
}

const WORDS: [&str; 24] = [
    "house", "river", "letter", "node", "signed", "stone", "open", "window", "market", "north",
    "quiet", "paper", "second", "garden", "light", "number", "keeper", "bridge", "often", "salt",
    "winter", "message", "field", "café",
];
