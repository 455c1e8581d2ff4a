//! Named limits of the store.

/// Reader connections, one per concurrent page.
pub const READERS_MAX: usize = 4;
/// Page cache of one connection, in KiB.
pub const CACHE_KIB: i64 = 16_384;
/// How long a connection waits for another process's lock, in milliseconds.
pub const BUSY_TIMEOUT_MILLISECONDS: u64 = 10_000;
/// Times a waiting message is tried before it is rejected (processing.md §21).
pub const ATTEMPTS_MAX: i64 = 11;
/// Longest pause between two tries, in seconds.
pub const RETRY_SECONDS_MAX: i64 = 300;
/// How long an upload without a STORE message is kept, in seconds.
pub const GRACE_SECONDS: i64 = 24 * 3600;
/// How long the file of a STORE that is not paid for any more is kept, in
/// seconds (processing.md §18.4).
pub const REMOVAL_GRACE_SECONDS: i64 = 25 * 3600;
