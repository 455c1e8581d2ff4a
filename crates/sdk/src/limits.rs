//! Deadlines and bounds of every call.

use std::time::Duration;

/// Longest wait for a TCP (and TLS) connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the whole answer to a small request.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest wait for a `sync` submission: a node itself waits 30 s.
pub const SUBMIT_TIMEOUT: Duration = Duration::from_secs(45);
/// Longest upload of one file, whatever its size.
pub const UPLOAD_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Longest silence while a file arrives.
pub const DOWNLOAD_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest silence of a message stream: nodes ping every 30 s.
pub const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// First and longest pause before a message stream connects again.
pub const RECONNECT_PAUSE: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_secs(30));
/// Messages asked again after a reconnection, and hashes remembered to tell
/// repetitions apart.
pub const RECONNECT_HISTORY: usize = 190;
/// Longest pause between two looks at a message that is not judged yet.
pub const POLL_PAUSE: Duration = Duration::from_millis(250);
/// Largest JSON answer read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Largest body of an error answer read, in bytes.
pub const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// Largest answer of a program read, in bytes.
pub const PROGRAM_ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Largest frame of a message stream, in bytes: an inline content of 200 000
/// characters, escaped twice.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;
