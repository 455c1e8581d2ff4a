//! PROGRAM (messages.md §8.7). The inner objects drop unknown members, except
//! `on`, which is closed.

use serde_json::{Map, Value, json};

use super::environment;
use super::machine::{COMMON, Form, encoding, executable};
use super::scalar::{Coercion, choice, flag, hash, text};
use super::volume::volume;
use super::walk::Walk;
use crate::content::ProgramContent;
use crate::content::machine::Interface;
use crate::content::program::{CodeContent, DataContent, Export, Runtime, Triggers};
use crate::limits;

/// Reads the content of a PROGRAM.
pub(super) fn read<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<ProgramContent> {
    let mark = walk.mark();
    let fields = walk.object(value, "ProgramContent")?;
    let form = Form {
        coercion: Coercion::Lax,
        environment: environment::program,
        volume,
        volumes_max: limits::VOLUMES_MAX,
    };
    let common = executable(walk, fields, &form);
    let machine_type = fields.required(walk, "type", machine_type);
    let code = fields.required(walk, "code", code);
    let runtime = fields.required(walk, "runtime", runtime);
    let data = fields.nullable(walk, "data", data);
    let export = fields.nullable(walk, "export", export);
    let on = fields.required(walk, "on", triggers);
    let own = ["type", "code", "runtime", "data", "export", "on"];
    fields.closed(walk, &[&COMMON[..], &own].concat());
    walk.clean(mark)?;
    let common = common?;
    Some(ProgramContent {
        address: common.address,
        time: common.time,
        allow_amend: common.allow_amend,
        metadata: common.metadata,
        authorized_keys: common.authorized_keys,
        variables: common.variables,
        environment: common.environment,
        resources: common.resources,
        payment: common.payment,
        requirements: common.requirements,
        volumes: common.volumes,
        replaces: common.replaces,
        machine_type: machine_type?,
        code: code?,
        runtime: runtime?,
        data: data?,
        export: export?,
        on: on?,
    })
}

fn machine_type<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<String> {
    if value == "vm-function" {
        return Some("vm-function".into());
    }
    let expected = "<MachineType.vm_function: 'vm-function'>";
    walk.fault(
        "literal_error",
        format!("Input should be {expected}"),
        json!({ "expected": expected }),
    );
    None
}

fn code<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<CodeContent> {
    let mark = walk.mark();
    let fields = walk.object(value, "CodeContent")?;
    let encoding = fields.required(walk, "encoding", encoding());
    let entrypoint = fields.required(walk, "entrypoint", text);
    let reference = fields.required(walk, "ref", hash);
    let interface = fields.nullable(
        walk,
        "interface",
        choice(
            "enum",
            &[("asgi", Interface::Asgi), ("binary", Interface::Binary)],
        ),
    );
    let args = fields.nullable(walk, "args", |walk, value| {
        walk.list(value, usize::MAX, text)
    });
    let use_latest = fields.optional(walk, "use_latest", flag);
    walk.clean(mark)?;
    Some(CodeContent {
        encoding: encoding?,
        entrypoint: entrypoint?,
        reference: reference?,
        interface: interface?,
        args: args?,
        use_latest: use_latest?.unwrap_or_default(),
    })
}

fn runtime<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Runtime> {
    let mark = walk.mark();
    let fields = walk.object(value, "FunctionRuntime")?;
    let reference = fields.required(walk, "ref", hash);
    let use_latest = fields.optional(walk, "use_latest", flag);
    let comment = fields.required(walk, "comment", text);
    walk.clean(mark)?;
    Some(Runtime {
        reference: reference?,
        use_latest: use_latest?.unwrap_or(true),
        comment: comment?,
    })
}

fn data<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<DataContent> {
    let mark = walk.mark();
    let fields = walk.object(value, "DataContent")?;
    let encoding = fields.required(walk, "encoding", encoding());
    let mount = fields.required(walk, "mount", text);
    let reference = fields.required(walk, "ref", hash);
    // Absent is false, null stays null.
    let use_latest = match fields.raw("use_latest") {
        None => Some(Some(false)),
        Some(_) => fields.nullable(walk, "use_latest", flag),
    };
    walk.clean(mark)?;
    Some(DataContent {
        encoding: encoding?,
        mount: mount?,
        reference: reference?,
        use_latest: use_latest?,
    })
}

fn export<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Export> {
    let mark = walk.mark();
    let fields = walk.object(value, "Export")?;
    let encoding = fields.required(walk, "encoding", encoding());
    let mount = fields.required(walk, "mount", text);
    walk.clean(mark)?;
    Some(Export {
        encoding: encoding?,
        mount: mount?,
    })
}

fn triggers<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Triggers> {
    let mark = walk.mark();
    let fields = walk.object(value, "FunctionTriggers")?;
    let http = fields.required(walk, "http", flag);
    let message = fields.nullable(walk, "message", |walk, value| {
        walk.list(value, usize::MAX, subscription)
    });
    let persistent = fields.nullable(walk, "persistent", flag);
    fields.closed(walk, &["http", "message", "persistent"]);
    walk.clean(mark)?;
    Some(Triggers {
        http: http?,
        message: message?,
        persistent: persistent?,
    })
}

fn subscription<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Map<String, Value>> {
    walk.object(value, "Subscription")?;
    let keys = value.as_object()?;
    if keys.len() > limits::SUBSCRIPTION_KEYS_MAX {
        walk.broken(format!(
            "Subscription has {} entries, maximum allowed is {}",
            keys.len(),
            limits::SUBSCRIPTION_KEYS_MAX
        ));
        return None;
    }
    Some(keys.clone())
}
