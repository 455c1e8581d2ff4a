//! Revisions of aggregates and what they merge to (processing.md §10).

use beth_protocol::aggregate::{Element, append, merge, prepend};
use beth_protocol::digest::{Fact, Part};
use beth_protocol::json::to_sorted_string;
use beth_protocol::time::Timestamp;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::state::{State, json, object};

/// A revision's place in the order of merging.
type Place = (i64, String);

/// A stored aggregate.
struct Current {
    first: Place,
    last: Place,
    content: String,
    sum: String,
}

impl State<'_> {
    pub(super) fn add_element(
        &self,
        id: i64,
        (owner, key): (&str, &str),
        time: Timestamp,
    ) -> Result<(), Error> {
        self.run(
            "INSERT INTO aggregate_elements (id, owner, key, time) VALUES (?1, ?2, ?3, ?4)",
            (id, self.name(owner)?, self.name(key)?, time.micros()),
        )?;
        Ok(())
    }

    /// Adds a revision. The newest is merged over, one older than all is merged
    /// under; only one in between needs a full merge.
    pub(super) fn add_revision(
        &self,
        owner: &str,
        key: &str,
        element: Element,
    ) -> Result<(), Error> {
        let Some(current) = self.current(owner, key)? else {
            return self.rebuild_aggregate(owner, key);
        };
        let added = (element.time.micros(), element.item_hash);
        let (is_newest, is_oldest) = (added > current.last, added < current.first);
        if !is_newest && !is_oldest {
            return self.rebuild_aggregate(owner, key);
        }
        let mut merged: Map<String, Value> = object(&current.content)?;
        if is_newest {
            append(&mut merged, element.content);
        } else {
            prepend(&mut merged, element.content);
        }
        self.fact_removed(&merged_to((owner, key), &current.last, &current.sum));
        let (first, last) = if is_newest {
            (current.first, added)
        } else {
            (added, current.last)
        };
        self.write_aggregate((owner, key), (first, last), &Value::Object(merged))
    }

    /// Merges all revisions of an aggregate again; without any it disappears.
    pub(crate) fn rebuild_aggregate(&self, owner: &str, key: &str) -> Result<(), Error> {
        if let Some(current) = self.current(owner, key)? {
            self.fact_removed(&merged_to((owner, key), &current.last, &current.sum));
        }
        let mut elements = self.elements(owner, key)?;
        elements.sort_by(|a, b| (a.time, &a.item_hash).cmp(&(b.time, &b.item_hash)));
        let place = |element: &Element| (element.time.micros(), element.item_hash.clone());
        let ends = elements.first().map(place).zip(elements.last().map(place));
        match (ends, merge(elements)) {
            (Some(ends), Some(merged)) => {
                self.write_aggregate((owner, key), ends, &Value::Object(merged))
            }
            _ => {
                self.run(
                    "DELETE FROM aggregates WHERE owner = ?1 AND key = ?2",
                    [owner, key],
                )?;
                self.keep_delegations((owner, key), &Value::Null)
            }
        }
    }

    /// Forgets a revision; its message is deleted already. Answers owner and
    /// key of the aggregate, when that is built.
    pub(crate) fn forget_element(
        &self,
        id: i64,
        content: &Value,
    ) -> Result<Option<(String, String)>, Error> {
        self.run("DELETE FROM aggregate_elements WHERE id = ?1", [id])?;
        let key = content["key"].as_str().or(content["key"]["name"].as_str());
        Ok(match (content["address"].as_str(), key) {
            (Some(owner), Some(key)) if self.is_built(owner, key)? => {
                Some((owner.to_owned(), key.to_owned()))
            }
            _ => None,
        })
    }

    fn is_built(&self, owner: &str, key: &str) -> Result<bool, Error> {
        let found: Option<i64> = self.one(
            "SELECT 1 FROM aggregates WHERE owner = ?1 AND key = ?2",
            [owner, key],
            |row| row.get(0),
        )?;
        Ok(found.is_some())
    }

    /// Every revision of an aggregate, read from its messages, in no order.
    pub fn elements(&self, owner: &str, key: &str) -> Result<Vec<Element>, Error> {
        let rows = self.all(
            "SELECT message.item_hash, element.time, message.body FROM aggregate_elements AS element
             JOIN messages AS message ON message.id = element.id
             WHERE element.owner = (SELECT id FROM names WHERE text = ?1)
             AND element.key = (SELECT id FROM names WHERE text = ?2)",
            [owner, key],
            |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?)),
        )?;
        rows.into_iter()
            .map(|(item_hash, time, body)| {
                let content = match json(&body)?["content"].take() {
                    Value::Object(members) => members,
                    _ => Map::new(),
                };
                Ok(Element {
                    item_hash,
                    time: Timestamp::from_micros(time),
                    content,
                })
            })
            .collect()
    }

    fn current(&self, owner: &str, key: &str) -> Result<Option<Current>, Error> {
        self.one(
            "SELECT created, first_hash, last_updated, last_revision, content, sum FROM aggregates
             WHERE owner = ?1 AND key = ?2",
            [owner, key],
            |row| {
                Ok(Current {
                    first: (row.get(0)?, row.get(1)?),
                    last: (row.get(2)?, row.get(3)?),
                    content: row.get(4)?,
                    sum: row.get(5)?,
                })
            },
        )
    }

    fn write_aggregate(
        &self,
        (owner, key): (&str, &str),
        (first, last): (Place, Place),
        content: &Value,
    ) -> Result<(), Error> {
        let sum = sum_of(content);
        self.fact_added(&merged_to((owner, key), &last, &sum));
        self.run(
            "INSERT INTO aggregates (owner, key, created, last_updated, first_hash, last_revision, content, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (owner, key) DO UPDATE
             SET created = ?3, last_updated = ?4, first_hash = ?5, last_revision = ?6, content = ?7, sum = ?8",
            (owner, key, first.0, last.0, first.1, last.1, content.to_string(), sum),
        )?;
        self.keep_delegations((owner, key), content)
    }
}

/// The hash of a merged content, whatever the order of its members.
pub(crate) fn sum_of(content: &Value) -> String {
    beth_protocol::ItemHash::of_bytes(to_sorted_string(content).as_bytes()).to_string()
}

/// The fact that an aggregate has this content since this revision.
pub(crate) fn merged_to((owner, key): (&str, &str), last: &Place, sum: &str) -> Fact {
    Fact::new(Part::Aggregates, "aggregate")
        .text(owner)
        .text(key)
        .number(last.0)
        .text(&last.1)
        .text(sum)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use beth_protocol::judge::{Complete, Rules, Verdict, judge};
    use beth_protocol::{Chain, ItemHash, ItemType, Message, MessageType};
    use serde_json::json;

    use super::*;
    use crate::Store;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn apply(state: &State<'_>, message_type: MessageType, content: Value) -> ItemHash {
        let text = content.to_string();
        let message = Message {
            sender: "0xA".to_owned(),
            chain: Chain::Eth,
            signature: Some("0x".into()),
            message_type,
            item_type: ItemType::Inline,
            item_hash: ItemHash::of_bytes(text.as_bytes()),
            item_content: Some(text),
            time: NOW,
            channel: None,
        };
        let content = message.inline_content().unwrap().unwrap();
        let complete = Complete::new(message, content);
        let rules = Rules::default();
        let Verdict::Accept(effects) = judge(&complete, state, &rules, NOW).unwrap() else {
            panic!("not accepted: {}", complete.content.raw);
        };
        state.apply(&complete, &effects, &rules, NOW).unwrap();
        complete.message.item_hash
    }

    /// The merged content is written once, however many revisions go.
    #[test]
    fn many_revisions_go_at_once() {
        const COUNT: usize = 40;
        for (forgotten, left) in [(1, 39), (39, 1), (40, 0)] {
            let folder = tempfile::tempdir().unwrap();
            let mut store = Store::open(&folder.path().join("state.sqlite")).unwrap();
            let work = |state: &State<'_>| {
                let revisions: Vec<ItemHash> = (0..COUNT)
                    .map(|number| {
                        let content = json!({"address": "0xA", "time": number, "key": "k",
                            "content": {format!("n{number}"): number}});
                        apply(state, MessageType::Aggregate, content)
                    })
                    .collect();
                state.connection().execute_batch(
                    "CREATE TEMP TABLE writes (at INTEGER);
                     CREATE TEMP TRIGGER changed AFTER UPDATE ON main.aggregates BEGIN INSERT INTO writes VALUES (1); END;
                     CREATE TEMP TRIGGER gone AFTER DELETE ON main.aggregates BEGIN INSERT INTO writes VALUES (1); END;",
                )?;
                let hashes = &revisions[..forgotten];
                let content = json!({"address": "0xA", "time": 100, "hashes": hashes});
                apply(state, MessageType::Forget, content);
                let writes: Option<i64> =
                    state.one("SELECT count(*) FROM writes", [], |row| row.get(0))?;
                assert_eq!(writes, Some(1), "{forgotten} forgotten");
                let current = state.current("0xA", "k")?;
                let merged = current.map_or(0, |found| object(&found.content).unwrap().len());
                assert_eq!(merged, left);
                Ok::<_, Error>(())
            };
            store.writer.transaction(work).unwrap();
            let digests = |state: &State<'_>| {
                assert_eq!(state.digest()?, state.recompute_digest()?);
                Ok::<_, Error>(())
            };
            store.writer.transaction(digests).unwrap();
        }
    }

    /// A message named again is noted again, so often.
    #[test]
    fn what_is_named_again_is_noted_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("state.sqlite")).unwrap();
        let work = |state: &State<'_>| {
            let post = json!({"address": "0xA", "time": 1, "type": "t", "content": {}});
            let hash = apply(state, MessageType::Post, post);
            let content = json!({"address": "0xA", "time": 2, "hashes": vec![&hash; 500]});
            let forget = apply(state, MessageType::Forget, content);
            let by: Option<String> =
                state.one("SELECT forgotten_by FROM forgotten", [], |row| row.get(0))?;
            assert_eq!(json(&by.unwrap())?, json!(vec![forget; 500]));
            Ok::<_, Error>(())
        };
        store.writer.transaction(work).unwrap();
        let digests = |state: &State<'_>| {
            assert_eq!(state.digest()?, state.recompute_digest()?);
            Ok::<_, Error>(())
        };
        store.writer.transaction(digests).unwrap();
    }
}
