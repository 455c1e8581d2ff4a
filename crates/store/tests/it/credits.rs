//! Credits: whatever the order of arrival, the lots and the history are the
//! same, and nothing comes from nothing.

use std::collections::BTreeMap;

use beth_protocol::credits::Lot;
use beth_protocol::judge::{Complete, Effects, Rules, Verdict, judge};
use beth_protocol::time::Timestamp;
use beth_protocol::view::View;
use beth_protocol::{Chain, ItemHash, ItemType, Message, MessageType};
use beth_store::query::credits::CreditEvent;
use beth_store::{Error, State, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

const TREASURY: &str = "treasury";
const PEOPLE: [&str; 4] = ["ada", "bob", "cyd", "dan"];
const START: i64 = 1_780_000_000;

fn rules() -> Rules {
    Rules {
        credits_addresses: vec![TREASURY.to_owned()],
        ..Rules::default()
    }
}

fn now() -> Timestamp {
    Timestamp::from_seconds(START + 10)
}

/// A post that nobody signed: signatures are checked before judging.
fn post(sender: &str, kind: &str, seconds: i64, content: Value) -> Complete {
    let content = json!({
        "address": sender, "time": seconds, "type": format!("aleph_credit_{kind}"), "content": content,
    });
    let item_content = content.to_string();
    let message = Message {
        sender: sender.to_owned(),
        chain: Chain::parse("ETH").unwrap(),
        signature: Some("0x".to_owned()),
        message_type: MessageType::Post,
        item_type: ItemType::Inline,
        item_hash: ItemHash::of_bytes(item_content.as_bytes()),
        item_content: Some(item_content),
        time: Timestamp::from_seconds(seconds),
        channel: Some("ALEPH_CREDIT".to_owned()),
    };
    let content = message.inline_content().unwrap().unwrap();
    Complete::new(message, content)
}

/// Deterministic numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % end
    }

    fn person(&mut self) -> &'static str {
        PEOPLE[self.below(4) as usize]
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end as u64 + 1) as usize);
        }
    }

    /// A post at a time within a few seconds, so that many share one.
    fn post(&mut self) -> Complete {
        let seconds = START + self.below(40) as i64;
        let (one, other) = (self.person(), self.person());
        let amount = self.below(100) + 1;
        let ends = (self.below(3) == 0).then(|| (START + self.below(60) as i64) * 1_000);
        match self.below(6) {
            0 | 1 => post(
                TREASURY,
                "distribution",
                seconds,
                json!({"distribution": {
                "token": "t", "chain": "ETH", "credits": [
                    {"address": one, "amount": amount, "price": "1", "tx_hash": "x", "provider": "p", "expiration": ends},
                    {"address": other, "amount": amount + 7, "price": "1", "tx_hash": "x", "provider": "p"}]}}),
            ),
            2 => post(
                TREASURY,
                "expense",
                seconds,
                json!({"expense": {"credits": [
                {"address": one, "amount": amount}, {"address": other, "amount": amount / 3 + 1, "ref": "r"}]}}),
            ),
            _ => {
                let recipients: Vec<Value> = PEOPLE
                    .iter()
                    .filter(|person| **person != one)
                    .take(self.below(2) as usize + 1)
                    .map(|person| json!({"address": person, "amount": amount, "expiration": ends}))
                    .collect();
                let sender = if self.below(8) == 0 { TREASURY } else { one };
                post(
                    sender,
                    "transfer",
                    seconds,
                    json!({"transfer": {"credits": recipients}}),
                )
            }
        }
    }
}

struct Ledger {
    store: Store,
    _folder: TempDir,
}

type Lots = BTreeMap<&'static str, Vec<Lot>>;
type History = BTreeMap<&'static str, Vec<CreditEvent>>;

impl Ledger {
    fn new() -> Ledger {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.sqlite")).unwrap();
        Ledger {
            store,
            _folder: folder,
        }
    }

    fn write<T>(&mut self, work: impl FnOnce(&State<'_>) -> Result<T, Error>) -> T {
        self.store.writer.transaction(work).unwrap()
    }

    /// The effects of a post that is accepted now.
    fn judge(&mut self, complete: &Complete) -> Option<Effects> {
        let verdict = self.write(|state| Ok(judge(complete, state, &rules(), now()).unwrap()));
        match verdict {
            Verdict::Accept(effects) => Some(effects),
            _ => None,
        }
    }

    fn apply(&mut self, posts: &[(Complete, Effects)]) {
        self.write(|state| {
            posts.iter().try_for_each(|(complete, effects)| {
                state.apply(complete, effects, &rules(), complete.message.time)
            })
        });
    }

    fn seen(&mut self) -> (Lots, History) {
        self.write(|state| {
            let mut seen = (Lots::new(), History::new());
            for person in PEOPLE {
                seen.0.insert(person, state.lots_of(person)?);
                seen.1.insert(person, state.credit_history_of(person)?);
            }
            Ok(seen)
        })
    }
}

/// Posts that were accepted one after the other, some older than the one before.
fn accepted(dice: &mut Dice, count: usize) -> (Vec<(Complete, Effects)>, Ledger) {
    let mut ledger = Ledger::new();
    let mut posts = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    for _ in 0..count {
        let complete = dice.post();
        if !known.insert(complete.message.item_hash.to_string()) {
            continue;
        }
        if let Some(effects) = ledger.judge(&complete) {
            let pair = (complete, effects);
            ledger.apply(std::slice::from_ref(&pair));
            posts.push(pair);
        }
    }
    (posts, ledger)
}

#[test]
fn any_order_of_delivery_ends_in_the_same_lots() {
    for seed in 1..=5 {
        let mut dice = Dice(seed * 7_919);
        let (mut posts, mut first) = accepted(&mut dice, 60);
        let expected = first.seen();
        let transfers = expected
            .1
            .values()
            .flatten()
            .filter(|event| event.record.amount < 0);
        assert!(
            posts.len() > 30 && transfers.count() > 5,
            "seed {seed} tries too little"
        );
        for part in [1, 5, posts.len()] {
            dice.shuffle(&mut posts);
            let mut other = Ledger::new();
            posts.chunks(part).for_each(|posts| other.apply(posts));
            assert_eq!(
                other.seen(),
                expected,
                "seed {seed}, {part} posts a transaction"
            );
        }
        posts.sort_by_key(|(complete, _)| complete.message.time);
        let mut sorted = Ledger::new();
        posts
            .iter()
            .for_each(|post| sorted.apply(std::slice::from_ref(post)));
        assert_eq!(sorted.seen(), expected, "seed {seed}, in order");
    }
}

#[test]
fn transfers_mint_nothing() {
    for seed in 1..=5 {
        let (_, mut ledger) = accepted(&mut Dice(seed * 104_729), 60);
        let (lots, history) = ledger.seen();
        let sum = |amounts: &mut dyn Iterator<Item = i64>| amounts.map(i128::from).sum::<i128>();
        let events: Vec<&CreditEvent> = history.values().flatten().collect();
        let stated = |event: &&&CreditEvent| event.record.kind == Default::default();
        let created = sum(&mut events
            .iter()
            .filter(stated)
            .map(|event| event.record.amount.max(0)));
        let charged = sum(&mut events
            .iter()
            .filter(stated)
            .map(|event| event.record.amount.min(0)));
        let handed_over = sum(&mut events
            .iter()
            .filter(|event| !stated(event))
            .map(|event| event.record.amount.max(0)));
        let left = sum(&mut lots.values().flatten().map(|lot| lot.remaining));
        let drained = sum(&mut lots
            .values()
            .flatten()
            .map(|lot| lot.amount - lot.remaining));
        let spent = drained - handed_over;
        assert!(spent >= 0 && spent <= -charged, "seed {seed}");
        assert_eq!(left, created - spent, "seed {seed}");
        assert!(
            lots.values()
                .flatten()
                .all(|lot| lot.remaining >= 0 && lot.remaining <= lot.amount)
        );
    }
}

#[test]
fn an_older_charge_reaches_whoever_was_paid_since() {
    let mut ledger = Ledger::new();
    let grant = json!({"distribution": {"token": "t", "chain": "ETH", "credits": [
        {"address": "ada", "amount": 100, "price": "1", "tx_hash": "x", "provider": "p"}]}});
    let to = |address: &str, amount: u64| json!({"transfer": {"credits": [{"address": address, "amount": amount}]}});
    let charge = json!({"expense": {"credits": [{"address": "ada", "amount": 70}]}});
    let balances = |ledger: &mut Ledger| {
        ledger.write(|state| {
            let balance = |who| state.credit_balance(who, now()).unwrap().to_string();
            Ok([balance("ada"), balance("bob"), balance("cyd")])
        })
    };
    for complete in [
        post(TREASURY, "distribution", START, grant),
        post("ada", "transfer", START + 2, to("bob", 60)),
        post("bob", "transfer", START + 3, to("cyd", 50)),
    ] {
        let effects = ledger.judge(&complete).unwrap();
        ledger.apply(&[(complete, effects)]);
    }
    assert_eq!(balances(&mut ledger), ["40", "10", "50"]);
    let late = post(TREASURY, "expense", START + 1, charge);
    let effects = ledger.judge(&late).unwrap();
    ledger.apply(&[(late, effects)]);
    assert_eq!(balances(&mut ledger), ["0", "0", "30"]);
}

#[test]
fn amounts_of_any_size_are_counted() {
    let mut ledger = Ledger::new();
    let grant = |index: i64, amount: i64| {
        post(
            TREASURY,
            "distribution",
            START + index,
            json!({"distribution": {
            "token": "t", "chain": "ETH", "credits": [
                {"address": "ada", "amount": amount, "price": "1", "tx_hash": "x", "provider": "p"}]}}),
        )
    };
    for complete in [grant(0, i64::MAX), grant(1, i64::MAX)] {
        let effects = ledger.judge(&complete).unwrap();
        ledger.apply(&[(complete, effects)]);
    }
    let balance = ledger.write(|state| Ok(state.credit_balance("ada", now()).unwrap().to_string()));
    assert_eq!(balance, (2 * i128::from(i64::MAX)).to_string());
    let early = post(
        TREASURY,
        "expense",
        1_700_000_000,
        json!({"expense": {"credits": [
        {"address": "ada", "amount": i64::MAX}]}}),
    );
    assert_eq!(
        ledger.judge(&early),
        None,
        "ten thousand times as much is beyond 64 bits"
    );
}
