//! Who wants a message, without asking everybody: each client is filed under
//! its most selective filter, and only those filed under what a message says
//! are asked for the rest of their filters.

use std::collections::HashMap;
use std::sync::Arc;

use super::interest::{Facts, Filed};
use super::line::Line;

/// Everybody who listens.
#[derive(Default)]
pub(super) struct Index {
    by: [HashMap<String, Vec<Arc<Line>>>; Filed::COUNT],
    everything: Vec<Arc<Line>>,
    number: u64,
}

impl Index {
    pub fn add(&mut self, line: &Arc<Line>) {
        if line.interest.is_empty() {
            return;
        }
        let Some((filed, values)) = line.interest.most_selective() else {
            return self.everything.push(line.clone());
        };
        for value in values {
            let place = self.by[filed as usize].entry(value.clone()).or_default();
            place.push(line.clone());
        }
    }

    pub fn remove(&mut self, line: &Arc<Line>) {
        let Some((filed, values)) = line.interest.most_selective() else {
            return remove(&mut self.everything, line);
        };
        let by = &mut self.by[filed as usize];
        for value in values {
            if let Some(place) = by.get_mut(value) {
                remove(place, line);
                if place.is_empty() {
                    by.remove(value);
                }
            }
        }
    }

    /// Calls `wanted` once for each client that wants the message.
    pub fn each(&mut self, facts: &Facts<'_>, mut wanted: impl FnMut(&Arc<Line>)) {
        self.number += 1;
        let number = self.number;
        let mut ask = |lines: &[Arc<Line>]| {
            for line in lines {
                if line.is_first(number) && line.interest.wants(facts) {
                    wanted(line);
                }
            }
        };
        ask(&self.everything);
        for filed in Filed::ALL {
            let by = &self.by[filed as usize];
            if by.is_empty() {
                continue;
            }
            facts.values(filed, |value| {
                if let Some(lines) = by.get(value) {
                    ask(lines);
                }
            });
        }
    }

    /// Takes everybody out.
    pub fn drain(&mut self) -> Vec<Arc<Line>> {
        let filed = self.by.iter_mut().flat_map(HashMap::drain);
        let filed = filed.flat_map(|(_, lines)| lines);
        filed.chain(self.everything.drain(..)).collect()
    }
}

fn remove(lines: &mut Vec<Arc<Line>>, line: &Arc<Line>) {
    if let Some(at) = lines.iter().position(|known| Arc::ptr_eq(known, line)) {
        lines.swap_remove(at);
    }
}
