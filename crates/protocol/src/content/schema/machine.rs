//! What PROGRAM, INSTANCE and V-PROGRAM have in common (messages.md §8.6).

use serde_json::{Map, Value};

use super::metadata::metadata;
use super::payment::payment;
use super::requirements::requirements;
use super::scalar::{
    Coercion, check_length, choice, flag, hash, ranged, short_text, strict_flag, text, text_ref,
    time,
};
use super::walk::{Fields, Reader, Step, Walk};
use crate::content::Payment;
use crate::content::machine::{
    Encoding, HostRequirements, MachineResources, ParentVolume, PublishedPort,
};
use crate::limits;

/// How the executables differ in their common members.
pub(super) struct Form<'v, E, V> {
    /// Of `time`, `allow_amend` and `resources`. A strict form also needs a
    /// payment.
    pub coercion: Coercion,
    /// Reads `environment`.
    pub environment: Reader<'v, E>,
    /// Reads one of `volumes`.
    pub volume: Reader<'v, V>,
    /// Most volumes.
    pub volumes_max: usize,
}

/// The common members.
pub(super) struct Executable<E, V> {
    pub address: String,
    pub time: f64,
    pub allow_amend: bool,
    pub metadata: Option<Map<String, Value>>,
    pub authorized_keys: Option<Vec<String>>,
    pub variables: Option<Map<String, Value>>,
    pub environment: E,
    pub resources: MachineResources,
    pub payment: Option<Payment>,
    pub requirements: Option<HostRequirements>,
    pub volumes: Vec<V>,
    pub replaces: Option<String>,
}

/// Their names, to close the object.
pub(super) const COMMON: [&str; 12] = [
    "address",
    "time",
    "allow_amend",
    "metadata",
    "authorized_keys",
    "variables",
    "environment",
    "resources",
    "payment",
    "requirements",
    "volumes",
    "replaces",
];

/// Reads the common members.
pub(super) fn executable<'v, E, V>(
    walk: &mut Walk<'v>,
    fields: Fields<'v>,
    form: &Form<'v, E, V>,
) -> Option<Executable<E, V>> {
    let strict = form.coercion == Coercion::Strict;
    let address = fields.required(walk, "address", text);
    let time = fields.required(walk, "time", time(form.coercion));
    let allow_amend = fields.required(walk, "allow_amend", if strict { strict_flag } else { flag });
    let metadata = fields.nullable(walk, "metadata", metadata);
    let authorized_keys = fields.nullable(walk, "authorized_keys", |walk, value| {
        let key = short_text(limits::AUTHORIZED_KEY_CHARS_MAX);
        walk.list(value, limits::AUTHORIZED_KEYS_MAX, key)
    });
    let variables = fields.nullable(walk, "variables", variables);
    let environment = fields.required(walk, "environment", form.environment);
    let resources = fields.required(walk, "resources", |walk, value| {
        resources(walk, value, form.coercion)
    });
    let payment = if strict {
        fields.required(walk, "payment", payment).map(Some)
    } else {
        fields.nullable(walk, "payment", payment)
    };
    let requirements = fields.nullable(walk, "requirements", requirements);
    let volumes = fields.optional(walk, "volumes", |walk, value| {
        walk.list(value, form.volumes_max, form.volume)
    });
    let replaces = fields.nullable(walk, "replaces", short_text(limits::REPLACES_CHARS_MAX));
    Some(Executable {
        address: address?,
        time: time?,
        allow_amend: allow_amend?,
        metadata: metadata?,
        authorized_keys: authorized_keys?,
        variables: variables?,
        environment: environment?,
        resources: resources?,
        payment: payment?,
        requirements: requirements?,
        volumes: volumes?.unwrap_or_default(),
        replaces: replaces?,
    })
}

fn variables<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Map<String, Value>> {
    let mark = walk.mark();
    let entries = walk.table(value, limits::VARIABLES_MAX)?;
    for (key, value) in entries {
        walk.within(Step::Key(key), |walk| {
            walk.within(Step::Key("[key]"), |walk| {
                check_length(walk, key, limits::VARIABLE_KEY_CHARS_MAX)
            });
            let text = text_ref(walk, value)?;
            check_length(walk, text, limits::VARIABLE_VALUE_CHARS_MAX)
        });
    }
    walk.clean(mark)?;
    Some(entries.clone())
}

fn resources<'v>(
    walk: &mut Walk<'v>,
    value: &'v Value,
    coercion: Coercion,
) -> Option<MachineResources> {
    let mark = walk.mark();
    let strict = coercion == Coercion::Strict;
    let class = if strict {
        "StrictMachineResources"
    } else {
        "MachineResources"
    };
    let fields = walk.object(value, class)?;
    let vcpus = fields.optional(walk, "vcpus", ranged(1, limits::VCPUS_MAX, coercion));
    let memory = fields.optional(walk, "memory", ranged(1, limits::MEMORY_MIB_MAX, coercion));
    let seconds = fields.optional(
        walk,
        "seconds",
        ranged(1, limits::CALL_SECONDS_MAX, coercion),
    );
    let published_ports = fields.nullable(walk, "published_ports", |walk, value| {
        walk.list(value, usize::MAX, |walk, value| {
            published_port(walk, value, coercion)
        })
    });
    walk.clean(mark)?;
    Some(MachineResources {
        vcpus: vcpus?.unwrap_or(1),
        memory: memory?.unwrap_or(128),
        seconds: seconds?.unwrap_or(1),
        published_ports: published_ports?,
    })
}

fn published_port<'v>(
    walk: &mut Walk<'v>,
    value: &'v Value,
    coercion: Coercion,
) -> Option<PublishedPort> {
    let mark = walk.mark();
    let strict = coercion == Coercion::Strict;
    let fields = walk.object(
        value,
        if strict {
            "StrictPublishedPort"
        } else {
            "PublishedPort"
        },
    )?;
    let protocol = fields.optional(
        walk,
        "protocol",
        choice("enum", &[("tcp", "tcp"), ("udp", "udp")]),
    );
    let port = fields.required(walk, "port", port(coercion));
    walk.clean(mark)?;
    Some(PublishedPort {
        protocol: protocol?.unwrap_or("tcp").to_owned(),
        port: port?,
    })
}

/// A port number.
pub(super) fn port<'v>(
    coercion: Coercion,
) -> impl Fn(&mut Walk<'v>, &'v Value) -> Option<u16> + Copy {
    move |walk, value| {
        let port = ranged(1, u16::MAX.into(), coercion)(walk, value)?;
        u16::try_from(port).ok()
    }
}

/// `plain`, `zip` or `squashfs`.
pub(super) fn encoding<'v>() -> impl Fn(&mut Walk<'v>, &'v Value) -> Option<Encoding> + Copy {
    choice(
        "enum",
        &[
            ("plain", Encoding::Plain),
            ("zip", Encoding::Zip),
            ("squashfs", Encoding::Squashfs),
        ],
    )
}

/// The image a disk is made from.
pub(super) fn parent<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<ParentVolume> {
    let mark = walk.mark();
    let fields = walk.object(value, "ParentVolume")?;
    let reference = fields.required(walk, "ref", hash);
    let use_latest = fields.optional(walk, "use_latest", flag);
    walk.clean(mark)?;
    Some(ParentVolume {
        reference: reference?,
        use_latest: use_latest?.unwrap_or(true),
    })
}
