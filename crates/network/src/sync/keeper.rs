//! Whom to visit next.
//!
//! ```text
//!   connected ─▶ due at once ─▶ visit ─┬─ in step ─▶ due after the period
//!                                      ├─ found something ─▶ due after a moment
//!                                      ├─ failed ─▶ due later and later
//!                                      └─ cannot ─▶ never while connected
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use libp2p::PeerId;
use libp2p_stream::Control;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::library::Library;
use super::visit::{Visit, VisitError, visit};
use crate::limits::{SYNC_AGAIN, SYNC_PERIOD};

/// Is told of each visit: to whom, and what it was like.
pub(crate) type Seen = Arc<dyn Fn(&str, &Visit) + Send + Sync>;

/// Visits the neighbours in turn.
pub(crate) struct Keeper {
    pub(crate) control: Control,
    pub(crate) library: Arc<dyn Library>,
    /// Who is connected.
    pub(crate) peers: watch::Receiver<BTreeSet<PeerId>>,
    pub(crate) seen: Seen,
}

/// A neighbour.
struct Neighbour {
    /// `None`: it does not reconcile.
    due: Option<Instant>,
    failures: u32,
}

impl Keeper {
    /// Until cancelled.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let mut known: BTreeMap<PeerId, Neighbour> = BTreeMap::new();
        loop {
            self.meet(&mut known);
            let due = known
                .iter()
                .filter_map(|(peer, one)| Some((one.due?, *peer)));
            let next = due.min();
            let (when, peer) = match next {
                Some((when, peer)) => (when, Some(peer)),
                None => (Instant::now() + SYNC_PERIOD, None),
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                changed = self.peers.changed() => if changed.is_err() { return },
                () = sleep_until(when) => {
                    if let Some(peer) = peer {
                        self.call_on(peer, &mut known, &cancel).await;
                    }
                }
            }
        }
    }

    /// Who is new is due at once, who is gone is forgotten.
    fn meet(&mut self, known: &mut BTreeMap<PeerId, Neighbour>) {
        let here = self.peers.borrow_and_update();
        known.retain(|peer, _| here.contains(peer));
        for peer in here.iter() {
            known.entry(*peer).or_insert_with(|| Neighbour {
                due: Some(Instant::now()),
                failures: 0,
            });
        }
    }

    async fn call_on(
        &mut self,
        peer: PeerId,
        known: &mut BTreeMap<PeerId, Neighbour>,
        cancel: &CancellationToken,
    ) {
        let paid = tokio::select! {
            () = cancel.cancelled() => return,
            paid = visit(&mut self.control, peer, &self.library) => paid,
        };
        let Some(neighbour) = known.get_mut(&peer) else {
            return;
        };
        let pause = match paid {
            Ok(seen) => {
                (self.seen)(&peer.to_string(), &seen);
                neighbour.failures = 0;
                match seen.fetched + seen.offered {
                    0 => SYNC_PERIOD,
                    _ => SYNC_AGAIN,
                }
            }
            Err(VisitError::Unsupported(_)) => {
                neighbour.due = None;
                return;
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "reconciliation with a peer failed");
                neighbour.failures = neighbour.failures.saturating_add(1);
                after_failures(neighbour.failures)
            }
        };
        neighbour.due = Some(Instant::now() + pause);
    }
}

fn after_failures(failures: u32) -> Duration {
    SYNC_AGAIN
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(SYNC_PERIOD)
}
