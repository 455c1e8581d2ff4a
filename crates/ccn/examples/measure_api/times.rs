//! Many durations, and what they say.

use std::time::Duration;

/// In the order of their measurement until asked.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub fn join(&mut self, others: &Times) {
        self.0.extend(&others.0);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The duration that this share of all does not exceed, in milliseconds.
    pub fn at(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let index = (sorted.len() as f64 * share).ceil() as usize;
        let found = sorted.get(index.saturating_sub(1));
        found.map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
    }

    /// Two cells of a table.
    pub fn cells(&self) -> String {
        format!("{:.2} | {:.2}", self.at(0.5), self.at(0.99))
    }
}
