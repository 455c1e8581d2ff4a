//! Named limits of the protocol (messages.md §3.3, §4).

/// Longest inline `item_content`, in Unicode scalar values.
pub const INLINE_CONTENT_CHARS_MAX: usize = 200_000;
/// Deepest JSON nesting accepted in a content.
pub const JSON_DEPTH_MAX: usize = 1_000;
/// Longest channel name accepted, in bytes. Upstream has no limit; this only
/// keeps indexes sane.
pub const CHANNEL_BYTES_MAX: usize = 4_096;
/// Longest sender accepted, in bytes.
pub const SENDER_BYTES_MAX: usize = 1_024;
/// Longest signature text accepted, in bytes.
pub const SIGNATURE_BYTES_MAX: usize = 8_192;
/// Most characters of a faulty value that a refusal repeats.
pub const EXCERPT_CHARS_MAX: usize = 128;
/// Largest file that a STORE message may keep without any payment (25 MiB).
pub const FREE_STORE_BYTES_MAX: u64 = 25 * 1024 * 1024;
/// Largest message on a gossip topic, framing included.
pub const GOSSIP_BYTES_MAX: usize = 262_144;
/// Most compute nodes that count for one core node; the oldest links win.
pub const RESOURCE_NODES_PER_CORE_NODE_MAX: usize = 3;
/// Virtual CPUs promised per core of a compute node (compute.md §25.3).
pub const VCPU_OVERCOMMIT: u64 = 4;

// Graphs of blocks (core-api.md §9.5).

/// Longest header of an archive, in bytes.
pub const CAR_HEADER_BYTES_MAX: u64 = 8_192;
/// Largest block; IPFS nodes exchange none beyond.
pub const BLOCK_BYTES_MAX: u64 = 2 << 20;
/// Longest digest in the name of a block, in bytes; longest block that is its
/// own name.
pub const CID_DIGEST_BYTES_MAX: u64 = 127;
/// Longest name of a block in an archive, in bytes.
pub const CID_BYTES_MAX: u64 = CID_DIGEST_BYTES_MAX + 40;
/// Longest name in a directory, in bytes.
pub const ENTRY_NAME_BYTES_MAX: usize = 1_024;
/// Most branches of a piece of a directory.
pub const SHARD_FANOUT_MAX: u64 = 1_024;

// Contents (messages.md §8).

/// Most faults reported for one content.
pub const SCHEMA_FAULTS_MAX: usize = 1_000;
/// Most tags of a message.
pub const TAGS_MAX: usize = 16;
/// Longest tag.
pub const TAG_CHARS_MAX: usize = 256;
/// Longest channel in a chain reference.
pub const CHAIN_REF_CHANNEL_CHARS_MAX: usize = 128;
/// Most `hashes`, and most `aggregates`, of a FORGET.
pub const FORGET_TARGETS_MAX: usize = 1_000;
/// Longest reason of a FORGET.
pub const FORGET_REASON_CHARS_MAX: usize = 1_000;
/// Most entries of `metadata` of an executable.
pub const METADATA_ENTRIES_MAX: usize = 256;
/// Longest key in `metadata`.
pub const METADATA_KEY_CHARS_MAX: usize = 64;
/// Longest text in `metadata`.
pub const METADATA_VALUE_CHARS_MAX: usize = 512;
/// Most SSH keys of an executable.
pub const AUTHORIZED_KEYS_MAX: usize = 256;
/// Longest SSH key.
pub const AUTHORIZED_KEY_CHARS_MAX: usize = 8_192;
/// Most environment variables of an executable.
pub const VARIABLES_MAX: usize = 256;
/// Longest name of an environment variable.
pub const VARIABLE_KEY_CHARS_MAX: usize = 128;
/// Longest value of an environment variable.
pub const VARIABLE_VALUE_CHARS_MAX: usize = 4_096;
/// Longest `replaces`.
pub const REPLACES_CHARS_MAX: usize = 128;
/// Most virtual CPUs of an executable.
pub const VCPUS_MAX: u64 = 256;
/// Most memory of an executable, MiB.
pub const MEMORY_MIB_MAX: u64 = 1_048_576;
/// Longest call of an executable, seconds (ten years).
pub const CALL_SECONDS_MAX: u64 = 315_360_000;
/// Longest `address_regex`.
pub const ADDRESS_REGEX_CHARS_MAX: usize = 256;
/// Most keys of one message subscription.
pub const SUBSCRIPTION_KEYS_MAX: usize = 32;
/// Most volumes of a PROGRAM or INSTANCE.
pub const VOLUMES_MAX: usize = 256;
/// Most volumes of a V-PROGRAM.
pub const VERIFIED_VOLUMES_MAX: usize = 8;
/// Longest `comment`, `mount` or `name` of a volume.
pub const VOLUME_LABEL_CHARS_MAX: usize = 256;
/// Largest ephemeral volume, MiB.
pub const EPHEMERAL_VOLUME_MIB_MAX: u64 = 1_000;
/// Largest persistent volume, MiB (2048 GB).
pub const PERSISTENT_VOLUME_MIB_MAX: u64 = 1_953_125;
/// Longest comment of a verified runtime or volume.
pub const VERIFIED_COMMENT_CHARS_MAX: usize = 1_024;
/// Most measurements of one launch.
pub const MEASUREMENTS_MAX: usize = 16;
/// Longest name of a virtual CPU model in a measurement.
pub const VCPU_TYPE_CHARS_MAX: usize = 64;
/// Most confidential graphics cards of one machine.
pub const CONFIDENTIAL_GPUS_MAX: u64 = 8;
/// Most device ids a confidential graphics card may be chosen from.
pub const CONFIDENTIAL_GPU_MODELS_MAX: usize = 16;

/// Most ranges that are compared at once.
pub const RECONCILE_CLAIMS_MAX: usize = 64;
/// Most ranges of one sketch or list.
pub const RECONCILE_RANGES_MAX: usize = 64 * 64;
/// Most symbols of a sketch that are told at once.
pub const RECONCILE_SYMBOL_PLACES_MAX: u32 = 16_384;
/// Most elements that are told at once.
pub const RECONCILE_ELEMENTS_MAX: usize = 32_768;
/// Differences after which what is known of them is used first.
pub const RECONCILE_DIFFERENCE_MAX: usize = 262_144;
