//! `[ccn.http]`: who may connect, how long each may take, how often each may
//! ask.

use std::time::Duration;

use beth_http::{Bounds, Networks, limits as defaults};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::limits;

/// `[ccn.http]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Longest time between the first byte of a request and the end of its
    /// headers.
    pub head_timeout_seconds: u64,
    /// Longest time a connection may be idle between two requests.
    pub idle_timeout_seconds: u64,
    /// Longest time a client may take nothing of its answer.
    pub write_timeout_seconds: u64,
    /// Longest time that requests under way may take once the node is told to
    /// stop.
    pub drain_timeout_seconds: u64,
    /// Longest request line and headers, in bytes; at least 16 KiB.
    pub head_bytes_max: usize,
    /// Connections open at once, WebSockets among them.
    pub connections_max: usize,
    /// Connections of one client (address, or /64 of IPv6) open at once.
    /// Clients on this machine and trusted proxies count in the whole alone.
    pub client_connections_max: usize,
    /// Reverse proxies whose `X-Forwarded-For` is believed: addresses or
    /// networks, like `127.0.0.1` or `10.0.0.0/8`.
    pub trusted_proxies: Vec<String>,
    /// Requests that take longer are logged.
    pub slow_request_milliseconds: u64,
    /// `/ready` says no when less room is left on the disk, in bytes.
    pub disk_free_bytes_min: u64,
    /// How often a client may ask.
    pub rate: RateConfig,
}

/// `[ccn.http.rate]`: what a client may ask of this node. A rate of 0 is no
/// limit; a burst is what somebody who was quiet may ask at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateConfig {
    /// Whether clients on this machine are limited too.
    pub loopback: bool,
    /// Reads of one client per second.
    pub reads_per_second: u64,
    /// Reads at once.
    pub reads_burst: u64,
    /// Submissions of one client per second.
    pub submissions_per_second: u64,
    /// Submissions at once.
    pub submissions_burst: u64,
    /// Bytes of uploads of one client per second.
    pub upload_bytes_per_second: u64,
    /// Bytes of uploads at once.
    pub upload_bytes_burst: u64,
    /// Accepted messages of one sender per second, whoever submits them.
    pub sender_messages_per_second: u64,
    /// Such messages at once.
    pub sender_messages_burst: u64,
}

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig {
            head_timeout_seconds: defaults::HEAD_TIMEOUT.as_secs(),
            idle_timeout_seconds: defaults::IDLE_TIMEOUT.as_secs(),
            write_timeout_seconds: defaults::WRITE_TIMEOUT.as_secs(),
            drain_timeout_seconds: limits::DRAIN_TIMEOUT.as_secs(),
            head_bytes_max: defaults::HEAD_BYTES_MAX,
            connections_max: defaults::CONNECTIONS_MAX,
            client_connections_max: defaults::CLIENT_CONNECTIONS_MAX,
            trusted_proxies: Vec::new(),
            slow_request_milliseconds: limits::SLOW_REQUEST.as_millis() as u64,
            disk_free_bytes_min: limits::DISK_FREE_BYTES_MIN,
            rate: RateConfig::default(),
        }
    }
}

impl Default for RateConfig {
    fn default() -> RateConfig {
        RateConfig {
            loopback: false,
            reads_per_second: 200,
            reads_burst: 2_000,
            submissions_per_second: 50,
            submissions_burst: 500,
            upload_bytes_per_second: 32 << 20,
            upload_bytes_burst: 1 << 30,
            sender_messages_per_second: 50,
            sender_messages_burst: 1_000,
        }
    }
}

impl HttpConfig {
    /// For the server. A proxy that is no network is an error.
    pub fn bounds(&self) -> Result<Bounds, Error> {
        Ok(Bounds {
            head_timeout: Duration::from_secs(self.head_timeout_seconds),
            idle_timeout: Duration::from_secs(self.idle_timeout_seconds),
            write_timeout: Duration::from_secs(self.write_timeout_seconds),
            drain_timeout: Duration::from_secs(self.drain_timeout_seconds),
            head_bytes_max: self.head_bytes_max,
            connections_max: self.connections_max,
            client_connections_max: self.client_connections_max,
            trusted_proxies: self.proxies()?,
            ..Bounds::default()
        })
    }

    /// Proxies that say who their client is.
    pub fn proxies(&self) -> Result<Networks, Error> {
        Networks::parse(&self.trusted_proxies)
            .map_err(|wrong| Error::Config(format!("[ccn.http] trusted_proxies: {wrong}")))
    }
}
