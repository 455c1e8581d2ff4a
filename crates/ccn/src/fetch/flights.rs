//! Downloads under way: one for each content, however many wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a download found, when it has ended.
type Outcome = watch::Receiver<Option<bool>>;
type Known = Arc<Mutex<HashMap<String, Outcome>>>;

/// Downloads by the names of contents. Each is a task of its own: whoever
/// began it may stop waiting.
pub(super) struct Flights {
    known: Known,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

/// Forgets a download when it ends, in whatever way.
struct Landing(Known, String);

impl Drop for Landing {
    fn drop(&mut self) {
        lock(&self.0).remove(&self.1);
    }
}

impl Flights {
    /// Downloads end when this is cancelled.
    pub(super) fn new(cancel: CancellationToken) -> Flights {
        Flights {
            known: Known::default(),
            tasks: TaskTracker::new(),
            cancel,
        }
    }

    /// Waits for the download of a content, and begins it when there is none;
    /// false when it failed.
    pub(super) async fn join<Work>(&self, hash: &str, work: impl FnOnce() -> Work) -> bool
    where
        Work: Future<Output = bool> + Send + 'static,
    {
        let mut outcome = self.outcome(hash, work);
        let ended = outcome.wait_for(Option::is_some).await;
        ended.is_ok_and(|found| *found == Some(true))
    }

    /// Waits until cancelled, and then for every download to end.
    pub(super) fn end(&self) -> BoxFuture<'static, ()> {
        let (tasks, cancel) = (self.tasks.clone(), self.cancel.clone());
        Box::pin(async move {
            cancel.cancelled().await;
            tasks.close();
            tasks.wait().await;
        })
    }

    fn outcome<Work>(&self, hash: &str, work: impl FnOnce() -> Work) -> Outcome
    where
        Work: Future<Output = bool> + Send + 'static,
    {
        let mut known = lock(&self.known);
        if let Some(outcome) = known.get(hash) {
            return outcome.clone();
        }
        let (found, outcome) = watch::channel(None);
        known.insert(hash.to_owned(), outcome.clone());
        drop(known);
        let landing = Landing(self.known.clone(), hash.to_owned());
        let (work, cancel) = (work(), self.cancel.clone());
        self.tasks.spawn(async move {
            let done = tokio::select! {
                () = cancel.cancelled() => false,
                done = work => done,
            };
            // Who comes now begins anew, or finds the content.
            drop(landing);
            found.send_replace(Some(done));
        });
        outcome
    }
}

fn lock(known: &Known) -> MutexGuard<'_, HashMap<String, Outcome>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn many_who_wait_share_one_download_which_outlives_them() {
        let flights = Flights::new(CancellationToken::new());
        let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let work = || {
            let (begun, gate) = (begun.clone(), gate.clone());
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                gate.notified().await;
                true
            }
        };
        // Who began it leaves at once.
        assert!(futures::FutureExt::now_or_never(flights.join("a", work)).is_none());
        let waiters: Vec<_> = (0..9).map(|_| flights.join("a", work)).collect();
        let open = async {
            while begun.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            gate.notify_one();
        };
        let (found, ()) = tokio::join!(futures::future::join_all(waiters), open);
        assert_eq!(found, [true; 9]);
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        assert!(lock(&flights.known).is_empty());
        // The next one begins anew.
        gate.notify_one();
        assert!(flights.join("a", work).await);
        assert_eq!(begun.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn who_panics_or_is_cancelled_leaves_nobody_waiting() {
        let cancel = CancellationToken::new();
        let flights = Flights::new(cancel.clone());
        let panicking = || async { panic!("as it should") };
        assert!(!flights.join("a", panicking).await);
        assert!(lock(&flights.known).is_empty());
        let waiting = flights.join("a", std::future::pending);
        cancel.cancel();
        assert!(!waiting.await);
        flights.end().await;
    }
}
