//! Upstream's metrics, by its names and in its order (core-api.md §10.3): node
//! scoring and other nodes read them.
//!
//! Null where there is nothing to tell, 0 where readers expect a number.

use serde_json::{Map, Value, json};

use super::sample::Sample;
use super::{Metrics, VERSION};
use crate::context::Context;

/// Every field of `/metrics.json`.
pub fn fields(context: &Context, sample: &Sample) -> Map<String, Value> {
    let mut fields = Map::new();
    // Readers of the network look for a python version here.
    let build = json!({"python_version": "none", "version": VERSION});
    fields.insert("pyaleph_build_info".into(), build);
    let mut put = |name: &str, value: Value| fields.insert(format!("pyaleph_{name}"), value);
    status(&context.metrics, sample, &mut put);
    for (name, count) in context.streams.counters.upstream() {
        put(name.trim_start_matches("pyaleph_"), count.into());
    }
    fetches(&context.metrics, &mut put);
    fields
}

/// The same as lines of text; fields without a value are left out.
pub fn lines(fields: &Map<String, Value>) -> String {
    let line = |(name, value): (&String, &Value)| match value {
        Value::Object(labels) => {
            let labels = labels.iter().map(|(key, value)| format!("{key}={value}"));
            Some(format!(
                "{name}{{{}}} 1",
                labels.collect::<Vec<_>>().join(",")
            ))
        }
        Value::Number(number) => Some(format!("{name} {number}")),
        _ => None,
    };
    fields
        .iter()
        .filter_map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

fn status(metrics: &Metrics, sample: &Sample, put: &mut impl FnMut(&str, Value) -> Option<Value>) {
    let totals = &sample.totals;
    put("status_peers_total", totals.peers.into());
    put("status_sync_messages_total", totals.messages.into());
    put("status_sync_permanent_files_total", totals.file_pins.into());
    put(
        "status_sync_pending_messages_total",
        totals.pending_messages.into(),
    );
    put("status_sync_pending_txs_total", 0.into());
    put("status_chain_eth_last_committed_height", Value::Null);
    put("processing_pending_messages_seen_ids_total", Value::Null);
    put("processing_pending_messages_tasks_total", 0.into());
    for kind in ["aggregate", "forget", "post", "program", "store"] {
        put(
            &format!("processing_pending_messages_{kind}_tasks"),
            0.into(),
        );
    }
    put("processing_pending_messages_action_total", Value::Null);
    let reference = metrics.reference.messages();
    let missing = reference.map(|count| count - i64::try_from(totals.messages).unwrap_or(i64::MAX));
    put("status_sync_messages_reference_total", reference.into());
    put("status_sync_messages_remaining_total", missing.into());
    put("status_chain_eth_height_reference_total", Value::Null);
    // Scoring reads a number here.
    put("status_chain_eth_height_remaining_total", 0.into());
}

fn fetches(metrics: &Metrics, put: &mut impl FnMut(&str, Value) -> Option<Value>) {
    for naming in ["ipfs", "storage"] {
        let count = |outcome| {
            metrics
                .work
                .fetches
                .with_label_values(&[naming, outcome])
                .get()
        };
        let (done, failed) = (count("done"), count("failed"));
        let spent = metrics
            .work
            .fetch_seconds
            .with_label_values(&[naming])
            .get();
        let time = (spent * 1e3) as u64;
        put(
            &format!("store_fetch_{naming}_total"),
            (done + failed).into(),
        );
        put(&format!("store_fetch_{naming}_failed_total"), failed.into());
        put(
            &format!("store_fetch_{naming}_duration_ms_sum"),
            time.into(),
        );
    }
}
