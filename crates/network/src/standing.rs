//! How peers have behaved: points for faults, which fade, and who is blocked.
//!
//! ```text
//!   fault ─▶ points ──(half-life 10 min)──▶ forgotten
//!              │ with gossip's own score ≤ −100
//!              ▼
//!            blocked: 10 min, then 20, 40 … a day ─▶ free again
//! ```
//!
//! Pure: the clock is a parameter; gossip's score and the cutting of
//! connections belong to the node. What is remembered is bounded: the peer with
//! the least to remember is forgotten first.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

use crate::limits::{BLOCK_FIRST, BLOCK_LONGEST, BLOCK_MEMORY, FAULT_HALF_LIFE, STANDING_PEERS};

/// What is remembered of peers that misbehaved.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    records: HashMap<PeerId, Record>,
}

#[derive(Debug)]
struct Record {
    points: f64,
    /// When the points were so many.
    at: Instant,
    blocked: Option<Instant>,
    blocks: u32,
}

impl Standing {
    /// Adds points; returns how many there are.
    pub(crate) fn demote(&mut self, id: PeerId, points: f64, now: Instant) -> f64 {
        self.make_room(&id, now);
        let record = self.records.entry(id).or_insert(Record {
            points: 0.0,
            at: now,
            blocked: None,
            blocks: 0,
        });
        record.points = record.faded(now) + points;
        record.at = now;
        record.points
    }

    /// The points of a peer.
    pub(crate) fn points(&self, id: &PeerId, now: Instant) -> f64 {
        self.records.get(id).map_or(0.0, |record| record.faded(now))
    }

    /// Blocks a peer; returns for how long. Each time is twice as long as the
    /// one before.
    pub(crate) fn block(&mut self, id: PeerId, now: Instant) -> Duration {
        self.demote(id, 0.0, now);
        let Some(record) = self.records.get_mut(&id) else {
            return Duration::ZERO;
        };
        let time = BLOCK_FIRST
            .saturating_mul(2_u32.saturating_pow(record.blocks))
            .min(BLOCK_LONGEST);
        record.blocks = record.blocks.saturating_add(1);
        record.blocked = Some(now + time);
        time
    }

    /// Whether the peer is blocked.
    pub(crate) fn is_blocked(&self, id: &PeerId) -> bool {
        self.records
            .get(id)
            .is_some_and(|record| record.blocked.is_some())
    }

    /// The blocked peers, and until when.
    pub(crate) fn blocked(&self) -> impl Iterator<Item = (&PeerId, Instant)> {
        self.records
            .iter()
            .filter_map(|(id, record)| Some((id, record.blocked?)))
    }

    /// Frees the peers whose time is over, with a clean slate, and forgets
    /// those of whom nothing is left to remember.
    pub(crate) fn free(&mut self, now: Instant) -> Vec<PeerId> {
        let mut free = Vec::new();
        for (id, record) in &mut self.records {
            if record.blocked.is_some_and(|until| until <= now) {
                record.blocked = None;
                record.points = 0.0;
                record.at = now;
                free.push(*id);
            }
        }
        self.records.retain(|_, record| !record.is_empty(now));
        free
    }

    fn make_room(&mut self, id: &PeerId, now: Instant) {
        if self.records.len() < STANDING_PEERS || self.records.contains_key(id) {
            return;
        }
        let weight = |record: &Record| {
            let blocked = f64::from(u8::from(record.blocked.is_some()));
            record.faded(now) + 1_000.0 * blocked + f64::from(record.blocks)
        };
        let least = self
            .records
            .iter()
            .min_by(|(_, one), (_, other)| weight(one).total_cmp(&weight(other)))
            .map(|(id, _)| *id);
        if let Some(least) = least {
            self.records.remove(&least);
        }
    }
}

impl Record {
    fn faded(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.at).as_secs_f64();
        self.points * 0.5_f64.powf(age / FAULT_HALF_LIFE.as_secs_f64())
    }

    fn is_empty(&self, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.at);
        let repeats = self.blocks > 0 && age < BLOCK_MEMORY;
        self.blocked.is_none() && !repeats && self.faded(now) < 0.5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_fade() {
        let start = Instant::now();
        let mut standing = Standing::default();
        let id = PeerId::random();
        assert_eq!(standing.demote(id, 40.0, start), 40.0);
        let later = start + FAULT_HALF_LIFE;
        assert!((standing.points(&id, later) - 20.0).abs() < 1e-9);
        assert!((standing.demote(id, 10.0, later) - 30.0).abs() < 1e-9);
        assert!(standing.free(later).is_empty());
        assert_eq!(standing.records.len(), 1);
        standing.free(start + 20 * FAULT_HALF_LIFE);
        assert!(standing.records.is_empty());
    }

    #[test]
    fn blocks_double_and_end() {
        let mut now = Instant::now();
        let mut standing = Standing::default();
        let id = PeerId::random();
        for time in [BLOCK_FIRST, 2 * BLOCK_FIRST, 4 * BLOCK_FIRST] {
            standing.demote(id, 200.0, now);
            assert_eq!(standing.block(id, now), time);
            assert!(standing.is_blocked(&id));
            assert!(
                standing
                    .free(now + time - Duration::from_secs(1))
                    .is_empty()
            );
            now += time;
            assert_eq!(standing.free(now), [id]);
            assert!(!standing.is_blocked(&id));
            assert_eq!(standing.points(&id, now), 0.0);
        }
        for _ in 0..40 {
            assert!(standing.block(id, now) <= BLOCK_LONGEST);
        }
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_worst() {
        let now = Instant::now();
        let mut standing = Standing::default();
        let worst = PeerId::random();
        standing.demote(worst, 90.0, now);
        standing.block(worst, now);
        for _ in 0..STANDING_PEERS + 10 {
            standing.demote(PeerId::random(), 1.0, now);
        }
        assert_eq!(standing.records.len(), STANDING_PEERS);
        assert!(standing.is_blocked(&worst));
    }
}
