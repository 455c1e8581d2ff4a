//! Named limits of serving. Those that an operator may change are defaults.

use std::time::Duration;

/// Longest time between the first byte of a request and the end of its head.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest time a connection may be idle between two requests.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Longest time a client may take nothing of an answer that waits for it.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time waited for a client over which its bytes are counted.
pub const PACE_WINDOW: Duration = Duration::from_secs(60);
/// Least that a client takes of an answer, or sends of a body, on average over
/// that time. It is a quarter of the slowest line that is in use, since the
/// system reports in lumps what left.
pub const PACE_BYTES_PER_SECOND_MIN: u64 = 256;
/// Longest request line and headers, in bytes: 431 beyond.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Least that may be configured: what clients expect to be taken.
pub const HEAD_BYTES_MIN: usize = 16 * 1024;
/// Connections open at once.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Connections of one client open at once.
pub const CLIENT_CONNECTIONS_MAX: usize = 512;
/// Longest time that requests under way may take once serving ends.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
/// Refused connections that are told so at once; more are just closed.
pub const REFUSALS_MAX: usize = 64;
/// Longest time to tell one of them.
pub const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// What a refused client is told to wait, in seconds.
pub const RETRY_AFTER_SECONDS: u64 = 5;
/// Pause after the system could not accept a connection.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Bytes of a refused request that are read, so that its answer arrives.
pub const REFUSED_BYTES_MAX: usize = 64 * 1024;
