//! `trusted_execution`: confidential instances (messages.md §8.6).
//!
//! ```text
//!  mode null, sev        firmware, policy (SEV bits)                     legacy SEV
//!  mode sev_snp, tdx     runtime, measurements, attestation_port, gpu    measured
//! ```

use serde_json::{Map, Number, Value, json};

use super::gpu::confidential_gpu;
use super::machine::port;
use super::measurement::{Measurement, Platform, check_platforms, measurements};
use super::scalar::{Coercion, choice, hash, integer};
use super::walk::Walk;
use crate::ItemHash;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Sev,
    Measured(Platform),
}

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Mode::Sev => "sev",
            Mode::Measured(platform) => platform.as_str(),
        }
    }
}

struct Trusted {
    firmware: Option<ItemHash>,
    policy: i128,
    mode: Option<Mode>,
    runtime: Option<ItemHash>,
    measurements: Option<Vec<Measurement>>,
    attestation_port: Option<u16>,
    gpu: Option<Map<String, Value>>,
}

/// Reads trusted execution into its normal form.
pub(super) fn trusted_execution<'v>(
    walk: &mut Walk<'v>,
    value: &'v Value,
) -> Option<Map<String, Value>> {
    let trusted = members(walk, value)?;
    let broken = match trusted.mode {
        Some(Mode::Measured(platform)) => broken_measured(&trusted, platform),
        None | Some(Mode::Sev) => broken_legacy(&trusted),
    };
    if let Some(rule) = broken {
        walk.broken(rule);
        return None;
    }
    Some(normal(trusted))
}

fn members<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Trusted> {
    let mark = walk.mark();
    let fields = walk.object(value, "TrustedExecutionEnvironment")?;
    let firmware = fields.nullable(walk, "firmware", hash);
    let policy = fields.optional(walk, "policy", integer);
    let mode = fields.nullable(
        walk,
        "mode",
        choice(
            "literal_error",
            &[
                ("sev", Mode::Sev),
                ("sev_snp", Mode::Measured(Platform::SevSnp)),
                ("tdx", Mode::Measured(Platform::Tdx)),
            ],
        ),
    );
    let runtime = fields.nullable(walk, "runtime", hash);
    let measurements = fields.nullable(walk, "measurements", measurements);
    let attestation_port = fields.nullable(walk, "attestation_port", port(Coercion::Lax));
    let gpu = fields.nullable(walk, "gpu", confidential_gpu);
    fields.closed(
        walk,
        &[
            "firmware",
            "policy",
            "mode",
            "runtime",
            "measurements",
            "attestation_port",
            "gpu",
        ],
    );
    walk.clean(mark)?;
    Some(Trusted {
        firmware: firmware?,
        policy: policy?.unwrap_or(1),
        mode: mode?,
        runtime: runtime?,
        measurements: measurements?,
        attestation_port: attestation_port?,
        gpu: gpu?,
    })
}

fn broken_legacy(trusted: &Trusted) -> Option<String> {
    let present = [
        ("runtime", trusted.runtime.is_some()),
        ("measurements", trusted.measurements.is_some()),
        ("attestation_port", trusted.attestation_port.is_some()),
        ("gpu", trusted.gpu.is_some()),
    ];
    let (member, _) = present.into_iter().find(|(_, present)| *present)?;
    Some(format!(
        "{member} needs a measured mode: set mode to sev_snp or tdx"
    ))
}

fn broken_measured(trusted: &Trusted, platform: Platform) -> Option<String> {
    let mode = platform.as_str();
    if trusted.firmware.is_some() {
        return Some(format!(
            "firmware belongs to the SEV flow and must not be set in {mode} mode; use runtime instead"
        ));
    }
    if trusted.runtime.is_none() {
        return Some(format!("{mode} mode requires runtime"));
    }
    let measurements = trusted.measurements.as_deref().unwrap_or_default();
    if measurements.is_empty() {
        return Some(format!("{mode} mode requires measurements"));
    }
    check_platforms(measurements, platform, "mode").or_else(|| match platform {
        Platform::SevSnp => broken_snp_policy(trusted.policy),
        Platform::Tdx if trusted.policy != 1 => Some(
            "tdx mode has no host-chosen launch policy; policy must be left at its default".into(),
        ),
        Platform::Tdx if measurements.len() != 1 => {
            Some("tdx mode takes one measurement, no more".into())
        }
        Platform::Tdx if trusted.gpu.is_some() => Some("gpu needs sev_snp mode".into()),
        Platform::Tdx => None,
    })
}

/// What is wrong with a guest policy of SEV-SNP: it has 64 bits, and bit 17
/// set.
pub(super) fn broken_snp_policy(policy: i128) -> Option<String> {
    let Ok(bits) = u64::try_from(policy) else {
        return Some(format!(
            "an SEV-SNP guest policy is an unsigned integer of 64 bits, not {policy}"
        ));
    };
    (bits & (1 << 17) == 0).then(|| {
        format!(
            "SEV-SNP guest policy must have reserved bit 17 set (e.g. 0x30000); got {bits:#x}. \
             Note that SEV policy bit semantics do not apply to SEV-SNP."
        )
    })
}

fn normal(trusted: Trusted) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("firmware".into(), json!(trusted.firmware));
    members.insert("policy".into(), Value::Number(nearest(trusted.policy)));
    members.insert("mode".into(), json!(trusted.mode.map(Mode::as_str)));
    members.insert("runtime".into(), json!(trusted.runtime));
    members.insert(
        "measurements".into(),
        json!(
            trusted
                .measurements
                .map(|all| all.into_iter().map(|m| m.normal).collect::<Vec<_>>())
        ),
    );
    members.insert("attestation_port".into(), json!(trusted.attestation_port));
    members.insert("gpu".into(), json!(trusted.gpu));
    members
}

/// The nearest number that JSON of 64 bits can carry.
fn nearest(integer: i128) -> Number {
    match (i64::try_from(integer), u64::try_from(integer)) {
        (Ok(small), _) => small.into(),
        (_, Ok(large)) => large.into(),
        _ if integer < 0 => i64::MIN.into(),
        _ => u64::MAX.into(),
    }
}
