//! Blocks in memory, and their names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use beth_network::Blocks;
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};

#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>);

impl Shelf {
    pub(crate) fn of(blocks: &[Vec<u8>]) -> Shelf {
        let shelf = Shelf::default();
        for block in blocks {
            shelf.put(block);
        }
        shelf
    }

    pub(crate) fn put(&self, block: &[u8]) {
        let digest = Sha256::digest(block).to_vec();
        self.0.lock().unwrap().insert(digest, block.to_vec());
    }

    fn find(&self, cid: &[u8]) -> Option<Vec<u8>> {
        let digest = &cid[cid.len().checked_sub(32)?..];
        self.0.lock().unwrap().get(digest).cloned()
    }
}

impl From<Shelf> for Arc<dyn Blocks> {
    fn from(shelf: Shelf) -> Self {
        Arc::new(shelf)
    }
}

impl Blocks for Shelf {
    fn size(&self, cid: &[u8]) -> BoxFuture<'_, Option<usize>> {
        let size = self.find(cid).map(|block| block.len());
        Box::pin(std::future::ready(size))
    }

    fn block(&self, cid: &[u8]) -> BoxFuture<'_, Option<Vec<u8>>> {
        Box::pin(std::future::ready(self.find(cid)))
    }
}

pub(crate) fn cid(block: &[u8]) -> Vec<u8> {
    [&[1, 0x55], cid_v0(block).as_slice()].concat()
}

pub(crate) fn cid_v0(block: &[u8]) -> Vec<u8> {
    [&[0x12, 0x20], Sha256::digest(block).as_slice()].concat()
}
