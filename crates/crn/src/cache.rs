//! Answers that stay good for a while: bounded in number and age.
//!
//! Failures are not kept, so that the next one who asks tries again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A map whose entries expire.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    age_max: Duration,
    entries_max: usize,
    entries: Mutex<HashMap<K, (Instant, V)>>,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    /// Keeps up to `entries_max` answers, each for `age_max`.
    pub(crate) fn new(age_max: Duration, entries_max: usize) -> Cache<K, V> {
        Cache {
            age_max,
            entries_max,
            entries: Mutex::default(),
        }
    }

    /// What was kept, or what `ask` answers, which is kept then.
    pub(crate) async fn or_ask<E>(
        &self,
        key: &K,
        ask: impl Future<Output = Result<V, E>>,
    ) -> Result<V, E> {
        if let Some(value) = self.find(key) {
            return Ok(value);
        }
        let value = ask.await?;
        self.keep(key.clone(), value.clone());
        Ok(value)
    }

    /// What was kept and is still good.
    pub(crate) fn find(&self, key: &K) -> Option<V> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, value) = entries.get(key)?;
        (since.elapsed() < self.age_max).then(|| value.clone())
    }

    /// Forgets one answer.
    pub(crate) fn forget(&self, key: &K) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.remove(key);
    }

    fn keep(&self, key: K, value: V) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.entries_max {
            entries.retain(|_, (since, _)| since.elapsed() < self.age_max);
        }
        if entries.len() >= self.entries_max {
            let oldest = entries.iter().min_by_key(|(_, (since, _))| *since);
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.and_then(|oldest| entries.remove(&oldest));
        }
        entries.insert(key, (Instant::now(), value));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_are_kept_and_failures_are_not() {
        let cache = Cache::new(Duration::from_secs(60), 2);
        assert_eq!(cache.or_ask(&1, async { Err("away") }).await, Err("away"));
        for key in [1, 2, 3] {
            let asked = cache.or_ask(&key, async { Ok::<_, &str>(key * 10) });
            assert_eq!(asked.await, Ok(key * 10));
        }
        assert_eq!((cache.find(&1), cache.find(&3)), (None, Some(30)));
        let kept = cache.or_ask(&3, async { Err("away") }).await;
        assert_eq!(kept, Ok(30));
        cache.forget(&3);
        assert_eq!(cache.find(&3), None);
        let stale = Cache::new(Duration::ZERO, 2);
        assert_eq!(stale.or_ask(&1, async { Ok::<_, &str>(1) }).await, Ok(1));
        assert_eq!(stale.find(&1), None);
    }
}
