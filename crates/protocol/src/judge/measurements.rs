//! Posts that say how nodes performed (processing.md §14.3, network.md §21.1).

use serde_json::Value;

use super::rules::METRICS_POST_TYPE;
use super::{Complete, Effect, Effects, Rules};
use crate::content::PostContent;
use crate::time::Timestamp;

/// Which nodes a measurement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// Core nodes.
    Core,
    /// Compute nodes.
    Compute,
}

/// How one node performed at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// What kind of node.
    pub measured: Measured,
    /// The node's hash, as written.
    pub node: String,
    /// When.
    pub at: Timestamp,
    /// A number or null for each of [`Measured::figures`]; times in seconds.
    pub figures: Vec<Value>,
}

impl Measured {
    /// Names of what is measured, in the order in which it is kept and shown.
    pub fn figures(self) -> &'static [&'static str] {
        match self {
            Measured::Core => &[
                "base_latency",
                "base_latency_ipv4",
                "metrics_latency",
                "aggregate_latency",
                "file_download_latency",
                "pending_messages",
                "eth_height_remaining",
            ],
            Measured::Compute => &[
                "base_latency",
                "base_latency_ipv4",
                "full_check_latency",
                "diagnostic_vm_latency",
            ],
        }
    }

    /// The list of a post.
    fn member(self) -> &'static str {
        match self {
            Measured::Core => "ccn",
            Measured::Compute => "crn",
        }
    }
}

/// Adds the measurements of a post, if its author is believed. Entries without
/// a node or a time are left out.
pub(super) fn judge(complete: &Complete, post: &PostContent, rules: &Rules, effects: &mut Effects) {
    let is_believed = post.post_type == METRICS_POST_TYPE
        && rules.scoring_addresses.contains(&post.address)
        && complete.message.channel.as_ref() == Some(&rules.scoring_channel);
    if !is_believed {
        return;
    }
    let metrics = &post.content["metrics"];
    let found: Vec<Measurement> = [Measured::Compute, Measured::Core]
        .into_iter()
        .flat_map(|measured| {
            let entries = metrics[measured.member()].as_array().into_iter().flatten();
            entries.filter_map(move |entry| measurement(measured, entry))
        })
        .collect();
    if !found.is_empty() {
        effects.push(Effect::Measurements(found));
    }
}

fn measurement(measured: Measured, entry: &Value) -> Option<Measurement> {
    let node = entry["node_id"].as_str().filter(|node| !node.is_empty())?;
    let at = Timestamp::from_json(&entry["measured_at"]).ok()?;
    let figure = |name: &&str| match &entry[*name] {
        Value::Number(number) => Value::Number(number.clone()),
        _ => Value::Null,
    };
    Some(Measurement {
        measured,
        node: node.to_owned(),
        at,
        figures: measured.figures().iter().map(figure).collect(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_without_node_or_time_are_left_out() {
        let read = |entry: Value| measurement(Measured::Compute, &entry);
        for entry in [
            json!({}),
            json!({"node_id": "", "measured_at": 1}),
            json!({"node_id": "a"}),
            json!({"node_id": "a", "measured_at": null}),
            json!({"node_id": 3, "measured_at": 1}),
            json!("text"),
        ] {
            assert_eq!(read(entry.clone()), None, "{entry}");
        }
        let entry = json!({"node_id": "a", "measured_at": 1.5, "base_latency": 0.25, "full_check_latency": "x"});
        let found = read(entry).unwrap();
        assert_eq!(found.at, Timestamp::from_micros(1_500_000));
        assert_eq!(json!(found.figures), json!([0.25, null, null, null]));
    }
}
