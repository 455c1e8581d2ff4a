//! Memory of the calls: each within its own bound, all within the node's.
//!
//! What is counted is what guests may touch, not what they have touched, so the
//! node cannot be driven into swapping by many calls that each keep to their
//! bound. Tables count as memory does, by their elements. A guest that is refused sees `memory.grow` fail, as on any machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use wasmtime::ResourceLimiter;

use crate::limits;

/// The node's memory for calls.
#[derive(Debug)]
pub(super) struct Budget {
    limit_bytes: u64,
    used_bytes: AtomicU64,
}

impl Budget {
    pub(super) fn new(limit_bytes: u64) -> Budget {
        Budget {
            limit_bytes,
            used_bytes: AtomicU64::new(0),
        }
    }

    fn take(&self, bytes: u64) -> bool {
        let taken = self
            .used_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes)
                    .filter(|sum| *sum <= self.limit_bytes)
            });
        taken.is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes that calls have now.
    pub(super) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }
}

/// The sum of all memories of one guest.
pub(super) struct MemoryLimit {
    limit_bytes: usize,
    used_bytes: usize,
    node: Arc<Budget>,
    refused: Arc<Refused>,
}

/// What a guest was refused; stays readable after the store.
#[derive(Debug, Default)]
pub(super) struct Refused {
    own: AtomicBool,
    node: AtomicBool,
}

impl Refused {
    /// Beyond the bound of its message.
    pub(super) fn by_its_bound(&self) -> bool {
        self.own.load(Ordering::Relaxed)
    }

    /// Because others have the memory of the node.
    pub(super) fn by_the_node(&self) -> bool {
        self.node.load(Ordering::Relaxed)
    }
}

impl MemoryLimit {
    pub(super) fn new(limit_bytes: usize, node: Arc<Budget>) -> MemoryLimit {
        MemoryLimit {
            limit_bytes,
            used_bytes: 0,
            node,
            refused: Arc::default(),
        }
    }

    pub(super) fn refused(&self) -> Arc<Refused> {
        self.refused.clone()
    }

    /// More memory, if there is some.
    fn take(&mut self, more: usize) -> bool {
        let used_bytes = self.used_bytes.saturating_add(more);
        if used_bytes > self.limit_bytes {
            self.refused.own.store(true, Ordering::Relaxed);
            return false;
        }
        if !self.node.take(more as u64) {
            self.refused.node.store(true, Ordering::Relaxed);
            return false;
        }
        self.used_bytes = used_bytes;
        true
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.take(desired.saturating_sub(current)))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = desired.saturating_sub(current);
        Ok(desired <= limits::TABLE_ELEMENTS_MAX
            && self.take(elements.saturating_mul(size_of::<usize>())))
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        self.node.give_back(self.used_bytes as u64);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_has_its_bound_and_the_node_has_one_for_all() {
        let node = Arc::new(Budget::new(300));
        let mut first = MemoryLimit::new(200, node.clone());
        let mut second = MemoryLimit::new(200, node.clone());
        assert!(first.memory_growing(0, 150, None).unwrap());
        assert!(!first.memory_growing(150, 201, None).unwrap());
        assert!(first.refused.by_its_bound() && !first.refused.by_the_node());
        assert!(!second.memory_growing(0, 151, None).unwrap());
        assert!(second.refused.by_the_node() && !second.refused.by_its_bound());
        assert!(second.memory_growing(0, 150, None).unwrap());
        assert_eq!(node.used_bytes(), 300);
        drop(first);
        assert_eq!(node.used_bytes(), 150);
        assert!(second.memory_growing(150, 200, None).unwrap());
        drop(second);
        assert_eq!(node.used_bytes(), 0);
        let mut third = MemoryLimit::new(1 << 30, node.clone());
        assert!(third.table_growing(0, 30, None).unwrap());
        assert_eq!(node.used_bytes(), 30 * size_of::<usize>() as u64);
        assert!(!third.table_growing(30, 40, None).unwrap());
    }
}
