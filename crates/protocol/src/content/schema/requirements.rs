//! `requirements`: wishes about the host (messages.md §8.6).

use serde_json::Value;

use super::pattern;
use super::scalar::{choice, hash, short_text, text, unknown_choice};
use super::walk::{Step, Walk};
use crate::content::machine::{
    CpuRequirements, GpuRequirement, HostRequirements, NodeRequirements,
};
use crate::limits;

/// Reads requirements.
pub(super) fn requirements<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<HostRequirements> {
    let mark = walk.mark();
    let fields = walk.object(value, "HostRequirements")?;
    let cpu = fields.nullable(walk, "cpu", cpu);
    let node = fields.nullable(walk, "node", node);
    let gpu = fields.nullable(walk, "gpu", |walk, value| walk.list(value, usize::MAX, gpu));
    fields.closed(walk, &["cpu", "node", "gpu"]);
    walk.clean(mark)?;
    Some(HostRequirements {
        cpu: cpu?,
        node: node?,
        gpu: gpu?,
    })
}

fn cpu<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<CpuRequirements> {
    let mark = walk.mark();
    let fields = walk.object(value, "CpuProperties")?;
    let architecture = fields.nullable(
        walk,
        "architecture",
        choice("literal_error", &[("x86_64", "x86_64"), ("arm64", "arm64")]),
    );
    let vendor = fields.nullable(walk, "vendor", vendor);
    let features = fields.nullable(walk, "features", |walk, value| {
        walk.list(value, usize::MAX, text)
    });
    fields.closed(walk, &["architecture", "vendor", "features"]);
    walk.clean(mark)?;
    Some(CpuRequirements {
        architecture: architecture?.map(str::to_owned),
        vendor: vendor?,
        features: features?,
    })
}

/// Any text; the network lists the two usual ones first, which shows in faults.
fn vendor<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<String> {
    const USUAL: [&str; 2] = ["AuthenticAMD", "GenuineIntel"];
    if !value.is_string() {
        walk.within(
            Step::Key("literal['AuthenticAMD','GenuineIntel']"),
            |walk| {
                unknown_choice(walk, "literal_error", USUAL.into_iter());
            },
        );
    }
    walk.within(Step::Key("str"), |walk| text(walk, value))
}

fn node<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<NodeRequirements> {
    let mark = walk.mark();
    let fields = walk.object(value, "NodeRequirements")?;
    let owner = fields.nullable(walk, "owner", text);
    let address_regex = fields.nullable(walk, "address_regex", |walk, value| {
        let regex = short_text(limits::ADDRESS_REGEX_CHARS_MAX)(walk, value)?;
        if let Err(fault) = pattern::check(&regex) {
            walk.broken(format!("Invalid regular expression: {fault}"));
            return None;
        }
        Some(regex)
    });
    let node_hash = fields.nullable(walk, "node_hash", hash);
    let terms_and_conditions = fields.nullable(walk, "terms_and_conditions", hash);
    fields.closed(
        walk,
        &[
            "owner",
            "address_regex",
            "node_hash",
            "terms_and_conditions",
        ],
    );
    walk.clean(mark)?;
    Some(NodeRequirements {
        owner: owner?,
        address_regex: address_regex?,
        node_hash: node_hash?,
        terms_and_conditions: terms_and_conditions?,
    })
}

fn gpu<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<GpuRequirement> {
    let mark = walk.mark();
    let fields = walk.object(value, "GpuProperties")?;
    let vendor = fields.required(walk, "vendor", text);
    let device_name = fields.required(walk, "device_name", text);
    let device_class = fields.required(
        walk,
        "device_class",
        choice("enum", &[("0300", "0300"), ("0302", "0302")]),
    );
    let device_id = fields.required(walk, "device_id", text);
    fields.closed(
        walk,
        &["vendor", "device_name", "device_class", "device_id"],
    );
    walk.clean(mark)?;
    Some(GpuRequirement {
        vendor: vendor?,
        device_name: device_name?,
        device_class: device_class?.to_owned(),
        device_id: device_id?,
    })
}
