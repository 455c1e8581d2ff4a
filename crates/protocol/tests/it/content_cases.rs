//! The schema of contents against recorded verdicts of upstream's schema 1.7.0,
//! and against arbitrary JSON.

use std::sync::LazyLock;

use beth_protocol::content::machine::Volume;
use beth_protocol::content::{Content, SchemaError};
use beth_protocol::{Message, MessageType};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::vector;

static CASES: LazyLock<Vec<Value>> =
    LazyLock::new(|| serde_json::from_value(vector("messages/content_cases.json")).unwrap());

/// Cases where this node decides otherwise, and why.
const DECISIONS: [(&str, &str, bool, &str); 2] = [
    (
        "POST",
        "time numeric string",
        false,
        "upstream's schema takes it, its node then crashes (§8.0)",
    ),
    (
        "FORGET",
        "aggregates plain key",
        true,
        "keys of aggregates are no hashes (§8.5, §13)",
    ),
];

fn parse(message_type: &str, content: &Value) -> Result<Content, Vec<SchemaError>> {
    Content::parse(MessageType::parse(message_type).unwrap(), content)
}

/// Drops null members, except in the objects that users fill as they like.
fn without_nulls(value: Value) -> Value {
    const FREE: [&str; 4] = ["content", "metadata", "variables", "message"];
    match value {
        Value::Object(members) => {
            let kept = members
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| {
                    let value = if FREE.contains(&key.as_str()) {
                        value
                    } else {
                        without_nulls(value)
                    };
                    (key, value)
                });
            Value::Object(kept.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// Equal as the network's clients compare: `1 == 1.0 == true`, order of
/// members is nothing.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| same(left, right))
        }
        _ => left == right || (number(left).is_some() && number(left) == number(right)),
    }
}

fn number(value: &Value) -> Option<f64> {
    value
        .as_f64()
        .or_else(|| value.as_bool().map(|flag| f64::from(u8::from(flag))))
}

fn volume_kind(content: &Content) -> Option<&'static str> {
    let volumes = match content {
        Content::Program(program) => &program.volumes,
        Content::Instance(instance) => &instance.volumes,
        _ => return None,
    };
    Some(match volumes.first()? {
        Volume::Immutable(_) => "ImmutableVolume",
        Volume::Ephemeral(_) => "EphemeralVolume",
        Volume::Persistent(_) => "PersistentVolume",
    })
}

/// What differs from the recorded verdict.
fn difference(case: &Value) -> Option<String> {
    let (message_type, label) = (case["type"].as_str()?, case["label"].as_str()?);
    let recorded = &case["result"]["1.7.0"];
    let decision = DECISIONS
        .iter()
        .find(|(t, l, ..)| *t == message_type && *l == label);
    let expected = decision.map_or(recorded["valid"] == json!(true), |(_, _, valid, _)| *valid);
    let parsed = parse(message_type, &case["content"]);
    if parsed.is_ok() != expected {
        return Some(format!(
            "valid {}, not {expected}: {:?}",
            parsed.is_ok(),
            parsed.err()
        ));
    }
    if decision.is_some() {
        return None;
    }
    match parsed {
        Ok(content) => {
            let dump = without_nulls(serde_json::to_value(&content).unwrap());
            let equal = same(&dump, &case["content"]);
            if recorded["dump_equals_input"] != json!(equal) {
                return Some(format!("dump equals input: {equal}: {dump}"));
            }
            let kind = recorded.get("volume_kind").and_then(Value::as_str);
            (kind.is_some() && kind != volume_kind(&content))
                .then(|| format!("volume kind {:?}", volume_kind(&content)))
        }
        Err(errors) => {
            let error = &errors[0];
            // The recording has indexes as texts.
            let loc: Vec<Value> = error
                .loc
                .iter()
                .map(|part| {
                    part.as_str()
                        .map_or_else(|| part.to_string().into(), Value::from)
                })
                .collect();
            let found = json!({"type": error.kind, "loc": loc, "msg": error.msg});
            (found != recorded["error"]).then(|| format!("{found}\n  not {}", recorded["error"]))
        }
    }
}

#[test]
fn verdicts_of_schema_1_7_0() {
    assert!(CASES.len() > 200);
    let differences: Vec<String> = CASES
        .iter()
        .filter_map(|case| {
            Some(format!(
                "{} {}: {}",
                case["type"],
                case["label"],
                difference(case)?
            ))
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    for (message_type, label, ..) in DECISIONS {
        assert!(
            CASES
                .iter()
                .any(|c| c["type"] == message_type && c["label"] == label),
            "{label}"
        );
    }
}

/// What is read although upstream's schema or node refuses it (messages.md
/// §13), and what it means.
#[test]
fn tolerances() {
    let base = |message_type: &str, label: &str| {
        let case = CASES
            .iter()
            .find(|c| c["type"] == message_type && c["label"] == label);
        case.unwrap_or_else(|| panic!("no case {label}"))["content"].clone()
    };
    let (hash, digest) = ("ab".repeat(32), "ab".repeat(48));

    let mut program = base("V-PROGRAM", "minimal");
    program["verification"]["measurements"] = json!([{"platform": "sev_snp", "digest": digest}]);
    let Content::VerifiedProgram(read) = parse("V-PROGRAM", &program).unwrap() else {
        unreachable!()
    };
    assert_eq!(
        read.verification["measurements"],
        json!([{"platform": "sev_snp", "registers": {"launch": digest}, "vcpu_type": null}])
    );
    for bad in [
        json!({"platform": "tdx", "digest": digest}),
        json!({"platform": "sev_snp", "digest": "ab"}),
        json!({"platform": "sev_snp", "digest": digest, "registers": {"launch": digest}}),
    ] {
        program["verification"]["measurements"] = json!([bad]);
        assert!(parse("V-PROGRAM", &program).is_err(), "{bad}");
    }

    let forget = json!({"address": "a", "time": 1, "hashes": [], "aggregates": ["profile", ""]});
    let Content::Forget(read) = parse("FORGET", &forget).unwrap() else {
        unreachable!()
    };
    assert_eq!(read.aggregates, ["profile", ""]);

    let aggregate = json!({"address": "a", "time": 1, "key": {"name": "k"}, "content": {}});
    let Content::Aggregate(read) = parse("AGGREGATE", &aggregate).unwrap() else {
        unreachable!()
    };
    assert_eq!(read.key(), "k");

    let chain_ref = json!({
        "chain": "ETH", "item_content": "", "item_hash": hash, "item_type": "inline", "sender": "a",
        "signature": "s", "time": 1, "type": "POST",
    });
    let post = json!({"address": "a", "time": 1, "type": "amend", "ref": chain_ref});
    let Content::Post(read) = parse("POST", &post).unwrap() else {
        unreachable!()
    };
    assert_eq!(read.reference(), Some(hash.as_str()));
}

/// Contents one or two members away from the cases above, with everything that
/// upstream's schema 1.7.0 answers: all faults, or the typed form. Made for
/// this repository by running the released schema package.
#[test]
fn all_faults_and_typed_forms() {
    let mut differences = Vec::new();
    for case in vector("messages/content_mutations.json")
        .as_array()
        .unwrap()
    {
        // As text, so that the order of members counts.
        let (found, expected) = match parse(case["type"].as_str().unwrap(), &case["content"]) {
            Ok(content) => (
                serde_json::to_string(&content).unwrap(),
                case["typed"].to_string(),
            ),
            Err(errors) => {
                let faults: Vec<_> = errors
                    .iter()
                    .map(|error| json!([error.kind, error.loc]))
                    .collect();
                (Value::from(faults).to_string(), case["errors"].to_string())
            }
        };
        if found != expected {
            differences.push(format!("{case}\n  {found}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn contents_of_real_messages() {
    let messages = vector("messages/real_messages.json");
    let mut read = 0;
    for record in messages.as_array().unwrap() {
        let message = &record["message"];
        let (Some(message_type), Some(text)) =
            (message["type"].as_str(), message["item_content"].as_str())
        else {
            continue;
        };
        let content = serde_json::from_str(text).unwrap();
        let upstream = record["upstream"]["parse"].as_str().unwrap();
        // Faults of the envelope say nothing about the content.
        if upstream == "ok" {
            let parsed = parse(message_type, &content);
            assert!(parsed.is_ok(), "{content}: {parsed:?}");
            read += 1;
        }
    }
    assert!(read >= 30, "only {read} contents");
}

/// The details that are stored and served for a rejected content.
#[test]
fn details_of_rejections() {
    let mut compared = 0;
    for name in ["envelope", "aggregates_forgets"] {
        let scenario = vector(&format!("messages/scenario_{name}.json"));
        for step in scenario["steps"].as_array().unwrap() {
            let errors = &step["expect"]["details"]["errors"];
            let about_content = |e: &Value| {
                e["loc"]
                    .as_str()
                    .is_some_and(|l| l.starts_with("('content', "))
            };
            let rejected = errors
                .as_array()
                .is_some_and(|all| all.iter().all(about_content));
            if !rejected || step["message"]["item_content"].is_null() {
                continue;
            }
            let message = Message::parse(&step["message"]).unwrap();
            match message.inline_content() {
                Err(rejection) => assert_eq!(rejection.details()["errors"], *errors),
                Ok(_) => assert!(errors.to_string().contains("aggregates"), "{errors}"),
            }
            compared += 1;
        }
    }
    assert!(compared >= 8, "only {compared} rejections");
}

fn arbitrary_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..2000_i64).prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        "\\PC{0,8}".prop_map(Value::from),
        prop::sample::select(vec![
            "qemu", "sev_snp", "tdx", "credit", "host", "zip", "tcp", "ETH", "true", " 7.0 "
        ])
        .prop_map(Value::from),
        Just(json!("aa".repeat(32))),
        Just(json!("ab".repeat(48))),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let key = prop_oneof![3 => prop::sample::select(MEMBERS.to_vec()).prop_map(str::to_owned), 1 => "[a-z\\[']{0,6}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..8)
                .prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

const MEMBERS: [&str; 24] = [
    "address",
    "time",
    "type",
    "ref",
    "content",
    "key",
    "hashes",
    "aggregates",
    "item_hash",
    "item_type",
    "tags",
    "environment",
    "resources",
    "volumes",
    "size_mib",
    "payment",
    "runtime",
    "verification",
    "measurements",
    "requirements",
    "node",
    "trusted_execution",
    "metadata",
    "variables",
];

/// Where a member may be put in place of another.
fn paths(value: &Value, path: Vec<String>, out: &mut Vec<Vec<String>>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(k, v)| (k.clone(), v)).collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(i, v)| (i.to_string(), v))
            .collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        let mut path = path.clone();
        path.push(key);
        out.push(path.clone());
        paths(child, path, out);
    }
}

fn reads_again(message_type: MessageType, value: &Value) {
    match Content::parse(message_type, value) {
        // Empty it counts as absent, with its defaults written it does not.
        Ok(_) if value["environment"]["trusted_execution"] == json!({}) => {}
        Ok(content) => {
            let dump = serde_json::to_value(&content).unwrap();
            let again = Content::parse(message_type, &dump);
            assert_eq!(again.as_ref(), Ok(&content), "{value} became {dump}");
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            errors.iter().for_each(|error| drop(error.to_details()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_contents_get_a_verdict(value in arbitrary_json(), index in 0..MessageType::ALL.len()) {
        reads_again(MessageType::ALL[index], &value);
    }

    #[test]
    fn changed_contents_get_a_verdict(
        case in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), new in arbitrary_json(),
    ) {
        let case = case.get(&CASES);
        let mut content = case["content"].clone();
        let mut places = Vec::new();
        paths(&content, Vec::new(), &mut places);
        let pointer = place.get(&places).iter().fold(String::new(), |path, key| path + "/" + key);
        if let Some(slot) = content.pointer_mut(&pointer) {
            *slot = new;
        }
        reads_again(MessageType::parse(case["type"].as_str().unwrap()).unwrap(), &content);
    }
}
