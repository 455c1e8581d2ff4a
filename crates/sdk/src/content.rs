//! Contents of messages, ready to be signed (messages.md §8).
//!
//! Every default of the schema is written out and no field is null: released
//! clients refuse to read a PROGRAM whose text says less or more than its
//! parsed form (messages.md §8.7). What users put inside (a post's content, an
//! aggregate's members) is left alone.

use beth_protocol::content::machine::{
    Encoding, FunctionEnvironment, Interface, MachineResources, Volume,
};
use beth_protocol::content::program::{CodeContent, Runtime, Triggers};
use beth_protocol::content::{Payment, PaymentType, ProgramContent};
use beth_protocol::{Chain, ItemHash};
use serde_json::{Map, Value, json};

/// Channel of programs and files: the one that upstream's clients and consoles
/// look into.
pub const DEFAULT_CHANNEL: &str = "ALEPH-CLOUDSOLUTIONS";

/// STORE message of the Python runtime that every client names by default.
pub const DEFAULT_RUNTIME: &str =
    "63f07193e6ee9d207b7d1fcf8286f9aee34e6f12f101d2ec77c1229f92964696";

/// What a STORE message says beside the file's hash.
#[derive(Clone, Debug, Default)]
pub struct StoreDraft {
    /// Namespace of the message.
    pub channel: Option<String>,
    /// First version of the file, or a label of the owner.
    pub reference: Option<String>,
    /// Informational, e.g. `text/plain`.
    pub content_type: Option<String>,
}

/// What a PROGRAM message says.
#[derive(Clone, Debug)]
pub struct ProgramDraft {
    /// Shown by explorers.
    pub name: Option<String>,
    /// STORE message of the code.
    pub code: ItemHash,
    /// How the code is packed.
    pub encoding: Encoding,
    /// `module:attribute`, or a file name.
    pub entrypoint: String,
    /// How it is called.
    pub interface: Interface,
    /// STORE message of the root filesystem.
    pub runtime: ItemHash,
    /// Words about the root filesystem.
    pub runtime_comment: String,
    /// Follow updates of the root filesystem.
    pub runtime_updates: bool,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Virtual CPUs.
    pub vcpus: u64,
    /// Longest time a call may take.
    pub timeout_seconds: u64,
    /// Further disks.
    pub volumes: Vec<Volume>,
    /// Environment variables.
    pub variables: Map<String, Value>,
}

/// Content of a POST. An amend has type `amend` and the original as reference.
pub fn post(owner: &str, post_type: &str, inner: Value, reference: Option<&str>) -> Value {
    let mut content = json!({"address": owner, "time": crate::now().to_json(), "content": inner, "type": post_type});
    if let Some(reference) = reference {
        content["ref"] = reference.into();
    }
    content
}

/// Content of an AGGREGATE: members to merge over the key.
pub fn aggregate(owner: &str, key: &str, members: Map<String, Value>) -> Value {
    json!({"address": owner, "time": crate::now().to_json(), "key": key, "content": members})
}

/// Content of a STORE.
pub fn store(owner: &str, file: &ItemHash, draft: &StoreDraft) -> Value {
    let item_type = beth_protocol::ItemType::from(file.kind());
    let mut content = json!({
        "address": owner,
        "time": crate::now().to_json(),
        "item_type": item_type.as_str(),
        "item_hash": file.as_str(),
    });
    if let Some(reference) = &draft.reference {
        content["ref"] = reference.as_str().into();
    }
    if let Some(content_type) = &draft.content_type {
        content["content_type"] = content_type.as_str().into();
    }
    content
}

/// Content of a FORGET.
pub fn forget(
    owner: &str,
    hashes: &[ItemHash],
    aggregates: &[String],
    reason: Option<&str>,
) -> Value {
    let mut content = json!({
        "address": owner,
        "time": crate::now().to_json(),
        "hashes": hashes,
        "aggregates": aggregates,
    });
    if let Some(reason) = reason {
        content["reason"] = reason.into();
    }
    content
}

/// Content of a PROGRAM that answers HTTP requests, paid by holding tokens.
pub fn program(owner: &str, draft: &ProgramDraft) -> Value {
    let metadata = draft
        .name
        .as_ref()
        .map(|name| Map::from_iter([("name".to_owned(), name.as_str().into())]));
    let content = ProgramContent {
        address: owner.to_owned(),
        time: crate::now().seconds_f64(),
        allow_amend: false,
        metadata,
        authorized_keys: None,
        variables: (!draft.variables.is_empty()).then(|| draft.variables.clone()),
        environment: FunctionEnvironment {
            internet: true,
            aleph_api: true,
            ..FunctionEnvironment::default()
        },
        resources: MachineResources {
            vcpus: draft.vcpus,
            memory: draft.memory_mib,
            seconds: draft.timeout_seconds,
            published_ports: None,
        },
        payment: Some(Payment {
            chain: Some(Chain::Eth),
            receiver: None,
            payment_type: PaymentType::Hold,
        }),
        requirements: None,
        volumes: draft.volumes.clone(),
        replaces: None,
        machine_type: "vm-function".to_owned(),
        code: CodeContent {
            encoding: draft.encoding,
            entrypoint: draft.entrypoint.clone(),
            reference: draft.code.clone(),
            interface: Some(draft.interface),
            args: None,
            use_latest: false,
        },
        runtime: Runtime {
            reference: draft.runtime.clone(),
            use_latest: draft.runtime_updates,
            comment: draft.runtime_comment.clone(),
        },
        data: None,
        export: None,
        on: Triggers {
            http: true,
            message: None,
            persistent: Some(false),
        },
    };
    without_nulls(serde_json::to_value(content).unwrap_or(Value::Null))
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(_, member)| !member.is_null())
                .map(|(key, member)| (key, without_nulls(member)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use beth_protocol::{Content, MessageType};

    const OWNER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

    fn draft() -> ProgramDraft {
        ProgramDraft {
            name: Some("hello".into()),
            code: ItemHash::of_bytes(b"code"),
            encoding: Encoding::Zip,
            entrypoint: "main:app".into(),
            interface: Interface::Asgi,
            runtime: ItemHash::parse(DEFAULT_RUNTIME).unwrap(),
            runtime_comment: "Python".into(),
            runtime_updates: true,
            memory_mib: 128,
            vcpus: 1,
            timeout_seconds: 30,
            volumes: Vec::new(),
            variables: Map::from_iter([("A".to_owned(), "b".into())]),
        }
    }

    #[test]
    fn contents_satisfy_the_schema() {
        let file = ItemHash::of_bytes(b"file");
        let store_draft = StoreDraft {
            reference: Some("label".into()),
            ..StoreDraft::default()
        };
        for (message_type, content) in [
            (
                MessageType::Post,
                post(OWNER, "note", json!({"a": null}), Some("ref")),
            ),
            (MessageType::Post, post(OWNER, "note", Value::Null, None)),
            (MessageType::Aggregate, aggregate(OWNER, "key", Map::new())),
            (MessageType::Store, store(OWNER, &file, &store_draft)),
            (
                MessageType::Forget,
                forget(OWNER, std::slice::from_ref(&file), &[], Some("why")),
            ),
            (MessageType::Program, program(OWNER, &draft())),
        ] {
            let parsed = Content::parse(message_type, &content).unwrap();
            assert_eq!(parsed.address(), OWNER);
            assert!((parsed.time() - crate::now().seconds_f64()).abs() < 60.0);
        }
    }

    /// The rule of messages.md §8.7: parsed and dumped without nulls, with
    /// defaults, a PROGRAM equals its own text.
    #[test]
    fn a_program_says_neither_less_nor_more_than_its_parsed_form() {
        let content = program(OWNER, &draft());
        let parsed = Content::parse(MessageType::Program, &content).unwrap();
        assert_eq!(
            without_nulls(serde_json::to_value(parsed).unwrap()),
            content
        );
        for path in [
            "/environment/shared_cache",
            "/environment/reproducible",
            "/environment/internet",
            "/environment/aleph_api",
            "/code/use_latest",
            "/runtime/use_latest",
            "/resources/seconds",
            "/volumes",
            "/on/persistent",
        ] {
            assert!(
                content.pointer(path).is_some_and(|value| !value.is_null()),
                "{path}"
            );
        }
        assert!(!content.to_string().contains("null"));
    }

    #[test]
    fn a_post_keeps_the_nulls_of_its_user() {
        assert_eq!(
            post(OWNER, "t", json!({"a": null}), None)["content"],
            json!({"a": null})
        );
    }
}
