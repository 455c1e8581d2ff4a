//! Confidential graphics cards (messages.md §8.6).

use serde_json::{Map, Value, json};

use super::scalar::{Coercion, choice, ranged, text_ref};
use super::walk::Walk;
use crate::limits;

/// Reads the cards of a confidential machine into their normal form.
pub(super) fn confidential_gpu<'v>(
    walk: &mut Walk<'v>,
    value: &'v Value,
) -> Option<Map<String, Value>> {
    let mark = walk.mark();
    let fields = walk.object(value, "ConfidentialGpuRequirement")?;
    let vendor = fields.required(
        walk,
        "vendor",
        choice("literal_error", &[("nvidia", "nvidia")]),
    );
    let arch = fields.required(
        walk,
        "arch",
        choice(
            "literal_error",
            &[("hopper", "hopper"), ("blackwell", "blackwell")],
        ),
    );
    let count = fields.required(
        walk,
        "count",
        ranged(1, limits::CONFIDENTIAL_GPUS_MAX, Coercion::Strict),
    );
    let models = fields.nullable(walk, "models", models);
    let mode = fields.required(walk, "mode", choice("literal_error", &[("cc", "cc")]));
    fields.closed(walk, &["vendor", "arch", "count", "models", "mode"]);
    walk.clean(mark)?;
    let mut normal = Map::new();
    normal.insert("vendor".into(), json!(vendor?));
    normal.insert("arch".into(), json!(arch?));
    normal.insert("count".into(), json!(count?));
    normal.insert("models".into(), json!(models?));
    normal.insert("mode".into(), json!(mode?));
    Some(normal)
}

fn models<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Vec<&'v str>> {
    let models = walk.list(value, limits::CONFIDENTIAL_GPU_MODELS_MAX, text_ref)?;
    walk.not_empty(&models)?;
    if !models.iter().all(|model| is_device_id(model)) {
        walk.broken("a model is written vendor:device, four lowercase hexadecimal digits each");
        return None;
    }
    if models
        .iter()
        .enumerate()
        .any(|(index, model)| models[..index].contains(model))
    {
        walk.broken("a model is listed twice");
        return None;
    }
    Some(models)
}

fn is_device_id(text: &str) -> bool {
    let digits = |part: &str| {
        part.len() == 4 && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    text.split_once(':')
        .is_some_and(|(vendor, device)| digits(vendor) && digits(device))
}
