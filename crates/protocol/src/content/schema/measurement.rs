//! Launch measurements of confidential machines (messages.md §8.6).

use serde_json::{Map, Value, json};

use super::scalar::{choice, hex, short_text};
use super::walk::Walk;
use crate::limits;

/// Who measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Platform {
    SevSnp,
    Tdx,
}

impl Platform {
    /// The wire spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Platform::SevSnp => "sev_snp",
            Platform::Tdx => "tdx",
        }
    }
}

/// The wire spellings.
pub(super) const PLATFORMS: &[(&str, Platform)] =
    &[("sev_snp", Platform::SevSnp), ("tdx", Platform::Tdx)];

/// One measurement, in its normal form.
pub(super) struct Measurement {
    pub platform: Platform,
    pub normal: Map<String, Value>,
}

/// Reads a list of measurements, possibly empty.
pub(super) fn measurements<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Vec<Measurement>> {
    walk.list(value, limits::MEASUREMENTS_MAX, measurement)
}

fn measurement<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Measurement> {
    let mark = walk.mark();
    let fields = walk.object(value, "LaunchMeasurement")?;
    let platform = fields.required(walk, "platform", choice("enum", PLATFORMS));
    let unreleased = fields.raw("registers").is_none() && fields.raw("digest").is_some();
    let registers = if unreleased {
        fields.required(walk, "digest", digest)
    } else {
        fields.required(walk, "registers", |walk, value| {
            walk.either(
                value,
                &[("SevSnpRegisters", sev_snp), ("TdxRegisters", tdx)],
            )
        })
    };
    let vcpu_type = fields.nullable(walk, "vcpu_type", short_text(limits::VCPU_TYPE_CHARS_MAX));
    let known = if unreleased { "digest" } else { "registers" };
    fields.closed(walk, &["platform", known, "vcpu_type"]);
    walk.clean(mark)?;
    let (platform, (kind, registers)) = (platform?, registers?);
    if platform != kind {
        walk.broken(format!(
            "a measurement of platform '{}' has the registers of '{}'",
            platform.as_str(),
            kind.as_str()
        ));
        return None;
    }
    let mut normal = Map::new();
    normal.insert("platform".into(), platform.as_str().into());
    normal.insert("registers".into(), registers);
    normal.insert("vcpu_type".into(), json!(vcpu_type?));
    Some(Measurement { platform, normal })
}

const REGISTER_HEX_DIGITS: usize = 96;

/// The form of a schema that was deployed and never released: one digest
/// instead of registers (messages.md §13).
fn digest<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<(Platform, Value)> {
    let launch = hex(REGISTER_HEX_DIGITS)(walk, value)?;
    Some((Platform::SevSnp, json!({ "launch": launch })))
}

fn sev_snp<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<(Platform, Value)> {
    let mark = walk.mark();
    let fields = walk.object(value, "SevSnpRegisters")?;
    let launch = fields.required(walk, "launch", hex(REGISTER_HEX_DIGITS));
    fields.closed(walk, &["launch"]);
    walk.clean(mark)?;
    Some((Platform::SevSnp, json!({ "launch": launch? })))
}

fn tdx<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<(Platform, Value)> {
    const NAMES: [&str; 4] = ["mrtd", "rtmr1", "rtmr2", "mrconfigid"];
    let mark = walk.mark();
    let fields = walk.object(value, "TdxRegisters")?;
    let mut registers = Map::new();
    for name in NAMES {
        if let Some(register) = fields.required(walk, name, hex(REGISTER_HEX_DIGITS)) {
            registers.insert(name.into(), register.into());
        }
    }
    fields.closed(walk, &NAMES);
    walk.clean(mark)?;
    Some((Platform::Tdx, Value::Object(registers)))
}

/// What is wrong if a measurement is of another platform than the launch,
/// which is named by `member`.
pub(super) fn check_platforms(
    measurements: &[Measurement],
    platform: Platform,
    member: &str,
) -> Option<String> {
    let (index, other) = measurements
        .iter()
        .enumerate()
        .find(|(_, m)| m.platform != platform)?;
    Some(format!(
        "measurements[{index}] declares platform '{}', which does not match {member} '{}'",
        other.platform.as_str(),
        platform.as_str()
    ))
}
