//! Deadlines and bounds.

use std::time::Duration;

/// Events waiting for the world, from follower and agents together.
pub const EVENTS_MAX: usize = 1_024;
/// Events handled before one plan is computed.
pub const EVENTS_PER_PLAN_MAX: usize = 256;
/// Longest wait for a TCP connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for the answer to one question.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the answer to an allocation: a compute node answers when
/// every machine has started.
pub const ALLOCATION_TIMEOUT: Duration = Duration::from_secs(300);
/// Largest answer read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Largest frame of the message stream, in bytes.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Messages in one page of the listing.
pub const PAGE_MESSAGES: usize = 200;
/// Pages in one listing.
pub const PAGES_MAX: usize = 10_000;
/// Silence after which a stream counts as broken; core nodes ping every 30 s.
pub const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Time between two complete listings of a stream that holds.
pub const LISTING_INTERVAL: Duration = Duration::from_secs(300);
/// Shortest and longest pause before something that failed is tried again.
pub const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// Time after which an unchanged allocation is pushed again, so that a node
/// that lost it gets it back.
pub const ALLOCATION_INTERVAL: Duration = Duration::from_secs(60);
/// Changes of placement that are remembered.
pub const CHANGES_MAX: usize = 10_000;
/// Changes a slow listener may lag behind.
pub const FRAMES_MAX: usize = 1_024;
/// Longest time one frame may take to be written.
pub const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// Listeners to changes at once.
pub const LISTENERS_MAX: usize = 1_000;
/// Pause between two pings of a listener; one that stays silent is dropped.
pub const LISTENER_PING_PERIOD: Duration = Duration::from_secs(30);
/// Most cores, and MiB of memory or disk, that a compute node may claim.
pub const CLAIM_MAX: f64 = 1e12;
/// Rows of a page when the client does not say, and at most.
pub const PAGE_ROWS: usize = 50;
/// See [`PAGE_ROWS`].
pub const PAGE_ROWS_MAX: usize = 200;
/// Questions in a row that a healthy node may leave unanswered.
pub const FAILURES_MAX: u32 = 2;
/// Longest wait at the start for every compute node to answer once, before
/// anything is placed.
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);
