//! Named limits of the store.

/// Reader connections, one per concurrent page.
pub const READERS_MAX: usize = 4;
/// Page cache of a reading connection, in KiB.
pub const READER_CACHE_KIB: i64 = 8_192;
/// Page cache of the writing connection, in KiB.
pub const WRITER_CACHE_KIB: i64 = 65_536;
/// Pages in the log before they are written into the database, 4 KiB each.
pub const LOG_PAGES: i64 = 16_000;
/// Names (addresses, channels, keys) that the writer remembers.
pub const NAMES_MAX: usize = 65_536;
/// Longest name that the writer remembers, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
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
