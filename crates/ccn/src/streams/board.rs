//! The node's figures as text, counted once for everybody who looks.

use std::future::Future;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::limits::STATUS_AGE_MAX;

/// What was counted last.
#[derive(Default)]
pub(crate) struct Board(Mutex<Option<(Instant, Bytes)>>);

impl Board {
    /// The figures, counted by `count` unless somebody did so a moment ago.
    /// What cannot be counted is empty.
    pub async fn figures(&self, count: impl Future<Output = Option<String>>) -> Bytes {
        let mut latest = self.0.lock().await;
        if let Some((at, text)) = &*latest
            && at.elapsed() < STATUS_AGE_MAX
        {
            return text.clone();
        }
        let text = Bytes::from(count.await.unwrap_or_default());
        *latest = Some((Instant::now(), text.clone()));
        text
    }
}
