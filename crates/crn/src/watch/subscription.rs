//! What a workload wants to hear of.

use std::collections::HashSet;

use beth_protocol::content::machine::Volume;
use beth_protocol::content::program::ProgramContent;
use beth_protocol::{Content, ItemHash};
use serde_json::Value;

/// Files of which it uses the newest version.
pub(super) fn newest_files(content: &Content) -> HashSet<ItemHash> {
    let mut files = HashSet::new();
    let mut add = |is_newest: bool, reference: &ItemHash| {
        if is_newest {
            files.insert(reference.clone());
        }
    };
    let volumes: &[Volume] = match content {
        Content::Program(program) => {
            add(program.code.use_latest, &program.code.reference);
            add(program.runtime.use_latest, &program.runtime.reference);
            if let Some(data) = &program.data {
                add(data.use_latest.unwrap_or(false), &data.reference);
            }
            &program.volumes
        }
        // The parent of a disk is read once, when the disk is made.
        Content::Instance(instance) => &instance.volumes,
        _ => &[],
    };
    for volume in volumes {
        if let Volume::Immutable(volume) = volume {
            add(volume.use_latest, &volume.reference);
        }
    }
    files
}

/// The messages a program waits for.
pub(super) fn of(content: &ProgramContent) -> Vec<Value> {
    let wanted = content.on.message.iter().flatten();
    wanted.map(|wanted| serde_json::json!(wanted)).collect()
}

/// True when every member of `wanted` is in the message; an empty one wants
/// nothing.
pub(super) fn matches(wanted: &Value, message: &Value) -> bool {
    match wanted {
        Value::Object(members) if members.is_empty() => false,
        Value::Object(members) => members.iter().all(|(name, value)| {
            let found = message.get(name);
            found.is_some_and(|found| match value {
                Value::Object(_) => matches(value, found),
                value => value == found,
            })
        }),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use beth_protocol::MessageType;
    use serde_json::json;

    #[test]
    fn subscriptions_of_the_vectors() {
        let text = include_str!("../../../../vectors/crn/messages.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        let content = &vectors["messages"]["program_on_message"]["content"];
        let parsed = Content::parse(MessageType::Program, content).unwrap();
        let Content::Program(program) = &parsed else {
            panic!("{parsed:?}");
        };
        let wanted = of(program);
        assert_eq!(wanted.len(), 2);
        let sender = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
        let reference = "4d4db19afca380fdf06ba7f916153d0f740db9de9eee23ad26ba96a90d8a2920";
        for (message, expected) in [
            (
                json!({"sender": sender, "channel": "TEST", "type": "POST"}),
                true,
            ),
            (json!({"sender": sender, "channel": "OTHER"}), false),
            (
                json!({"sender": sender.to_lowercase(), "channel": "TEST"}),
                false,
            ),
            (json!({"content": {"ref": reference, "x": 1}}), true),
            (json!({"content": {"ref": "other"}}), false),
            (json!({"content": reference}), false),
            (json!({}), false),
        ] {
            let is_wanted = wanted.iter().any(|wanted| matches(wanted, &message));
            assert_eq!(is_wanted, expected, "{message}");
        }
        assert!(!matches(&json!({}), &json!({})));
        assert!(!matches(&json!({"content": {}}), &json!({"content": {}})));
    }

    #[test]
    fn files_that_are_followed() {
        let text = include_str!("../../../../vectors/crn/messages.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        let content = &vectors["messages"]["program_asgi_zip"]["content"];
        let files = newest_files(&Content::parse(MessageType::Program, content).unwrap());
        assert_eq!(files.len(), 3);
        let content = &vectors["messages"]["instance_hold"]["content"];
        let files = newest_files(&Content::parse(MessageType::Instance, content).unwrap());
        assert!(files.is_empty(), "not the parent of the disk");
    }
}
