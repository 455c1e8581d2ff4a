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
            _ => self
                .run(
                    "DELETE FROM aggregates WHERE owner = ?1 AND key = ?2",
                    [owner, key],
                )
                .map(drop),
        }
    }

    /// Forgets a revision; its message is deleted already.
    pub(crate) fn forget_element(&self, id: i64, content: &Value) -> Result<(), Error> {
        self.run("DELETE FROM aggregate_elements WHERE id = ?1", [id])?;
        let key = content["key"].as_str().or(content["key"]["name"].as_str());
        match (content["address"].as_str(), key) {
            (Some(owner), Some(key)) if self.current(owner, key)?.is_some() => {
                self.rebuild_aggregate(owner, key)
            }
            _ => Ok(()),
        }
    }

    /// Every revision of an aggregate, read from its messages.
    fn elements(&self, owner: &str, key: &str) -> Result<Vec<Element>, Error> {
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
        Ok(())
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
