//! Places for connections: so many in all, so many for one client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use crate::networks::group_of;
use crate::stats::{Stats, count};

/// Every place of a server.
pub(crate) struct Places {
    all: usize,
    per_client: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
    stats: Arc<Stats>,
}

/// One connection's place, given back when it is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    client: Option<IpAddr>,
}

impl Places {
    pub fn new(all: usize, per_client: usize, stats: Arc<Stats>) -> Arc<Places> {
        Arc::new(Places {
            all,
            per_client,
            taken: Mutex::default(),
            stats,
        })
    }

    /// A place, unless there is none. `None` as a client is counted in the whole
    /// alone.
    pub fn take(self: &Arc<Self>, client: Option<IpAddr>) -> Option<Place> {
        let client = client.map(group_of);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stats.open.load(Ordering::Relaxed) >= self.all as u64 {
            count(&self.stats.refused_full);
            return None;
        }
        if let Some(client) = client {
            let of_client = taken.entry(client).or_default();
            if *of_client >= self.per_client {
                count(&self.stats.refused_client);
                return None;
            }
            *of_client += 1;
        }
        count(&self.stats.open);
        Some(Place {
            places: self.clone(),
            client,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self
            .places
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.places.stats.open.fetch_sub(1, Ordering::Relaxed);
        let Some(client) = self.client else { return };
        let left = taken.get_mut(&client).map(|of_client| {
            *of_client = of_client.saturating_sub(1);
            *of_client
        });
        if left == Some(0) {
            taken.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back_and_the_table_forgets() {
        let places = Places::new(3, 2, Arc::default());
        let [one, other] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(|bytes| Some(IpAddr::from(bytes)));
        let first = places.take(one);
        let second = places.take(one);
        assert!(first.is_some() && second.is_some());
        assert!(places.take(one).is_none(), "a third of the same client");
        let third = places.take(other);
        assert!(third.is_some());
        assert!(places.take(None).is_none(), "a fourth in all");
        drop(first);
        assert!(places.take(one).is_some());
        drop((second, third));
        assert!(places.taken.lock().is_ok_and(|taken| taken.is_empty()));
        let counts = places.stats.counts();
        assert_eq!(
            (counts.open, counts.refused_full, counts.refused_client),
            (0, 1, 1)
        );
    }
}
