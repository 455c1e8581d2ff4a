//! INSTANCE and its cross rules (messages.md §8.8).

use serde_json::Value;

use super::environment;
use super::machine::{COMMON, Form, executable, parent};
use super::scalar::{Coercion, size, text};
use super::volume::{persistence, volume};
use super::walk::Walk;
use crate::content::instance::RootFilesystem;
use crate::content::machine::{HostRequirements, Hypervisor};
use crate::content::{InstanceContent, PaymentType};
use crate::limits;

/// Reads the content of an INSTANCE.
pub(super) fn read<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<InstanceContent> {
    let mark = walk.mark();
    let fields = walk.object(value, "InstanceContent")?;
    let form = Form {
        coercion: Coercion::Lax,
        environment: environment::instance,
        volume,
        volumes_max: limits::VOLUMES_MAX,
    };
    let common = executable(walk, fields, &form);
    let rootfs = fields.required(walk, "rootfs", rootfs);
    fields.closed(walk, &[&COMMON[..], &["rootfs"]].concat());
    walk.clean(mark)?;
    let common = common?;
    let instance = InstanceContent {
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
        rootfs: rootfs?,
    };
    let broken = instance
        .requirements
        .as_ref()
        .and_then(|requirements| broken_requirement(&instance, requirements).map(str::to_owned))
        .or_else(|| broken_payment(&instance));
    if let Some(rule) = broken {
        walk.broken(rule);
        return None;
    }
    Some(instance)
}

fn rootfs<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<RootFilesystem> {
    let mark = walk.mark();
    let fields = walk.object(value, "RootfsVolume")?;
    let parent = fields.required(walk, "parent", parent);
    let persistence = fields.required(walk, "persistence", persistence());
    let size_mib = fields.required(walk, "size_mib", size(limits::PERSISTENT_VOLUME_MIB_MAX));
    let forgotten_by = fields.nullable(walk, "forgotten_by", |walk, value| {
        walk.list(value, usize::MAX, text)
    });
    walk.clean(mark)?;
    Some(RootFilesystem {
        parent: parent?,
        persistence: persistence?,
        size_mib: size_mib?,
        forgotten_by: forgotten_by?,
    })
}

fn payment_type(instance: &InstanceContent) -> PaymentType {
    instance
        .payment
        .as_ref()
        .map_or(PaymentType::Hold, |payment| payment.payment_type)
}

fn broken_requirement(
    instance: &InstanceContent,
    requirements: &HostRequirements,
) -> Option<&'static str> {
    let payment = payment_type(instance);
    let node = requirements.node.as_ref();
    let placed = node.is_some_and(|node| node.node_hash.is_some());
    let trusted = instance.environment.trusted_execution.as_ref();
    if payment == PaymentType::Superfluid && !placed {
        return Some("Node hash assignment is needed for PAYG payments");
    }
    if requirements
        .gpu
        .as_ref()
        .is_some_and(|cards| !cards.is_empty())
    {
        if trusted.is_some_and(|trusted| trusted.get("gpu").is_some_and(|gpu| !gpu.is_null())) {
            return Some(
                "graphics cards are named in requirements.gpu or in trusted_execution.gpu, not in both",
            );
        }
        if payment != PaymentType::Credit && !placed {
            return Some("Node hash assignment is needed for GPU support");
        }
        if instance.environment.hypervisor != Some(Hypervisor::Qemu) {
            return Some("GPU option is only supported for QEmu hypervisor");
        }
    }
    if node.is_some_and(|node| node.terms_and_conditions.is_some()) {
        if !placed {
            return Some(
                "terms_and_conditions are those of a node: set requirements.node.node_hash",
            );
        }
        if payment == PaymentType::Hold && trusted.is_none() {
            return Some("Only PAYG/CoCo/Credit instances can have a terms_and_conditions");
        }
    }
    None
}

fn broken_payment(instance: &InstanceContent) -> Option<String> {
    let mode = instance
        .environment
        .trusted_execution
        .as_ref()?
        .get("mode")?
        .as_str()?;
    let measured = mode != "sev";
    (measured && payment_type(instance) != PaymentType::Credit).then(|| {
        format!(
            "{mode} confidential instances are credit-only: \
             holder-tier and PAYG stream payments are not supported"
        )
    })
}
