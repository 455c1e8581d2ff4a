//! `volumes` of programs and instances (messages.md §8.6).
//!
//! The kind of a volume is told by its members: `ref` is immutable, `ephemeral`
//! ephemeral, `parent`, `persistence` and `name` persistent; a size alone is
//! ephemeral as far as such volumes go and persistent beyond.

use serde_json::{Value, json};

use super::machine::parent;
use super::scalar::{choice, flag, hash, short_text, size};
use super::walk::{Fields, Walk};
use crate::content::machine::{
    EphemeralVolume, ImmutableVolume, Persistence, PersistentVolume, Volume,
};
use crate::limits;

/// Reads a volume. A faulty one is reported as each kind in turn.
pub(super) fn volume<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Volume> {
    let told = match kind(value) {
        Kind::Immutable => walk.attempt(value, immutable),
        Kind::Ephemeral => walk.attempt(value, ephemeral),
        Kind::Persistent => walk.attempt(value, persistent),
    };
    told.or_else(|| {
        walk.either(
            value,
            &[
                ("ImmutableVolume", immutable),
                ("EphemeralVolume", ephemeral),
                ("PersistentVolume", persistent),
            ],
        )
    })
}

enum Kind {
    Immutable,
    Ephemeral,
    Persistent,
}

fn kind(value: &Value) -> Kind {
    let has = |key: &str| value.get(key).is_some();
    let size_mib = value.get("size_mib").and_then(Value::as_u64);
    let large = size_mib.is_some_and(|size| size > limits::EPHEMERAL_VOLUME_MIB_MAX);
    if has("ref") {
        Kind::Immutable
    } else if has("ephemeral") {
        Kind::Ephemeral
    } else if large || has("parent") || has("persistence") || has("name") {
        Kind::Persistent
    } else {
        Kind::Ephemeral
    }
}

type Labels = (Option<Option<String>>, Option<Option<String>>);

fn labels<'v>(walk: &mut Walk<'v>, fields: Fields<'v>) -> Labels {
    let label = short_text(limits::VOLUME_LABEL_CHARS_MAX);
    (
        fields.nullable(walk, "comment", label),
        fields.nullable(walk, "mount", label),
    )
}

fn immutable<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Volume> {
    let mark = walk.mark();
    let fields = walk.object(value, "ImmutableVolume")?;
    let (comment, mount) = labels(walk, fields);
    let reference = fields.required(walk, "ref", hash);
    let use_latest = fields.optional(walk, "use_latest", flag);
    fields.closed(walk, &["comment", "mount", "ref", "use_latest"]);
    walk.clean(mark)?;
    Some(Volume::Immutable(ImmutableVolume {
        comment: comment?,
        mount: mount?,
        reference: reference?,
        use_latest: use_latest?.unwrap_or(true),
    }))
}

fn ephemeral<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Volume> {
    let mark = walk.mark();
    let fields = walk.object(value, "EphemeralVolume")?;
    let (comment, mount) = labels(walk, fields);
    let ephemeral = fields.optional(walk, "ephemeral", affirmed);
    let size_mib = fields.required(walk, "size_mib", size(limits::EPHEMERAL_VOLUME_MIB_MAX));
    fields.closed(walk, &["comment", "mount", "ephemeral", "size_mib"]);
    walk.clean(mark)?;
    Some(Volume::Ephemeral(EphemeralVolume {
        comment: comment?,
        mount: mount?,
        ephemeral: ephemeral?.unwrap_or(true),
        size_mib: size_mib?,
    }))
}

fn affirmed<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<bool> {
    if value.as_bool() == Some(true) || value.as_f64() == Some(1.0) {
        return Some(true);
    }
    walk.fault(
        "literal_error",
        "Input should be True",
        json!({"expected": "True"}),
    );
    None
}

fn persistent<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Volume> {
    let mark = walk.mark();
    let fields = walk.object(value, "PersistentVolume")?;
    let (comment, mount) = labels(walk, fields);
    let parent = fields.nullable(walk, "parent", parent);
    let persistence = fields.nullable(walk, "persistence", persistence());
    let name = fields.nullable(walk, "name", short_text(limits::VOLUME_LABEL_CHARS_MAX));
    let size_mib = fields.required(walk, "size_mib", size(limits::PERSISTENT_VOLUME_MIB_MAX));
    fields.closed(
        walk,
        &[
            "comment",
            "mount",
            "parent",
            "persistence",
            "name",
            "size_mib",
        ],
    );
    walk.clean(mark)?;
    Some(Volume::Persistent(PersistentVolume {
        comment: comment?,
        mount: mount?,
        parent: parent?,
        persistence: persistence?,
        name: name?,
        size_mib: size_mib?,
    }))
}

/// `host` or `store`.
pub(super) fn persistence<'v>() -> impl Fn(&mut Walk<'v>, &'v Value) -> Option<Persistence> + Copy {
    choice(
        "enum",
        &[("host", Persistence::Host), ("store", Persistence::Store)],
    )
}
