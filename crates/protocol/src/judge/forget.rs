//! FORGET (processing.md §13).
//!
//! ```text
//!  hashes, keys ─▶ targets, each once ─▶ 501 ─▶ permission ─▶ 503 ─▶ effects
//!                  read, checked, let go
//! ```
//!
//! Every target is read and checked once, however often it is named; a hash
//! named again only counts. The amends of a post follow it where it is first
//! named, unless they are gone by then: `[amend, original]` deletes the amend
//! once. While a target is missing the FORGET waits for it, whatever may be said
//! of the others: else the answer would depend on the order in which they come.
//! An aggregate that is never built cannot be named, only its elements.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{Complete, Effect, Effects, Stop};
use crate::content::{Content, ForgetContent};
use crate::message::{Message, MessageType};
use crate::permissions::{Action, may_act};
use crate::rejection::{Code, Rejection};
use crate::view::{KnownMessage, View, ViewError};

pub(super) fn judge<V: View>(
    complete: &Complete,
    forget: &ForgetContent,
    view: &V,
    effects: &mut Effects,
) -> Result<(), Stop> {
    let message = &complete.message;
    if forget.hashes.is_empty() && forget.aggregates.is_empty() {
        return Err(Rejection::bare(Code::ForgetNoTarget).into());
    }
    let mut targets = Targets::default();
    for hash in &forget.hashes {
        match gone(complete, hash.as_str(), view)? {
            Some(gone) => targets.add_gone(gone),
            None => targets.add_message(hash.as_str(), (&message.sender, view))?,
        }
    }
    let mut keys = BTreeSet::new();
    for key in &forget.aggregates {
        if keys.insert(key) {
            targets.add_aggregate((&forget.address, key), (&message.sender, view))?;
        }
    }
    match targets.missing.or(targets.denied).or(targets.used) {
        Some(refusal) => Err(refusal.into()),
        None => Ok(push_effects(targets.list, view, effects)?),
    }
}

/// The envelope of a target that is not in force here and is forgotten where
/// this FORGET comes from: only if it had the same sender, whom nobody could
/// have refused. So a node that comes late needs no target to agree.
fn gone<'a, V: View>(
    complete: &'a Complete,
    hash: &str,
    view: &V,
) -> Result<Option<&'a Message>, ViewError> {
    let sender = complete.message.sender.to_lowercase();
    let gone = complete.gone.iter().find(|gone| {
        gone.item_hash.as_str() == hash
            && gone.message_type != MessageType::Forget
            && gone.sender.to_lowercase() == sender
    });
    match gone {
        Some(gone) if view.message(hash)?.is_none() => Ok(Some(gone)),
        _ => Ok(None),
    }
}

/// A message to delete.
struct Target {
    item_hash: String,
    /// Its envelope, when it was deleted elsewhere.
    gone: Option<Box<Message>>,
    is_post: bool,
    /// How often it is named again.
    repeats: usize,
}

/// Messages to delete, in the order in which they are first named.
#[derive(Default)]
struct Targets {
    list: Vec<Target>,
    /// Place in the list by hash; `None`: there is no such message.
    places: BTreeMap<String, Option<usize>>,
    /// The first that is not there.
    missing: Option<Rejection>,
    /// The first that the sender may not delete.
    denied: Option<Rejection>,
    /// The first that a machine uses.
    used: Option<Rejection>,
}

impl Targets {
    fn add_message<V: View>(&mut self, hash: &str, (sender, view): (&str, &V)) -> Result<(), Stop> {
        if self.count(hash) {
            return Ok(());
        }
        if !self.add(hash, (sender, view))? {
            let errors = vec![json!({"message": hash})];
            let missing = Rejection::with(Code::ForgetTargetNotFound, errors);
            self.missing.get_or_insert(missing);
        } else if let (None, Some(machine)) = (&self.used, view.machine_using(hash)?) {
            let text = format!("File {hash} used on vm {machine}");
            self.used = Some(Rejection::text(Code::ForgetNotAllowed, text));
        }
        Ok(())
    }

    fn add_gone(&mut self, message: &Message) {
        let item_hash = message.item_hash.to_string();
        if self.count(&item_hash) {
            return;
        }
        self.places.insert(item_hash.clone(), Some(self.list.len()));
        self.list.push(Target {
            item_hash,
            gone: Some(Box::new(message.clone())),
            is_post: false,
            repeats: 0,
        });
    }

    fn add_aggregate<V: View>(
        &mut self,
        (owner, key): (&str, &str),
        (sender, view): (&str, &V),
    ) -> Result<(), Stop> {
        if view.aggregate(owner, key)?.is_none() {
            let errors = vec![json!({"aggregate": key})];
            let missing = Rejection::with(Code::ForgetTargetNotFound, errors);
            self.missing.get_or_insert(missing);
            return Ok(());
        }
        for hash in view.aggregate_elements(owner, key)? {
            if !self.count(&hash) {
                self.add(&hash, (sender, view))?;
            }
        }
        Ok(())
    }

    /// True when it was named before; that is counted.
    fn count(&mut self, hash: &str) -> bool {
        let Some(place) = self.places.get(hash) else {
            return false;
        };
        if let Some(target) = place.and_then(|place| self.list.get_mut(place)) {
            target.repeats += 1;
        }
        true
    }

    /// Reads a target that was not named before and checks the permission to
    /// delete it; false when there is no such message.
    fn add<V: View>(&mut self, hash: &str, (sender, view): (&str, &V)) -> Result<bool, Stop> {
        let Some(known) = view.message(hash)? else {
            self.places.insert(hash.to_owned(), None);
            return Ok(false);
        };
        match check(sender, hash, &known, view) {
            Err(Stop::Refuse(denied)) => drop(self.denied.get_or_insert(denied)),
            other => other?,
        }
        self.places.insert(hash.to_owned(), Some(self.list.len()));
        self.list.push(Target {
            item_hash: hash.to_owned(),
            gone: None,
            is_post: known.message.message_type == MessageType::Post,
            repeats: 0,
        });
        Ok(true)
    }
}

fn push_effects<V: View>(
    targets: Vec<Target>,
    view: &V,
    effects: &mut Effects,
) -> Result<(), ViewError> {
    let mut gone = BTreeSet::new();
    for target in targets {
        let Target {
            item_hash,
            gone: envelope,
            is_post,
            repeats,
        } = target;
        let is_first = gone.insert(item_hash.clone());
        let times = repeats + usize::from(!is_first);
        let amends = match is_post {
            true => view.amends(&item_hash)?,
            false => Vec::new(),
        };
        if is_first {
            let item_hash = item_hash.clone();
            effects.push(match envelope {
                Some(message) => Effect::ForgetGone { message },
                None => Effect::Forget { item_hash },
            });
        }
        if times > 0 {
            effects.push(Effect::ForgetAgain { item_hash, times });
        }
        for item_hash in amends {
            if gone.insert(item_hash.clone()) {
                effects.push(Effect::Forget { item_hash });
            }
        }
    }
    Ok(())
}

/// The sender must be able to create the target under its owner's permissions.
fn check<V: View>(sender: &str, hash: &str, target: &KnownMessage, view: &V) -> Result<(), Stop> {
    if target.message.message_type == MessageType::Forget {
        return Err(Rejection::with(Code::ForgetForget, vec![json!({"message": hash})]).into());
    }
    let owner = target.content["address"]
        .as_str()
        .unwrap_or(&target.message.sender);
    let allowed = match Content::parse(target.message.message_type, &target.content) {
        Ok(content) => may_act(view, sender, owner, Action::of(&target.message, &content))?,
        Err(_) => sender.to_lowercase() == owner.to_lowercase(),
    };
    if allowed {
        return Ok(());
    }
    Err(Rejection::text(
        Code::PermissionDenied,
        format!(
            "Sender {sender} is not authorized to forget message {hash} owned by {owner}: the sender could not \
             have created this target under the owner's security aggregate"
        ),
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Known, complete};
    use super::super::{Rules, Verdict, judge};
    use super::*;
    use crate::time::Timestamp;
    use serde_json::Value;

    fn verdict(view: &Known, sender: &str, targets: Value) -> Verdict {
        let mut content = json!({"hashes": []});
        if let (Value::Object(content), Value::Object(targets)) = (&mut content, targets) {
            content.extend(targets);
        }
        content["address"] = "0xA".into();
        content["time"] = 1.into();
        let forget = complete("FORGET", sender, content);
        judge(&forget, view, &Rules::default(), Timestamp::from_seconds(1))
            .expect("this state can be read")
    }

    fn code(view: &Known, sender: &str, targets: Value) -> Option<Code> {
        match verdict(view, sender, targets) {
            Verdict::Wait(rejection) | Verdict::Reject(rejection) => Some(rejection.code),
            _ => None,
        }
    }

    /// How often each of the messages is deleted, noted again included.
    fn counts(verdict: Verdict, hashes: &[&str]) -> Vec<usize> {
        let Verdict::Accept(effects) = verdict else {
            panic!("{verdict:?}");
        };
        let mut counts = vec![0; hashes.len()];
        for effect in effects {
            let (hash, times) = match &effect {
                Effect::Forget { item_hash } => (item_hash, 1),
                Effect::ForgetAgain { item_hash, times } => (item_hash, *times),
                other => panic!("{other:?}"),
            };
            let place = hashes.iter().position(|known| known == hash);
            let count = &mut counts[place.expect("a target")];
            assert_eq!(*count == 0, matches!(effect, Effect::Forget { .. }));
            *count += times;
        }
        counts
    }

    #[test]
    fn what_is_gone_elsewhere_is_forgotten_by_its_sender_alone() {
        let target = complete(
            "POST",
            "0xa",
            json!({"address": "0xA", "time": 1, "type": "t"}),
        );
        let hashes = json!([target.message.item_hash]);
        let forget = |sender: &str, gone: Vec<Message>| {
            let content = json!({"address": "0xA", "time": 1, "hashes": hashes});
            let mut forget = complete("FORGET", sender, content);
            forget.gone = gone;
            forget
        };
        let judged = |forget: &Complete, view: &Known| {
            judge(forget, view, &Rules::default(), Timestamp::from_seconds(1))
                .expect("this state can be read")
        };
        let empty = Known::default();
        let known = vec![target.message.clone()];
        let Verdict::Accept(effects) = judged(&forget("0xA", known.clone()), &empty) else {
            panic!("its sender may");
        };
        assert!(matches!(&effects[..], [Effect::ForgetGone { message }] if **message == known[0]));
        for refused in [forget("0xB", known.clone()), forget("0xA", Vec::new())] {
            assert!(matches!(judged(&refused, &empty), Verdict::Wait(_)));
        }
        let mut chain = known;
        chain[0].message_type = MessageType::Forget;
        assert!(matches!(
            judged(&forget("0xA", chain), &empty),
            Verdict::Wait(_)
        ));
    }

    #[test]
    fn every_target_goes_once_and_takes_its_amends_along() {
        let mut view = Known::default();
        let original = &*view.add_post("0xA", 1, None);
        let amend = &*view.add_post("0xA", 2, Some(original));
        let other = &*view.add_post("0xA", 3, Some(original));
        for (hashes, expected) in [
            (json!([original]), [1, 1, 1]),
            (json!([amend]), [0, 1, 0]),
            (json!([amend, original]), [1, 1, 1]),
            (json!([original, amend]), [1, 2, 1]),
            (json!([original, original]), [2, 1, 1]),
            (json!([amend, original, amend]), [1, 2, 1]),
            (json!([original, amend, amend, original]), [2, 3, 1]),
        ] {
            let verdict = verdict(&view, "0xA", json!({"hashes": &hashes}));
            let found = counts(verdict, &[original, amend, other]);
            assert_eq!(found, expected, "{hashes}");
        }
    }

    /// An aggregate of `count` elements.
    fn add_aggregate(view: &mut Known, owner: &str, key: &str, count: u64) -> Vec<String> {
        let elements: Vec<String> = (0..count)
            .map(|time| {
                let content = json!({"address": owner, "time": time, "key": key, "content": {}});
                view.add(&complete("AGGREGATE", owner, content))
            })
            .collect();
        let place = (owner.to_owned(), key.to_owned());
        view.aggregates.insert(place.clone(), json!({}));
        view.elements.insert(place, elements.clone());
        elements
    }

    #[test]
    fn what_is_named_again_is_not_read_again() {
        let key = "0".repeat(64);
        let mut view = Known::default();
        let elements = add_aggregate(&mut view, "0xA", &key, 3);
        let hashes: Vec<&str> = elements.iter().map(String::as_str).collect();
        let unknown = "f".repeat(64);
        for (targets, reads, expected) in [
            (json!({"aggregates": vec![&key; 1_000]}), 3, Some([1, 1, 1])),
            (
                json!({"hashes": vec![hashes[0]; 1_000]}),
                1,
                Some([1_000, 0, 0]),
            ),
            (
                json!({"hashes": [hashes[0]], "aggregates": [&key]}),
                3,
                Some([2, 1, 1]),
            ),
            (json!({"hashes": vec![&unknown; 1_000]}), 1, None),
        ] {
            view.reads.set(0);
            let verdict = verdict(&view, "0xA", targets);
            // One more look tells whether the FORGET itself is known.
            assert_eq!(view.reads.get(), reads + 1);
            if let Some(expected) = expected {
                assert_eq!(counts(verdict, &hashes), expected);
            }
        }
    }

    #[test]
    fn what_is_missing_comes_first_then_permissions() {
        let key = "0".repeat(64);
        let unbuilt = "1".repeat(64);
        let unknown = "f".repeat(64);
        let mut view = Known::default();
        let elements = add_aggregate(&mut view, "0xA", &key, 1);
        add_aggregate(&mut view, "0xA", &unbuilt, 1);
        let place = ("0xA".to_owned(), unbuilt.clone());
        view.aggregates.remove(&place);
        let mine = &*view.add_post("0xA", 1, None);
        let used = &*view.add_post("0xA", 2, None);
        view.used.push(used.to_owned());
        let forget = complete(
            "FORGET",
            "0xA",
            json!({"address": "0xA", "time": 1, "hashes": [mine]}),
        );
        let forget = &*view.add(&forget);
        use Code::*;
        for (sender, targets, expected) in [
            ("0xA", json!({"hashes": [mine], "aggregates": [&key]}), None),
            (
                "0xA",
                json!({"hashes": [&unknown]}),
                Some(ForgetTargetNotFound),
            ),
            (
                "0xA",
                json!({"hashes": [used, &unknown]}),
                Some(ForgetTargetNotFound),
            ),
            (
                "0xA",
                json!({"hashes": [&unknown, used]}),
                Some(ForgetTargetNotFound),
            ),
            (
                "0xA",
                json!({"hashes": [&unknown, forget]}),
                Some(ForgetTargetNotFound),
            ),
            (
                "0xA",
                json!({"aggregates": [&unbuilt]}),
                Some(ForgetTargetNotFound),
            ),
            (
                "0xA",
                json!({"aggregates": [&unknown]}),
                Some(ForgetTargetNotFound),
            ),
            ("0xA", json!({"hashes": [used]}), Some(ForgetNotAllowed)),
            ("0xA", json!({"hashes": [used, forget]}), Some(ForgetForget)),
            ("0xB", json!({"hashes": [used]}), Some(PermissionDenied)),
            (
                "0xB",
                json!({"hashes": [&unknown, mine]}),
                Some(ForgetTargetNotFound),
            ),
            (
                "0xB",
                json!({"hashes": [&unknown], "aggregates": [&key]}),
                Some(ForgetTargetNotFound),
            ),
            (
                "0xB",
                json!({"hashes": [&unknown]}),
                Some(ForgetTargetNotFound),
            ),
        ] {
            let found = code(&view, sender, targets.clone());
            assert_eq!(found, expected, "{sender} {targets}");
        }
        assert_eq!(elements.len(), 1);
    }
}
