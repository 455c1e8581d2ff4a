//! Contents of PROGRAM, INSTANCE and V-PROGRAM (core-api.md §1.11).
#![allow(dead_code, missing_docs)]

use serde_json::Value;
use utoipa::ToSchema;

use super::contents::Payment;
use super::words::ItemHash;

/// Of an INSTANCE: a whole machine.
#[derive(ToSchema)]
pub struct InstanceContent {
    address: String,
    time: f64,
    allow_amend: bool,
    #[schema(required, value_type = Option<Object>)]
    metadata: Option<Value>,
    /// SSH keys.
    #[schema(required)]
    authorized_keys: Option<Vec<String>>,
    #[schema(required, value_type = Option<Object>)]
    variables: Option<Value>,
    environment: InstanceEnvironment,
    resources: MachineResources,
    #[schema(required)]
    payment: Option<Payment>,
    #[schema(required)]
    requirements: Option<HostRequirements>,
    volumes: Vec<Volume>,
    #[schema(required)]
    replaces: Option<String>,
    rootfs: RootFilesystem,
}

/// Of a PROGRAM: code that answers requests.
#[derive(ToSchema)]
pub struct ProgramContent {
    address: String,
    time: f64,
    allow_amend: bool,
    #[schema(required, value_type = Option<Object>)]
    metadata: Option<Value>,
    #[schema(required)]
    authorized_keys: Option<Vec<String>>,
    #[schema(required, value_type = Option<Object>)]
    variables: Option<Value>,
    environment: AnyEnvironment,
    resources: MachineResources,
    #[schema(required)]
    payment: Option<Payment>,
    #[schema(required)]
    requirements: Option<HostRequirements>,
    volumes: Vec<Volume>,
    #[schema(required)]
    replaces: Option<String>,
    #[schema(pattern = "^vm-function$")]
    r#type: String,
    code: CodeContent,
    runtime: Runtime,
    #[schema(required)]
    data: Option<DataContent>,
    #[schema(required)]
    export: Option<Export>,
    on: Triggers,
}

/// Of a V-PROGRAM: a program whose execution can be verified.
#[derive(ToSchema)]
pub struct VerifiedProgramContent {
    address: String,
    time: f64,
    allow_amend: bool,
    #[schema(required, value_type = Option<Object>)]
    metadata: Option<Value>,
    #[schema(required)]
    authorized_keys: Option<Vec<String>>,
    #[schema(required, value_type = Option<Object>)]
    variables: Option<Value>,
    #[schema(value_type = Object)]
    environment: Value,
    resources: MachineResources,
    #[schema(required)]
    payment: Option<Payment>,
    #[schema(required)]
    requirements: Option<HostRequirements>,
    volumes: Vec<VerifiedVolume>,
    #[schema(required)]
    replaces: Option<String>,
    runtime: VerifiedRuntime,
    workload: Workload,
    #[schema(value_type = Object)]
    verification: Value,
    #[schema(required, value_type = Option<Object>)]
    gpu: Option<Value>,
}

/// The environment of a program, in one of its two forms.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum AnyEnvironment {
    Function(FunctionEnvironment),
    Instance(InstanceEnvironment),
}

#[derive(ToSchema)]
pub struct FunctionEnvironment {
    reproducible: bool,
    internet: bool,
    aleph_api: bool,
    shared_cache: bool,
}

#[derive(ToSchema)]
pub struct InstanceEnvironment {
    internet: bool,
    aleph_api: bool,
    #[schema(required)]
    hypervisor: Option<Hypervisor>,
    /// Confidential computing.
    #[schema(required, value_type = Option<Object>)]
    trusted_execution: Option<Value>,
    reproducible: bool,
    shared_cache: bool,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Hypervisor {
    Qemu,
    Firecracker,
}

/// The size of a machine.
#[derive(ToSchema)]
pub struct MachineResources {
    vcpus: u64,
    /// MiB.
    memory: u64,
    /// The longest time that one call may take.
    seconds: u64,
    #[schema(required)]
    published_ports: Option<Vec<PublishedPort>>,
}

#[derive(ToSchema)]
pub struct PublishedPort {
    protocol: String,
    port: u16,
}

/// Wishes about the host.
#[derive(ToSchema)]
pub struct HostRequirements {
    #[schema(required)]
    cpu: Option<CpuRequirements>,
    #[schema(required)]
    node: Option<NodeRequirements>,
    #[schema(required)]
    gpu: Option<Vec<GpuRequirement>>,
}

#[derive(ToSchema)]
pub struct CpuRequirements {
    #[schema(required)]
    architecture: Option<String>,
    #[schema(required)]
    vendor: Option<String>,
    #[schema(required)]
    features: Option<Vec<String>>,
}

#[derive(ToSchema)]
pub struct NodeRequirements {
    #[schema(required)]
    owner: Option<String>,
    #[schema(required)]
    address_regex: Option<String>,
    #[schema(required)]
    node_hash: Option<ItemHash>,
    #[schema(required)]
    terms_and_conditions: Option<ItemHash>,
}

#[derive(ToSchema)]
pub struct GpuRequirement {
    vendor: String,
    device_name: String,
    device_class: String,
    device_id: String,
}

/// A volume; its members tell of which kind.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum Volume {
    Immutable(ImmutableVolume),
    Ephemeral(EphemeralVolume),
    Persistent(PersistentVolume),
}

/// A file, read-only.
#[derive(ToSchema)]
pub struct ImmutableVolume {
    #[schema(required)]
    comment: Option<String>,
    #[schema(required)]
    mount: Option<String>,
    r#ref: ItemHash,
    use_latest: bool,
}

/// Lives as long as the machine runs.
#[derive(ToSchema)]
pub struct EphemeralVolume {
    #[schema(required)]
    comment: Option<String>,
    #[schema(required)]
    mount: Option<String>,
    ephemeral: bool,
    size_mib: u64,
}

/// Kept by the host.
#[derive(ToSchema)]
pub struct PersistentVolume {
    #[schema(required)]
    comment: Option<String>,
    #[schema(required)]
    mount: Option<String>,
    #[schema(required)]
    parent: Option<ParentVolume>,
    #[schema(required)]
    persistence: Option<Persistence>,
    #[schema(required)]
    name: Option<String>,
    size_mib: u64,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Persistence {
    Host,
    Store,
}

/// The image that a disk is made from.
#[derive(ToSchema)]
pub struct ParentVolume {
    r#ref: ItemHash,
    use_latest: bool,
}

#[derive(ToSchema)]
pub struct RootFilesystem {
    parent: ParentVolume,
    persistence: Persistence,
    size_mib: u64,
    #[schema(required)]
    forgotten_by: Option<Vec<String>>,
}

/// How an archive is packed.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Encoding {
    Plain,
    Zip,
    Squashfs,
}

#[derive(ToSchema)]
pub struct CodeContent {
    encoding: Encoding,
    entrypoint: String,
    r#ref: ItemHash,
    #[schema(required)]
    interface: Option<Interface>,
    #[schema(required)]
    args: Option<Vec<String>>,
    use_latest: bool,
}

/// How a program is called.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Interface {
    Asgi,
    Binary,
}

#[derive(ToSchema)]
pub struct Runtime {
    r#ref: ItemHash,
    use_latest: bool,
    comment: String,
}

#[derive(ToSchema)]
pub struct DataContent {
    encoding: Encoding,
    mount: String,
    r#ref: ItemHash,
    #[schema(required)]
    use_latest: Option<bool>,
}

#[derive(ToSchema)]
pub struct Export {
    encoding: Encoding,
    mount: String,
}

/// What starts a program.
#[derive(ToSchema)]
pub struct Triggers {
    http: bool,
    /// Descriptions of messages, verbatim.
    #[schema(required, value_type = Option<Vec<Object>>)]
    message: Option<Vec<Value>>,
    #[schema(required)]
    persistent: Option<bool>,
}

#[derive(ToSchema)]
pub struct VerifiedRuntime {
    r#ref: ItemHash,
    comment: String,
}

#[derive(ToSchema)]
pub struct Workload {
    r#ref: ItemHash,
    hash_tree: ItemHash,
    roothash: String,
}

#[derive(ToSchema)]
pub struct VerifiedVolume {
    r#ref: ItemHash,
    hash_tree: ItemHash,
    roothash: String,
    comment: String,
}
