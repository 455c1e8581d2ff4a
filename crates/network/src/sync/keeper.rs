//! Whom to visit next.
//!
//! ```text
//!   connected ─▶ due ─▶ visit ─┬─ in step ─▶ due after the period
//!                 ▲            ├─ found something ─▶ due after a moment
//!                 │            ├─ failed ─▶ due later and later
//!       is our guest: later    └─ cannot ─▶ never while connected
//! ```
//!
//! One visit at a time, so that nothing is fetched from two neighbours; but a
//! neighbour that keeps us waiting does not keep the others waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use libp2p::PeerId;
use libp2p_stream::Control;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::blame;
use super::guests::Guests;
use super::library::Library;
use super::pulse::Pulse;
use super::visit::{Visit, VisitError, visit};
use crate::limits::{SYNC_AGAIN, SYNC_PERIOD, SYNC_POLITENESS, SYNC_STALL, SYNC_VISITS};
use crate::network::Network;

/// Is told of each visit: to whom, and what it was like.
pub(crate) type Seen = Arc<dyn Fn(&str, &Visit) + Send + Sync>;

/// How a visit ended.
type Paid = (PeerId, Result<Visit, VisitError>);

/// Visits the neighbours in turn.
pub(crate) struct Keeper {
    pub(crate) control: Control,
    pub(crate) library: Arc<dyn Library>,
    /// Our own id.
    pub(crate) own: PeerId,
    /// Who is connected.
    pub(crate) peers: watch::Receiver<BTreeSet<PeerId>>,
    pub(crate) guests: Guests,
    pub(crate) seen: Seen,
    pub(crate) network: Network,
}

/// A neighbour.
struct Neighbour {
    state: Turn,
    failures: u32,
    /// Fetched and offered in the last visit. The same again, and nothing of it
    /// came into force: one of us refuses what the other has.
    difference: (u64, u64),
}

/// Whether it is its turn.
enum Turn {
    Due(Instant),
    /// A visit is under way.
    Visited(Pulse),
    /// It does not reconcile.
    Never,
}

impl Keeper {
    /// Until cancelled; visits under way end with it.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let mut known: BTreeMap<PeerId, Neighbour> = BTreeMap::new();
        let mut visits: JoinSet<Paid> = JoinSet::new();
        loop {
            self.meet(&mut known);
            let next = next(&known, Instant::now());
            let when = next.map_or_else(|| Instant::now() + SYNC_PERIOD, |(when, _)| when);
            tokio::select! {
                () = cancel.cancelled() => return,
                changed = self.peers.changed() => if changed.is_err() { return },
                Some(Ok(paid)) = visits.join_next() => self.settle(paid, &mut known),
                () = sleep_until(when) => {
                    if let Some((_, peer)) = next {
                        self.call_on(peer, &mut known, &mut visits);
                    }
                }
            }
        }
    }

    /// Who is new is due, who is gone is forgotten. Of two neighbours that meet
    /// one is quicker, so that they do not tell each other the same.
    fn meet(&mut self, known: &mut BTreeMap<PeerId, Neighbour>) {
        let here = self.peers.borrow_and_update();
        known.retain(|peer, _| here.contains(peer));
        for peer in here.iter() {
            let politeness = match *peer > self.own {
                true => SYNC_POLITENESS,
                false => Duration::ZERO,
            };
            known.entry(*peer).or_insert_with(|| Neighbour {
                state: Turn::Due(Instant::now() + politeness),
                failures: 0,
                difference: (0, 0),
            });
        }
    }

    fn call_on(
        &self,
        peer: PeerId,
        known: &mut BTreeMap<PeerId, Neighbour>,
        visits: &mut JoinSet<Paid>,
    ) {
        let Some(neighbour) = known.get_mut(&peer) else {
            return;
        };
        if self.guests.has(&peer) {
            neighbour.state = Turn::Due(Instant::now() + SYNC_AGAIN);
            return;
        }
        let pulse = Pulse::default();
        pulse.pause();
        neighbour.state = Turn::Visited(pulse.clone());
        let (control, library) = (self.control.clone(), self.library.clone());
        visits.spawn(async move { (peer, visit(control, peer, (library, pulse)).await) });
    }

    fn settle(&self, (peer, paid): Paid, known: &mut BTreeMap<PeerId, Neighbour>) {
        match &paid {
            Ok(seen) => {
                (self.seen)(&peer.to_string(), seen);
                blame(&self.network, peer, seen.wrong);
            }
            Err(error) => {
                if let Some(fault) = error.fault() {
                    self.network.demote(&peer.to_string(), fault);
                }
            }
        }
        let Some(neighbour) = known.get_mut(&peer) else {
            return;
        };
        let pause = match paid {
            Ok(seen) => {
                neighbour.failures = 0;
                let difference = (seen.fetched, seen.offered);
                let before = std::mem::replace(&mut neighbour.difference, difference);
                let is_stuck = seen.in_force == 0 && difference == before;
                match difference {
                    (0, 0) => SYNC_PERIOD,
                    _ if is_stuck => SYNC_PERIOD,
                    _ => SYNC_AGAIN,
                }
            }
            Err(VisitError::Unsupported(_)) => {
                neighbour.state = Turn::Never;
                return;
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "reconciliation with a peer failed");
                neighbour.failures = neighbour.failures.saturating_add(1);
                after_failures(neighbour.failures)
            }
        };
        neighbour.state = Turn::Due(Instant::now() + pause);
    }
}

/// Whom to visit next, and when: not before those under way are done or stall.
fn next(known: &BTreeMap<PeerId, Neighbour>, now: Instant) -> Option<(Instant, PeerId)> {
    let mut free = now;
    let mut under_way = 0;
    for neighbour in known.values() {
        if let Turn::Visited(pulse) = &neighbour.state {
            under_way += 1;
            free = free.max(pulse.since().unwrap_or(now) + SYNC_STALL);
        }
    }
    if under_way >= SYNC_VISITS {
        return None;
    }
    let due = known
        .iter()
        .filter_map(|(peer, neighbour)| match neighbour.state {
            Turn::Due(when) => Some((when.max(free), *peer, when)),
            _ => None,
        });
    let (when, peer, _) = due.min_by_key(|(_, _, when)| *when)?;
    Some((when, peer))
}

fn after_failures(failures: u32) -> Duration {
    SYNC_AGAIN
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(SYNC_PERIOD)
}
