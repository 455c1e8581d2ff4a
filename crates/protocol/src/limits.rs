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
/// Largest file that a STORE message may keep without any payment (25 MiB).
pub const FREE_STORE_BYTES_MAX: u64 = 25 * 1024 * 1024;
/// Largest message on a gossip topic, framing included.
pub const GOSSIP_BYTES_MAX: usize = 262_144;
/// Most compute nodes that count for one core node; the oldest links win.
pub const RESOURCE_NODES_PER_CORE_NODE_MAX: usize = 3;
/// Virtual CPUs promised per core of a compute node (compute.md §25.3).
pub const VCPU_OVERCOMMIT: u64 = 4;
