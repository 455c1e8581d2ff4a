//! The walk over a content: where it stands and what it found wrong.
//!
//! A path is kept as borrowed steps and turned into an owned `loc` only when a
//! fault is noted; a faultless content costs no allocation here.

use serde_json::{Map, Value, json};

use super::SchemaError;
use crate::hash::excerpt_of;
use crate::limits::SCHEMA_FAULTS_MAX;

/// Most characters of a key that a place tells: a key that is just too long
/// for its object is told whole, as on the network.
const KEY_CHARS_MAX: usize = 256;

/// Reads one value into a typed one, or notes at least one fault.
pub(super) type Reader<'v, T> = fn(&mut Walk<'v>, &'v Value) -> Option<T>;

/// One step of a path.
#[derive(Clone, Copy)]
pub(super) enum Step<'v> {
    Key(&'v str),
    Index(usize),
}

/// Position and faults.
#[derive(Default)]
pub(super) struct Walk<'v> {
    path: Vec<Step<'v>>,
    faults: Vec<SchemaError>,
    count: usize,
}

/// How many faults were noted at some moment.
#[derive(Clone, Copy)]
pub(super) struct Mark(usize);

impl<'v> Walk<'v> {
    /// Every fault noted, in the order of the network.
    pub fn into_faults(self) -> Vec<SchemaError> {
        self.faults
    }

    /// Notes a fault here. Of long keys on the way only the beginning is told.
    pub fn fault(&mut self, kind: &str, msg: impl Into<String>, ctx: Value) {
        self.count += 1;
        if self.faults.len() >= SCHEMA_FAULTS_MAX {
            return;
        }
        let loc = self
            .path
            .iter()
            .map(|step| match step {
                Step::Key(key) => Value::from(excerpt_of(KEY_CHARS_MAX, key)),
                Step::Index(index) => Value::from(*index),
            })
            .collect();
        let ctx = if let Value::Object(ctx) = ctx {
            ctx
        } else {
            Map::new()
        };
        self.faults.push(SchemaError {
            kind: kind.into(),
            loc,
            msg: msg.into(),
            ctx,
        });
    }

    /// Notes a broken rule here.
    pub fn broken(&mut self, rule: impl Into<String>) {
        let rule = rule.into();
        self.fault(
            "value_error",
            format!("Value error, {rule}"),
            json!({ "error": rule }),
        );
    }

    /// Remembers how many faults there are.
    pub fn mark(&self) -> Mark {
        Mark(self.count)
    }

    /// `None` if a fault was noted since.
    pub fn clean(&self, mark: Mark) -> Option<()> {
        (self.count == mark.0).then_some(())
    }

    /// True when no further fault would be told: reading on is in vain.
    fn is_full(&self) -> bool {
        self.count > SCHEMA_FAULTS_MAX
    }

    fn forgive(&mut self, mark: Mark) {
        self.faults.truncate(mark.0);
        self.count = mark.0;
    }

    /// Reads one step deeper.
    pub fn within<T>(&mut self, step: Step<'v>, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let read = read(self);
        self.path.pop();
        read
    }

    /// An object; anything else is a fault that names `class`.
    pub fn object(&mut self, value: &'v Value, class: &str) -> Option<Fields<'v>> {
        if let Value::Object(object) = value {
            return Some(Fields { object });
        }
        let msg = format!("Input should be a valid dictionary or instance of {class}");
        self.fault("model_type", msg, json!({ "class_name": class }));
        None
    }

    /// A list of at most `max` items; one item too many hides their faults.
    pub fn list<T>(
        &mut self,
        value: &'v Value,
        max: usize,
        read: impl Fn(&mut Self, &'v Value) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::Array(items) = value else {
            self.fault("list_type", "Input should be a valid list", Value::Null);
            return None;
        };
        if items.len() > max {
            let actual = items.len();
            let msg =
                format!("List should have at most {max} items after validation, not {actual}");
            let ctx = json!({"field_type": "List", "max_length": max, "actual_length": actual});
            self.fault("too_long", msg, ctx);
            return None;
        }
        let mark = self.mark();
        let mut out = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            if self.is_full() {
                return None;
            }
            out.extend(self.within(Step::Index(index), |walk| read(walk, item)));
        }
        self.clean(mark)?;
        Some(out)
    }

    /// Notes a list without items.
    pub fn not_empty<T>(&mut self, items: &[T]) -> Option<()> {
        if items.is_empty() {
            let msg = "List should have at least 1 item after validation, not 0";
            let ctx = json!({"field_type": "List", "min_length": 1, "actual_length": 0});
            self.fault("too_short", msg, ctx);
            return None;
        }
        Some(())
    }

    /// A free object of at most `max` entries.
    pub fn table(&mut self, value: &'v Value, max: usize) -> Option<&'v Map<String, Value>> {
        let Value::Object(object) = value else {
            self.fault(
                "dict_type",
                "Input should be a valid dictionary",
                Value::Null,
            );
            return None;
        };
        if object.len() > max {
            let actual = object.len();
            let msg = format!(
                "Dictionary should have at most {max} items after validation, not {actual}"
            );
            let ctx =
                json!({"field_type": "Dictionary", "max_length": max, "actual_length": actual});
            self.fault("too_long", msg, ctx);
            return None;
        }
        Some(object)
    }

    /// The first alternative that reads without fault. If none does, the
    /// faults of each stay noted under its label.
    pub fn either<T>(
        &mut self,
        value: &'v Value,
        alternatives: &[(&'static str, Reader<'v, T>)],
    ) -> Option<T> {
        let mark = self.mark();
        for (label, read) in alternatives {
            if let Some(read) = self.within(Step::Key(label), |walk| read(walk, value)) {
                self.forgive(mark);
                return Some(read);
            }
        }
        None
    }

    /// Reads, and takes the faults back if it fails.
    pub fn attempt<T>(&mut self, value: &'v Value, read: Reader<'v, T>) -> Option<T> {
        let mark = self.mark();
        let read = read(self, value);
        self.forgive(mark);
        read
    }
}

/// The members of an object.
#[derive(Clone, Copy)]
pub(super) struct Fields<'v> {
    object: &'v Map<String, Value>,
}

impl<'v> Fields<'v> {
    /// The value of a member, unread.
    pub fn raw(&self, key: &str) -> Option<&'v Value> {
        self.object.get(key)
    }

    /// A member that must be there.
    pub fn required<T>(
        &self,
        walk: &mut Walk<'v>,
        key: &'static str,
        read: impl FnOnce(&mut Walk<'v>, &'v Value) -> Option<T>,
    ) -> Option<T> {
        let member = self.object.get(key);
        walk.within(Step::Key(key), |walk| match member {
            Some(value) => read(walk, value),
            None => {
                walk.fault("missing", "Field required", Value::Null);
                None
            }
        })
    }

    /// A member that may be absent, but not `null`.
    pub fn optional<T>(
        &self,
        walk: &mut Walk<'v>,
        key: &'static str,
        read: impl FnOnce(&mut Walk<'v>, &'v Value) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.object.get(key) {
            None => Some(None),
            Some(value) => walk
                .within(Step::Key(key), |walk| read(walk, value))
                .map(Some),
        }
    }

    /// A member that may be absent or `null`.
    pub fn nullable<T>(
        &self,
        walk: &mut Walk<'v>,
        key: &'static str,
        read: impl FnOnce(&mut Walk<'v>, &'v Value) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.object.get(key) {
            None | Some(Value::Null) => Some(None),
            Some(value) => walk
                .within(Step::Key(key), |walk| read(walk, value))
                .map(Some),
        }
    }

    /// Every member that is not `known` is a fault.
    pub fn closed(&self, walk: &mut Walk<'v>, known: &[&str]) {
        for key in self
            .object
            .keys()
            .filter(|key| !known.contains(&key.as_str()))
        {
            if walk.is_full() {
                return;
            }
            walk.within(Step::Key(key), |walk| {
                walk.fault(
                    "extra_forbidden",
                    "Extra inputs are not permitted",
                    Value::Null,
                );
            });
        }
    }
}
