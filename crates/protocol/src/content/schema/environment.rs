//! `environment` of functions and instances (messages.md §8.6). Unknown
//! members are dropped.

use serde_json::Value;

use super::scalar::{choice, flag};
use super::trusted::trusted_execution;
use super::walk::{Step, Walk};
use crate::content::machine::{
    FunctionEnvironment, Hypervisor, InstanceEnvironment, InstanceMembers,
};

/// Reads the environment of an instance.
pub(super) fn instance<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<InstanceEnvironment> {
    let mark = walk.mark();
    let fields = walk.object(value, "InstanceEnvironment")?;
    let internet = fields.optional(walk, "internet", flag);
    let aleph_api = fields.optional(walk, "aleph_api", flag);
    let hypervisor = fields.nullable(
        walk,
        "hypervisor",
        choice(
            "enum",
            &[
                ("qemu", Hypervisor::Qemu),
                ("firecracker", Hypervisor::Firecracker),
            ],
        ),
    );
    let trusted_execution = fields.nullable(walk, "trusted_execution", |walk, value| {
        if !is_blank(value) && hypervisor != Some(Some(Hypervisor::Qemu)) {
            walk.broken("Trusted Execution Environment is only supported for QEmu");
            return None;
        }
        trusted_execution(walk, value)
    });
    let reproducible = fields.optional(walk, "reproducible", flag);
    let shared_cache = fields.optional(walk, "shared_cache", flag);
    walk.clean(mark)?;
    Some(InstanceEnvironment {
        internet: internet?.unwrap_or_default(),
        aleph_api: aleph_api?.unwrap_or_default(),
        hypervisor: hypervisor?,
        trusted_execution: trusted_execution?,
        reproducible: reproducible?.unwrap_or_default(),
        shared_cache: shared_cache?.unwrap_or_default(),
    })
}

/// Empty, zero or false: asks for nothing.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        other => other.is_null() || other == false || other.as_f64() == Some(0.0),
    }
}

/// Reads the environment of a program: the instance form if it has a member
/// of its own and no fault, else the function form.
pub(super) fn program<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<FunctionEnvironment> {
    let own = ["hypervisor", "trusted_execution"]
        .iter()
        .any(|key| value.get(key).is_some());
    if own && let Some(read) = walk.attempt(value, instance) {
        return Some(FunctionEnvironment {
            reproducible: read.reproducible,
            internet: read.internet,
            aleph_api: read.aleph_api,
            shared_cache: read.shared_cache,
            instance: Some(InstanceMembers {
                hypervisor: read.hypervisor,
                trusted_execution: read.trusted_execution,
            }),
        });
    }
    let mark = walk.mark();
    let read = walk.within(Step::Key("FunctionEnvironment"), |walk| {
        function(walk, value)
    });
    if walk.clean(mark).is_none() {
        walk.within(Step::Key("InstanceEnvironment"), |walk| {
            instance(walk, value)
        });
    }
    read
}

fn function<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<FunctionEnvironment> {
    let mark = walk.mark();
    let fields = walk.object(value, "FunctionEnvironment")?;
    let reproducible = fields.optional(walk, "reproducible", flag);
    let internet = fields.optional(walk, "internet", flag);
    let aleph_api = fields.optional(walk, "aleph_api", flag);
    let shared_cache = fields.optional(walk, "shared_cache", flag);
    walk.clean(mark)?;
    Some(FunctionEnvironment {
        reproducible: reproducible?.unwrap_or_default(),
        internet: internet?.unwrap_or_default(),
        aleph_api: aleph_api?.unwrap_or_default(),
        shared_cache: shared_cache?.unwrap_or_default(),
        instance: None,
    })
}
