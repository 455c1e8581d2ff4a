//! Whether a node answers over HTTP (network.md §4.3).

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::meeting::peer_id_of;
use crate::limits::{PROBE_BYTES_MAX, PROBE_TIMEOUT};

/// Asks nodes.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) client: reqwest::Client,
}

/// What a node answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// It says that it runs the same program as this one.
    pub(super) is_beth: bool,
    pub(super) took: Duration,
}

impl Probe {
    /// `None` unless a core node answers in time.
    pub(super) async fn ask(&self, url: &str) -> Option<Answer> {
        let begun = Instant::now();
        let version = self.read(&format!("{url}/api/v0/version")).await?;
        version.get("version")?.as_str()?;
        Some(Answer {
            is_beth: version.get("name").and_then(Value::as_str) == Some("beth"),
            took: begun.elapsed(),
        })
    }

    /// The peer id in the addresses that a node gives of itself.
    pub(super) async fn addresses(&self, url: &str) -> Option<String> {
        let said = self.read(&format!("{url}/api/v0/info/public.json")).await?;
        let addresses = said.get("node_multi_addresses")?.as_array()?;
        let texts = addresses.iter().filter_map(Value::as_str);
        peer_id_of(&texts.map(str::to_owned).collect::<Vec<_>>())
    }

    async fn read(&self, url: &str) -> Option<Value> {
        let asked = async {
            let mut response = self.client.get(url).send().await?.error_for_status()?;
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                body.extend_from_slice(&chunk);
                if body.len() > PROBE_BYTES_MAX {
                    break;
                }
            }
            Ok::<_, reqwest::Error>(body)
        };
        match timeout(PROBE_TIMEOUT, asked).await {
            Ok(Ok(body)) => serde_json::from_slice(&body).ok(),
            Ok(Err(failure)) => {
                debug!(%failure, url, "a node does not answer over HTTP");
                None
            }
            Err(_) => {
                debug!(url, "a node does not answer over HTTP in time");
                None
            }
        }
    }
}
