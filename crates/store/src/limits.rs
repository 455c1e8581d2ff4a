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
/// Most blocks of an archive: its index is held while it is checked.
pub const ARCHIVE_BLOCKS_MAX: usize = 1 << 19;
/// Most blocks between the root of an archive and its last leaf.
pub const ARCHIVE_DEPTH_MAX: usize = 256;
/// Most links held while an archive is walked.
pub const ARCHIVE_LINKS_HELD: usize = 1 << 20;
/// Most bytes of directories over several blocks that are read a second time,
/// in search of names that occur twice.
pub const SHARD_BYTES_READ: usize = 256 << 20;
/// Most bytes that an archive stands for: a block counts as often as it is
/// linked.
pub const UNFOLDED_BYTES_MAX: u64 = 64 << 30;
/// Most blocks that an archive stands for.
pub const UNFOLDED_BLOCKS_MAX: u32 = 16_000_000;
/// Bytes of a content read at once.
pub const PIECE_BYTES: usize = 256 * 1024;
/// How long an upload without a STORE message is kept, in seconds.
pub const GRACE_SECONDS: i64 = 24 * 3600;
/// How long the file of a STORE that is not paid for any more is kept, in
/// seconds (processing.md §18.4).
pub const REMOVAL_GRACE_SECONDS: i64 = 25 * 3600;
/// Longest time one read may take, in seconds.
pub const READ_SECONDS: u64 = 10;
/// Longest wait for a reading connection, in seconds.
pub const READER_WAIT_SECONDS: u64 = 5;
/// Steps of the database's machine between two looks at the clock.
pub const STEPS_PER_LOOK: i32 = 20_000;
/// Prepared statements of one connection.
pub const STATEMENTS_MAX: usize = 256;
/// Texts of names that one view of the state remembers.
pub const TEXTS_MAX: usize = 1_024;
/// How old a total may be, in seconds (core-api.md §14.1).
pub const COUNT_SECONDS: u64 = 300;
/// Entries of an index that are counted for a total each time it is asked for.
pub const COUNT_ENTRIES_MAX: f64 = 2_000.0;
/// Totals that are remembered.
pub const COUNTS_MAX: usize = 4_096;
/// Most owners whose delegations are read for one filtered page of them.
pub const DELEGATIONS_READ_MAX: usize = 10_000;
/// Contents that are looked at for one block: a block of zeros is in many.
pub const BLOCK_SOURCES_MAX: usize = 8;
/// Names of contents that are looked at between two questions to the index of
/// blocks.
pub const NAMES_PER_STEP: usize = 1_000;
/// Addresses of other nodes that are kept; the one heard of longest ago makes
/// room.
pub const PEERS_MAX: u64 = 4_096;

/// Fewest bytes of a content that arrives between two points from which it goes
/// on after a restart.
pub const POINT_BYTES_MIN: u64 = 64 << 20;
/// Most such points of one content, since each holds all states so far.
pub const POINTS_MAX: u64 = 64;
