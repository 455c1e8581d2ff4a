//! V-PROGRAM and its cross rules (messages.md §8.9). Everything is closed, and
//! scalars are not coerced.

use serde_json::{Map, Value, json};

use super::gpu::confidential_gpu;
use super::machine::{COMMON, Form, executable};
use super::measurement::{Measurement, PLATFORMS, Platform, check_platforms, measurements};
use super::scalar::{Coercion, choice, hash, hex, short_text, strict_flag, strict_integer};
use super::trusted::broken_snp_policy;
use super::walk::Walk;
use crate::content::vprogram::{VerifiedRuntime, VerifiedVolume, Workload};
use crate::content::{PaymentType, VerifiedProgramContent};
use crate::limits;

/// Policy of SEV-SNP when none is written.
const SNP_POLICY_DEFAULT: u64 = 0x30000;
const ROOTHASH_HEX_DIGITS: usize = 64;

/// Reads the content of a V-PROGRAM.
pub(super) fn read<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<VerifiedProgramContent> {
    let mark = walk.mark();
    let fields = walk.object(value, "VerifiableProgramContent")?;
    let form = Form {
        coercion: Coercion::Strict,
        environment,
        volume,
        volumes_max: limits::VERIFIED_VOLUMES_MAX,
    };
    let common = executable(walk, fields, &form);
    let runtime = fields.required(walk, "runtime", runtime);
    let workload = fields.required(walk, "workload", workload);
    let verification = fields.required(walk, "verification", verification);
    let gpu = fields.nullable(walk, "gpu", confidential_gpu);
    fields.closed(
        walk,
        &[&COMMON[..], &["runtime", "workload", "verification", "gpu"]].concat(),
    );
    walk.clean(mark)?;
    let common = common?;
    let program = VerifiedProgramContent {
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
        runtime: runtime?,
        workload: workload?,
        verification: verification?,
        gpu: gpu?,
    };
    if let Some(rule) = broken(&program) {
        walk.broken(rule);
        return None;
    }
    Some(program)
}

fn broken(program: &VerifiedProgramContent) -> Option<&'static str> {
    let credit = program
        .payment
        .as_ref()
        .is_some_and(|payment| payment.payment_type == PaymentType::Credit);
    let cards = program
        .requirements
        .as_ref()
        .and_then(|requirements| requirements.gpu.as_ref());
    let rules = [
        (
            !credit,
            "V-Programs are credit-only: holder-tier and PAYG stream payments are not supported",
        ),
        (
            program.allow_amend || program.replaces.is_some(),
            "V-Programs are immutable: amendment would let the measured stack change under a fixed \
             deployment identity; publish a new message instead",
        ),
        (
            program
                .variables
                .as_ref()
                .is_some_and(|variables| !variables.is_empty()),
            "variables are not supported for V-Programs: environment variables would reach the guest \
             unmeasured; ship them in the verity-bound workload instead",
        ),
        (
            program
                .authorized_keys
                .as_ref()
                .is_some_and(|keys| !keys.is_empty()),
            "authorized_keys are not supported for V-Programs: host key injection has no place in an \
             attested VM",
        ),
        (
            cards.is_some_and(|cards| !cards.is_empty()),
            "a V-PROGRAM names its graphics cards in gpu, not in requirements.gpu",
        ),
        (
            program.gpu.is_some() && program.verification.get("backend") != Some(&json!("sev_snp")),
            "gpu needs the backend sev_snp",
        ),
    ];
    rules
        .into_iter()
        .find(|(broken, _)| *broken)
        .map(|(_, rule)| rule)
}

fn environment<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Map<String, Value>> {
    let mark = walk.mark();
    let fields = walk.object(value, "VerifiableProgramEnvironment")?;
    let internet = fields.optional(walk, "internet", strict_flag);
    fields.closed(walk, &["internet"]);
    walk.clean(mark)?;
    Some(Map::from_iter([(
        "internet".to_owned(),
        json!(internet?.unwrap_or_default()),
    )]))
}

fn runtime<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<VerifiedRuntime> {
    let mark = walk.mark();
    let fields = walk.object(value, "VerifiableProgramRuntime")?;
    let reference = fields.required(walk, "ref", hash);
    let comment = fields.optional(
        walk,
        "comment",
        short_text(limits::VERIFIED_COMMENT_CHARS_MAX),
    );
    fields.closed(walk, &["ref", "comment"]);
    walk.clean(mark)?;
    Some(VerifiedRuntime {
        reference: reference?,
        comment: comment?.unwrap_or_default(),
    })
}

fn workload<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Workload> {
    let mark = walk.mark();
    let fields = walk.object(value, "VerifiedWorkload")?;
    let reference = fields.required(walk, "ref", hash);
    let hash_tree = fields.required(walk, "hash_tree", hash);
    let roothash = fields.required(walk, "roothash", hex(ROOTHASH_HEX_DIGITS));
    fields.closed(walk, &["ref", "hash_tree", "roothash"]);
    walk.clean(mark)?;
    Some(Workload {
        reference: reference?,
        hash_tree: hash_tree?,
        roothash: roothash?,
    })
}

fn volume<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<VerifiedVolume> {
    let mark = walk.mark();
    let fields = walk.object(value, "VerifiedVolume")?;
    let reference = fields.required(walk, "ref", hash);
    let hash_tree = fields.required(walk, "hash_tree", hash);
    let roothash = fields.required(walk, "roothash", hex(ROOTHASH_HEX_DIGITS));
    let comment = fields.optional(
        walk,
        "comment",
        short_text(limits::VERIFIED_COMMENT_CHARS_MAX),
    );
    fields.closed(walk, &["ref", "hash_tree", "roothash", "comment"]);
    walk.clean(mark)?;
    Some(VerifiedVolume {
        reference: reference?,
        hash_tree: hash_tree?,
        roothash: roothash?,
        comment: comment?.unwrap_or_default(),
    })
}

fn verification<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Map<String, Value>> {
    let mark = walk.mark();
    let fields = walk.object(value, "TeeVerification")?;
    let backend = fields.required(walk, "backend", choice("literal_error", PLATFORMS));
    let policy = fields.nullable(walk, "policy", policy);
    let measurements = fields.required(walk, "measurements", |walk, value| {
        let measurements = measurements(walk, value)?;
        walk.not_empty(&measurements)?;
        Some(measurements)
    });
    fields.closed(walk, &["backend", "policy", "measurements"]);
    walk.clean(mark)?;
    let (backend, mut policy, measurements) = (backend?, policy?, measurements?);
    if backend == Platform::SevSnp && fields.raw("policy").is_none() {
        policy = Some(SNP_POLICY_DEFAULT);
    }
    if let Some(rule) = broken_verification(backend, policy, &measurements) {
        walk.broken(rule);
        return None;
    }
    let measurements: Vec<_> = measurements.into_iter().map(|m| m.normal).collect();
    let mut normal = Map::new();
    normal.insert("backend".into(), backend.as_str().into());
    normal.insert("policy".into(), json!(policy));
    normal.insert("measurements".into(), json!(measurements));
    Some(normal)
}

fn policy<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<u64> {
    let policy = strict_integer(walk, value)?;
    let bits = u64::try_from(policy).ok();
    if bits.is_none() {
        let msg = "Input should be greater than or equal to 0";
        walk.fault("greater_than_equal", msg, json!({"ge": 0}));
    }
    bits
}

fn broken_verification(
    backend: Platform,
    policy: Option<u64>,
    measurements: &[Measurement],
) -> Option<String> {
    let broken_policy = match (backend, policy) {
        (Platform::Tdx, Some(_)) => Some("the backend tdx has no policy: leave it out".to_owned()),
        (Platform::Tdx, None) => None,
        (Platform::SevSnp, None) => Some("the backend sev_snp needs a policy".to_owned()),
        (Platform::SevSnp, Some(policy)) => broken_snp_policy(policy.into()),
    };
    broken_policy
        .or_else(|| check_platforms(measurements, backend, "backend"))
        .or_else(|| {
            let several = backend == Platform::Tdx && measurements.len() != 1;
            several.then(|| "the backend tdx takes one measurement, no more".to_owned())
        })
}
