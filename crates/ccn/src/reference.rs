//! How much the reference node has: asked from time to time, for operators who
//! want to see how far behind theirs is (core-api.md §10.3).

use std::sync::Arc;

use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::limits::{REFERENCE_PERIOD, REFERENCE_TIMEOUT};
use crate::metrics::Metrics;

/// Asks until cancelled; with no node to ask it ends at once.
pub(crate) async fn watch(
    client: reqwest::Client,
    url: Option<String>,
    metrics: Arc<Metrics>,
    cancel: CancellationToken,
) {
    let Some(url) = url else { return };
    let url = format!("{}/metrics.json", url.trim_end_matches('/'));
    let mut ticks = interval(REFERENCE_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let asking = async {
        loop {
            ticks.tick().await;
            let told = timeout(REFERENCE_TIMEOUT, ask(&client, &url)).await;
            metrics.reference.set_messages(told.ok().flatten());
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = asking => {}
    }
}

async fn ask(client: &reqwest::Client, url: &str) -> Option<u64> {
    let answered = async {
        let response = client.get(url).send().await?.error_for_status()?;
        response.json::<Value>().await
    };
    match answered.await {
        Ok(fields) => fields["pyaleph_status_sync_messages_total"].as_u64(),
        Err(failure) => {
            debug!(%failure, url, "the reference node did not answer");
            None
        }
    }
}
