//! What costs something: files, machines; and the treasurer who pays.

use beth_protocol::{ItemHash, MessageType};
use serde_json::{Value, json};

use super::Step;
use super::authors::{Authors, Draft, EPOCH, Kind, PAID};
use super::touch::{self, PRICE, Touch, add, awaits, look};

const FILES: usize = 5;
const PRICES: &str = include_str!("../../vectors/messages/default_pricing.json");

impl Authors {
    /// Files of different sizes: hash and bytes.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        (0..FILES).map(file).collect()
    }

    pub(super) fn file(&mut self) -> Step {
        let pair = self.pair();
        let owner = self.address(pair.1).to_owned();
        let (hash, _) = file(self.dice.below(FILES));
        let time = self.time();
        let mut envelope_time = time;
        let mut content = json!({
            "address": owner, "time": time, "item_type": "storage", "item_hash": hash, "metadata": {"n": self.number()},
        });
        let mut touches = vec![add(touch::funds(&owner)), look(PRICE)];
        let mut tag = None;
        match self.dice.below(10) {
            0..5 => {
                let first = self.some(|item| item.kind == Kind::File);
                if let Some(first) = first.map(|first| self.items[first].hash.clone()) {
                    content["ref"] = json!(first);
                    touches.push(awaits(&first));
                    tag = Some(first);
                }
            }
            5..8 => {
                content["ref"] = json!("a-label");
                tag = Some(format!("{owner}/a-label"));
            }
            _ => {}
        }
        if self.dice.percent(30) {
            content["payment"] = json!({"chain": "ETH", "type": "credit"});
        }
        if self.dice.percent(30) {
            // From then on also free files are refused to those who owe.
            envelope_time = PAID;
            touches.push(look(touch::funds(&owner)));
        }
        touches.extend(self.delegated(pair));
        // A first version names its tag after itself, which only its hash tells.
        let tag =
            tag.unwrap_or_else(|| ItemHash::of_bytes(content.to_string().as_bytes()).to_string());
        touches.push(add(touch::tag(&tag)));
        let ending = [add(touch::tag(&tag)), add(touch::funds(&owner))];
        let draft = Draft::new(MessageType::Store, content, pair).of(Kind::File);
        self.publish(draft.at(envelope_time).ends(ending), touches)
    }

    pub(super) fn machine(&mut self) -> Step {
        if !self.items.iter().any(|item| item.kind == Kind::File) {
            return self.file();
        }
        let pair = self.pair();
        let owner = self.address(pair.1).to_owned();
        let mut touches = vec![add(touch::funds(&owner)), look(PRICE)];
        let mut uses = Vec::new();
        let is_instance = self.dice.percent(35);
        let mut content = match is_instance {
            true => self.instance(&mut uses, &mut touches),
            false => self.program(&mut uses, &mut touches),
        };
        content["address"] = json!(owner);
        content["metadata"] = json!({"n": self.number()});
        content["volumes"] = self.volumes(&mut uses, &mut touches);
        if self.dice.percent(20)
            && let Some(target) = self.some(|item| item.kind == Kind::Machine)
        {
            let target = self.items[target].hash.clone();
            touches.push(awaits(&target));
            content["replaces"] = json!(target);
        }
        match self.dice.below(10) {
            0..3 => content["payment"] = json!({"chain": "ETH", "type": "credit"}),
            3..5 => {
                content["payment"] =
                    json!({"chain": "AVAX", "type": "superfluid", "receiver": owner})
            }
            _ => {}
        }
        touches.push(look(touch::funds(&owner)));
        touches.extend(self.delegated(pair));
        let ending: Vec<Touch> = uses
            .iter()
            .map(|hash| add(touch::uses(hash)))
            .chain([add(touch::funds(&owner))])
            .collect();
        touches.extend(ending.iter().cloned());
        let kind = match is_instance {
            true => MessageType::Instance,
            false => MessageType::Program,
        };
        let envelope_time = *self.dice.one(&[EPOCH, PAID]);
        let draft = Draft::new(kind, content, pair).of(Kind::Machine);
        self.publish(draft.at(envelope_time).ends(ending), touches)
    }

    /// A file that somebody stored, as a reference; what it touches.
    fn reference(&mut self, touches: &mut Vec<Touch>) -> (String, bool) {
        let stored = self.some(|item| item.kind == Kind::File);
        let stored = stored.or_else(|| self.items.iter().position(|item| item.kind == Kind::File));
        let stored = stored.unwrap_or_default();
        let hash = self.items[stored].hash.clone();
        let use_latest = self.dice.percent(50);
        touches.push(awaits(&hash));
        if use_latest {
            touches.push(look(touch::tag(&hash)));
        }
        (hash, use_latest)
    }

    fn program(&mut self, uses: &mut Vec<String>, touches: &mut Vec<Touch>) -> Value {
        let (code, code_latest) = self.reference(touches);
        let (runtime, runtime_latest) = self.reference(touches);
        uses.extend([code.clone(), runtime.clone()]);
        json!({
            "time": self.time(), "type": "vm-function", "allow_amend": self.dice.percent(60),
            "code": {"encoding": "zip", "entrypoint": "main:app", "ref": code, "use_latest": code_latest},
            "runtime": {"ref": runtime, "use_latest": runtime_latest, "comment": ""},
            "on": {"http": true, "persistent": self.dice.percent(30)},
            "environment": {"reproducible": false, "internet": false, "aleph_api": false, "shared_cache": false},
            "resources": {"vcpus": 1, "memory": 128, "seconds": 30},
        })
    }

    fn instance(&mut self, uses: &mut Vec<String>, touches: &mut Vec<Touch>) -> Value {
        let (parent, use_latest) = self.reference(touches);
        uses.push(parent.clone());
        json!({
            "time": self.time(), "allow_amend": false,
            "environment": {"reproducible": false, "internet": true, "aleph_api": true, "shared_cache": false},
            "resources": {"vcpus": 1, "memory": 2048, "seconds": 30},
            "rootfs": {"parent": {"ref": parent, "use_latest": use_latest}, "persistence": "host", "size_mib": 20480},
        })
    }

    fn volumes(&mut self, uses: &mut Vec<String>, touches: &mut Vec<Touch>) -> Value {
        let mut volumes = Vec::new();
        if self.dice.percent(40) {
            let (hash, use_latest) = self.reference(touches);
            uses.push(hash.clone());
            volumes.push(json!({"mount": "/data", "ref": hash, "use_latest": use_latest}));
        }
        if self.dice.percent(25) {
            // The parent of a persistent volume is needed, but not protected.
            let (hash, use_latest) = self.reference(touches);
            let parent = json!({"ref": hash, "use_latest": use_latest});
            volumes.push(json!({"mount": "/disk", "parent": parent, "persistence": "host", "name": "disk", "size_mib": 10}));
        }
        Value::Array(volumes)
    }

    /// Balances, credits, and now and then other prices.
    pub(super) fn treasury(&mut self) -> Step {
        match self.dice.below(10) {
            0..4 => self.balances(),
            4..6 => self.expense(),
            6 => self.transfer(),
            7 if self.is_alone => self.prices(),
            _ => self.credits(),
        }
    }

    fn balances(&mut self) -> Step {
        let time = self.time();
        let mut balances = json!({});
        let mut touches = Vec::new();
        for person in 0..self.people.len() {
            if self.dice.percent(60) {
                let amount = self.dice.below(6_000);
                balances[self.address(person)] = json!(amount);
                touches.push(add(touch::funds(self.address(person))));
            }
        }
        let mut content = json!({
            "chain": *self.dice.one(&["ETH", "ETH", "SOL"]), "main_height": 10 + self.dice.below(2), "balances": balances,
            "n": self.number(),
        });
        if self.dice.percent(15) {
            content["dapp"] = json!("SABLIER");
        }
        if self.dice.percent(10) {
            content["chain"] = Value::Null;
        }
        self.decree("balances-update", content, (time, None), touches)
    }

    fn credits(&mut self) -> Step {
        let time = self.time();
        let mut entries = Vec::new();
        let mut touches = Vec::new();
        for _ in 0..=self.dice.below(3) {
            let person = self.dice.below(self.people.len());
            let mut entry = json!({
                "address": self.address(person), "amount": 1 + self.dice.below(5_000_000), "price": "1",
                "tx_hash": "0x1", "provider": "test",
            });
            if self.dice.percent(40) {
                let seconds = EPOCH + [-5, 150_000_000][self.dice.below(2)];
                entry["expiration"] = json!(seconds * 1_000);
            }
            touches.push(add(touch::funds(self.address(person))));
            entries.push(entry);
        }
        let content = json!({
            "distribution": {"token": "ALEPH", "chain": "ETH", "credits": entries}, "n": self.number(),
        });
        let channel = Some("ALEPH_CREDIT");
        self.decree(
            "aleph_credit_distribution",
            content,
            (time, channel),
            touches,
        )
    }

    fn expense(&mut self) -> Step {
        let time = self.time();
        let person = self.dice.below(self.people.len());
        let address = self.address(person).to_owned();
        let amount = 1 + self.dice.below(3_000_000);
        let content = json!({"expense": {"credits": [{"address": address, "amount": amount}]}, "n": self.number()});
        let on = (time, Some("ALEPH_CREDIT"));
        self.decree(
            "aleph_credit_expense",
            content,
            on,
            vec![add(touch::funds(&address))],
        )
    }

    /// Somebody hands over some credits, if there are any.
    fn transfer(&mut self) -> Step {
        let pair = self.pair();
        let time = self.time();
        let sender = self.address(pair.1).to_owned();
        let recipient = self.address((pair.1 + 1) % self.people.len()).to_owned();
        let amount = 1 + self.dice.below(2_000_000);
        let content = json!({
            "address": sender, "time": time, "type": "aleph_credit_transfer",
            "content": {"transfer": {"credits": [{"address": recipient, "amount": amount}]}, "n": self.number()},
        });
        let mut touches = vec![look(touch::funds(&sender))];
        touches.extend([&sender, &recipient].map(|address| add(touch::funds(address))));
        touches.extend(self.delegated(pair));
        let draft = Draft::new(MessageType::Post, content, pair);
        self.publish(
            draft.of(Kind::Post).on(Some("ALEPH_CREDIT")).at(time),
            touches,
        )
    }

    /// A post of the treasurer.
    fn decree(
        &mut self,
        post_type: &str,
        content: Value,
        (time, channel): (i64, Option<&str>),
        touches: Vec<Touch>,
    ) -> Step {
        let content = json!({
            "address": self.treasurer.address(), "time": time, "type": post_type, "content": content,
        });
        let mut draft = Draft::new(MessageType::Post, content, (0, 0));
        draft.sender = None;
        self.publish(draft.of(Kind::Forget).on(channel).at(time), touches)
    }

    fn prices(&mut self) -> Step {
        let mut prices: Value = serde_json::from_str(PRICES).unwrap();
        let per_mib = 1 + self.dice.below(3);
        prices["storage"]["price"]["storage"]["holding"] = json!(format!("0.{per_mib}"));
        prices["storage"]["n"] = json!(self.number());
        let time = self.time();
        let owner = self.treasurer.address().to_owned();
        let content = json!({"address": owner, "time": time, "key": "pricing", "content": prices});
        let effects = [add(touch::elements(&owner, "pricing")), add(PRICE)];
        let mut draft = Draft::new(MessageType::Aggregate, content, (0, 0));
        draft.sender = None;
        self.publish(draft.of(Kind::Forget).at(time), effects)
    }
}

fn file(index: usize) -> (String, Vec<u8>) {
    let bytes = vec![b'a' + index as u8; 1 + index * 7_000];
    (ItemHash::of_bytes(&bytes).to_string(), bytes)
}
