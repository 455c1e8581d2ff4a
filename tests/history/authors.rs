//! The people who publish: posts, amends, aggregates, delegations, FORGETs.

use beth_protocol::judge::Rules;
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, ItemHash, MessageType};
use serde_json::{Map, Value, json};

use super::touch::{self, Touch, add, awaits, birth, change, look};
use super::{Dice, Step};

/// Content times begin here; there are few of them, so that many are equal.
pub const EPOCH: i64 = 1_700_000_000;
/// An envelope time at which resources must be paid, with tokens or credits.
pub const PAID: i64 = 1_750_000_000;
const CHANNELS: [Option<&str>; 3] = [None, Some("TEST"), Some("NOTES")];
const POST_TYPES: [&str; 2] = ["note", "blog"];
const KEYS: [&str; 2] = ["profile", "settings"];
const SECURITY: &str = "security";

/// What somebody published, as the others remember it.
#[derive(Clone)]
pub struct Item {
    pub hash: String,
    pub kind: Kind,
    /// Who signed for it, an index.
    pub owner: usize,
    /// What forgetting it touches besides the message.
    pub ending: Vec<Touch>,
    /// Amends of this post.
    amends: Vec<String>,
    /// As far as the others can tell: published by its owner, not forgotten.
    alive: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Post,
    Amend,
    Element { key: String },
    File,
    Machine,
    Forget,
}

/// A small group of people and a treasurer; everybody sees what the others did.
pub struct Authors {
    pub(super) dice: Dice,
    pub(super) people: Vec<Account>,
    pub(super) treasurer: Account,
    pub(super) items: Vec<Item>,
    /// Nobody else is on the node.
    pub(super) is_alone: bool,
    seed: u64,
    count: u64,
}

impl Authors {
    /// Groups of different numbers have nothing in common, so their messages
    /// may arrive in any order. Group 0 is alone on its node: it sets prices,
    /// and forgets aggregates, which must not wait while others publish.
    pub fn new(seed: u64, group: u64) -> Authors {
        let account = |number: u64| {
            let mut key = [0x5a; 32];
            key[..8].copy_from_slice(&group.to_be_bytes());
            key[8..16].copy_from_slice(&number.to_be_bytes());
            Account::ethereum(&hex(&key)).unwrap()
        };
        Authors {
            dice: Dice::new(seed ^ (group << 32)),
            people: (1..=4).map(account).collect(),
            treasurer: account(9),
            items: Vec::new(),
            is_alone: group == 0,
            seed,
            count: 0,
        }
    }

    /// Rules under which the treasurer is believed.
    pub fn rules(&self) -> Rules {
        let treasurer = vec![self.treasurer.address().to_owned()];
        Rules {
            balances_addresses: treasurer.clone(),
            credits_addresses: treasurer.clone(),
            pricing_address: self.treasurer.address().to_owned(),
            unbuilt_aggregate_owners: vec![self.address(3).to_owned()],
            ..Rules::default()
        }
    }

    pub fn addresses(&self) -> Vec<String> {
        let people = self.people.iter().chain([&self.treasurer]);
        people.map(|account| account.address().to_owned()).collect()
    }

    /// The next message.
    pub fn act(&mut self) -> Step {
        self.count += 1;
        if self.count <= 2 {
            return self.treasury();
        }
        match self.dice.below(100) {
            0..16 => self.post(),
            16..32 => self.amend(),
            32..45 => self.element(),
            45..52 => self.delegation(),
            52..68 => self.file(),
            68..77 => self.machine(),
            77..89 => self.forget(),
            89..92 if self.is_alone => self.forget_aggregate(),
            _ => self.treasury(),
        }
    }

    pub(super) fn address(&self, person: usize) -> &str {
        self.people[person].address()
    }

    /// Makes every content different.
    pub(super) fn number(&self) -> String {
        format!("{}-{}", self.seed, self.count)
    }

    /// Content time: one of few.
    pub(super) fn time(&mut self) -> i64 {
        EPOCH + self.dice.below(3) as i64
    }

    /// Who signs, and for whom.
    pub(super) fn pair(&mut self) -> (usize, usize) {
        let owner = self.dice.below(self.people.len());
        let sender = if self.dice.percent(85) {
            owner
        } else {
            self.dice.below(self.people.len())
        };
        (sender, owner)
    }

    /// A delegate's message depends on the delegations of the owner.
    pub(super) fn delegated(&self, (sender, owner): (usize, usize)) -> Option<Touch> {
        (sender != owner).then(|| look(touch::auth(self.address(owner))))
    }

    /// Signs, remembers, and adds what every message touches.
    pub(super) fn publish(
        &mut self,
        draft: Draft<'_>,
        touches: impl IntoIterator<Item = Touch>,
    ) -> Step {
        let account = match draft.sender {
            Some(person) => &self.people[person],
            None => &self.treasurer,
        };
        let time = Timestamp::from_seconds(draft.envelope_time);
        let message = account.sign_message(draft.message_type, &draft.content, draft.channel, time);
        let hash = message.item_hash.to_string();
        let mut all = vec![birth(&hash)];
        all.extend(touches);
        self.items.push(Item {
            hash,
            kind: draft.kind,
            owner: draft.owner,
            ending: draft.ending,
            amends: Vec::new(),
            alive: draft.sender == Some(draft.owner),
        });
        Step {
            message,
            touches: all,
        }
    }

    fn post(&mut self) -> Step {
        let pair = self.pair();
        let time = self.time();
        let content = json!({
            "address": self.address(pair.1), "time": time, "type": *self.dice.one(&POST_TYPES),
            "content": {"n": self.number(), "tags": ["red"]}, "ref": "a-label",
        });
        let touches = self.delegated(pair);
        let channel = *self.dice.one(&CHANNELS);
        let draft = Draft::new(MessageType::Post, content, pair);
        self.publish(draft.of(Kind::Post).on(channel).at(time), touches)
    }

    fn amend(&mut self) -> Step {
        let amends_amend = self.dice.percent(8);
        let wanted = if amends_amend {
            Kind::Amend
        } else {
            Kind::Post
        };
        let Some(target) = self.some(|item| item.kind == wanted) else {
            return self.post();
        };
        let original = self.items[target].hash.clone();
        let owner = match self.dice.percent(92) {
            true => self.items[target].owner,
            false => self.dice.below(self.people.len()),
        };
        let sender = match self.dice.percent(80) {
            true => owner,
            false => self.dice.below(self.people.len()),
        };
        let time = self.time();
        let content = json!({
            "address": self.address(owner), "time": time, "type": "amend", "ref": original,
            "content": {"n": self.number(), "tags": ["green"]},
        });
        let mut touches = vec![awaits(&original), add(touch::amends(&original))];
        touches.extend(self.delegated((sender, owner)));
        let draft = Draft::new(MessageType::Post, content, (sender, owner));
        let draft = draft
            .of(Kind::Amend)
            .at(time)
            .ends([add(touch::amends(&original))]);
        let step = self.publish(draft, touches);
        self.items[target].amends.push(step.hash().to_owned());
        step
    }

    fn element(&mut self) -> Step {
        let key = *self.dice.one(&KEYS);
        let number = self.number();
        let mut members = Map::from_iter([("n".to_owned(), json!(number))]);
        for name in ["zeta", "alpha", "nested", "gone"] {
            if self.dice.percent(45) {
                let value = match name {
                    "nested" => json!({"n": number}),
                    "gone" => Value::Null,
                    _ => json!(number),
                };
                members.insert(name.to_owned(), value);
            }
        }
        self.revision(key, Value::Object(members))
    }

    /// Grants something, or takes everything back.
    fn delegation(&mut self) -> Step {
        let mut entries = Vec::new();
        for _ in 0..self.dice.below(3) {
            let delegate = self.dice.below(self.people.len());
            let mut entry = json!({"address": self.address(delegate).to_lowercase()});
            let filters = [
                ("types", json!(["POST", "FORGET", "AGGREGATE"])),
                ("channels", json!(["TEST", null])),
                ("post_types", json!(["note"])),
                ("aggregate_keys", json!(["profile", SECURITY])),
            ];
            for (name, filter) in filters {
                if self.dice.percent(25) {
                    entry[name] = filter;
                }
            }
            entries.push(entry);
        }
        let number = self.number();
        self.revision(SECURITY, json!({"authorizations": entries, "n": number}))
    }

    fn revision(&mut self, key: &str, members: Value) -> Step {
        let pair = self.pair();
        let time = self.time();
        let owner = self.address(pair.1).to_owned();
        let content = json!({"address": owner, "time": time, "key": key, "content": members});
        let mut effects = vec![add(touch::elements(&owner, key))];
        if key == SECURITY {
            effects.push(add(touch::auth(&owner)));
        }
        let touches: Vec<Touch> = effects
            .iter()
            .cloned()
            .chain(self.delegated(pair))
            .collect();
        let channel = *self.dice.one(&CHANNELS);
        let draft = Draft::new(MessageType::Aggregate, content, pair).on(channel);
        let kind = Kind::Element {
            key: key.to_owned(),
        };
        self.publish(draft.of(kind).at(time).ends(effects), touches)
    }

    fn forget(&mut self) -> Step {
        let Some(first) = self.some(|_| true) else {
            return self.post();
        };
        let mut targets = vec![first];
        while self.dice.percent(30) {
            targets.extend(self.some(|_| true));
        }
        let owner = self.items[first].owner;
        let sender = match self.dice.percent(80) {
            true => owner,
            false => self.dice.below(self.people.len()),
        };
        let mut touches = Vec::new();
        let mut hashes = Vec::new();
        for target in targets {
            self.items[target].alive &= owner != sender;
            let item = &self.items[target];
            hashes.push(item.hash.clone());
            touches.push(awaits(&item.hash));
            touches.push(look(touch::uses(&item.hash)));
            touches.push(look(touch::amends(&item.hash)));
            touches.extend(self.ending(item, sender));
        }
        if self.dice.percent(4) {
            hashes.push(ItemHash::of_bytes(self.number().as_bytes()).to_string());
        }
        let time = self.time();
        let content = json!({"address": self.address(sender), "time": time, "hashes": hashes, "reason": self.number()});
        let draft = Draft::new(MessageType::Forget, content, (sender, sender));
        self.publish(draft.of(Kind::Forget).at(time), touches)
    }

    fn forget_aggregate(&mut self) -> Step {
        let Some(seen) = self.some(|item| matches!(item.kind, Kind::Element { .. })) else {
            return self.element();
        };
        let Item { kind, owner, .. } = self.items[seen].clone();
        let Kind::Element { key } = &kind else {
            return self.element();
        };
        let sender = match self.dice.percent(80) {
            true => owner,
            false => self.dice.below(self.people.len()),
        };
        let mut touches = vec![look(touch::elements(self.address(owner), key))];
        let all = self
            .items
            .iter()
            .filter(|i| i.kind == kind && i.owner == owner);
        touches.extend(all.flat_map(|item| self.ending(item, sender)));
        let time = self.time();
        let content = json!({
            "address": self.address(owner), "time": time, "hashes": [], "aggregates": [key], "reason": self.number(),
        });
        let draft = Draft::new(MessageType::Forget, content, (sender, owner));
        self.publish(draft.of(Kind::Forget).at(time), touches)
    }

    /// What forgetting an item touches, amends included.
    fn ending(&self, item: &Item, sender: usize) -> Vec<Touch> {
        let mut touches = vec![change(touch::message(&item.hash))];
        touches.extend(item.amends.iter().map(|hash| change(touch::message(hash))));
        touches.extend(item.ending.iter().cloned());
        if item.owner != sender {
            touches.push(look(touch::auth(self.address(item.owner))));
        }
        touches
    }

    /// One of the things published so far, mostly a new one that is in force.
    pub(super) fn some(&mut self, wanted: impl Fn(&Item) -> bool) -> Option<usize> {
        let any = self.dice.percent(12);
        let found: Vec<usize> = (0..self.items.len())
            .filter(|&index| wanted(&self.items[index]) && (any || self.items[index].alive))
            .collect();
        let newest = found.len().saturating_sub(8);
        match found.len() {
            0 => None,
            _ if self.dice.percent(60) => Some(*self.dice.one(&found[newest..])),
            _ => Some(*self.dice.one(&found)),
        }
    }
}

/// A message before it is signed.
pub struct Draft<'a> {
    pub message_type: MessageType,
    pub content: Value,
    /// `None` = the treasurer.
    pub sender: Option<usize>,
    pub owner: usize,
    pub kind: Kind,
    pub channel: Option<&'a str>,
    pub envelope_time: i64,
    pub ending: Vec<Touch>,
}

impl<'a> Draft<'a> {
    pub fn new(message_type: MessageType, content: Value, pair: (usize, usize)) -> Draft<'a> {
        Draft {
            message_type,
            content,
            sender: Some(pair.0),
            owner: pair.1,
            kind: Kind::Post,
            channel: None,
            envelope_time: EPOCH,
            ending: Vec::new(),
        }
    }

    pub fn of(self, kind: Kind) -> Draft<'a> {
        Draft { kind, ..self }
    }

    pub fn on(self, channel: Option<&'a str>) -> Draft<'a> {
        Draft { channel, ..self }
    }

    pub fn at(self, envelope_time: i64) -> Draft<'a> {
        Draft {
            envelope_time,
            ..self
        }
    }

    pub fn ends(self, touches: impl IntoIterator<Item = Touch>) -> Draft<'a> {
        Draft {
            ending: touches.into_iter().collect(),
            ..self
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
