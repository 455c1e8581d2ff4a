//! Messages that are in force here and that no other node took: whoever sends
//! one again has it published again.

use std::collections::{HashMap, VecDeque};

use crate::limits::{UNPUBLISHED_BYTES, UNPUBLISHED_MAX};

/// The latest of them, bounded in number and bytes.
#[derive(Default)]
pub(super) struct Unpublished {
    payloads: HashMap<String, Vec<u8>>,
    order: VecDeque<String>,
    size_bytes: usize,
}

impl Unpublished {
    pub fn keep(&mut self, item_hash: &str, payload: Vec<u8>) {
        self.size_bytes += payload.len();
        match self.payloads.insert(item_hash.to_owned(), payload) {
            Some(older) => self.size_bytes -= older.len(),
            None => self.order.push_back(item_hash.to_owned()),
        }
        while self.order.len() > UNPUBLISHED_MAX || self.size_bytes > UNPUBLISHED_BYTES {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            self.drop_payload(&oldest);
        }
    }

    pub fn take(&mut self, item_hash: &str) -> Option<Vec<u8>> {
        let payload = self.drop_payload(item_hash)?;
        self.order.retain(|known| known != item_hash);
        Some(payload)
    }

    fn drop_payload(&mut self, item_hash: &str) -> Option<Vec<u8>> {
        let payload = self.payloads.remove(item_hash)?;
        self.size_bytes -= payload.len();
        Some(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_latest_within_its_bounds() {
        let mut kept = Unpublished::default();
        let large = vec![0; UNPUBLISHED_BYTES / 2];
        for name in ["a", "b", "b", "c"] {
            kept.keep(name, large.clone());
        }
        assert_eq!(kept.take("a"), None, "the oldest made room");
        assert_eq!(
            kept.take("b").map(|payload| payload.len()),
            Some(large.len())
        );
        assert_eq!(kept.take("b"), None);
        assert!(kept.take("c").is_some());
        assert_eq!((kept.size_bytes, kept.order.len()), (0, 0));
    }
}
