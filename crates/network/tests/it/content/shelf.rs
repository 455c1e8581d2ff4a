//! Contents in memory, honest and otherwise, and a basket to fetch into.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use beth_network::content::{
    AddError, Chunk, Contents, ContentsError, Digest, Growing, OpenContent, Opening,
};
use beth_protocol::hash::chain::{CHUNK_BYTES, Chain, ChainHasher, State};
use tokio::sync::watch;

/// What a liar lies about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    Bytes,
    State,
    Size,
    Length,
}

/// Something that happens once, and may be waited for.
#[derive(Clone)]
pub struct Gate(Arc<(Mutex<bool>, Condvar, watch::Sender<bool>)>);

impl Gate {
    pub fn closed() -> Gate {
        Gate(Arc::new((
            Mutex::new(false),
            Condvar::new(),
            watch::channel(false).0,
        )))
    }

    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
        self.0.2.send_replace(true);
    }

    /// Blocks the thread.
    fn wait(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }

    pub async fn passed(&self) {
        let mut open = self.0.2.subscribe();
        let passed = tokio::time::timeout(crate::DEADLINE, open.wait_for(|open| *open));
        passed.await.unwrap().unwrap();
    }
}

/// One content of a node.
pub struct Shelf {
    pub digest: Digest,
    pub bytes: Vec<u8>,
    states: Vec<State>,
    /// Chunks that were asked for.
    pub asked: AtomicU64,
    pub given: Arc<AtomicU64>,
    manner: Manner,
}

enum Manner {
    Honest,
    /// Says nothing until the gate is open.
    Waiting(Gate),
    /// Lies after so many chunks, and opens the gate when it is asked for one.
    Lying(Lie, u64, Gate),
    /// Opens the gate after so many chunks and gives no more until released.
    Stopping(u64, Gate, Gate),
}

impl Shelf {
    fn new(size: usize, manner: Manner) -> Arc<Shelf> {
        let bytes: Vec<u8> = (0..size).map(|at| (at % 250) as u8).collect();
        let mut hasher = ChainHasher::default();
        hasher.update(&bytes);
        let (digest, states) = hasher.finish();
        Arc::new(Shelf {
            digest,
            bytes,
            states,
            asked: AtomicU64::new(0),
            given: Arc::default(),
            manner,
        })
    }

    pub fn honest(size: usize) -> Arc<Shelf> {
        Shelf::new(size, Manner::Honest)
    }

    pub fn waiting(size: usize, gate: &Gate) -> Arc<Shelf> {
        Shelf::new(size, Manner::Waiting(gate.clone()))
    }

    pub fn lying(size: usize, lie: Lie, after: u64, gate: &Gate) -> Arc<Shelf> {
        Shelf::new(size, Manner::Lying(lie, after, gate.clone()))
    }

    pub fn stopping(size: usize, after: u64, gate: &Gate) -> Arc<Shelf> {
        Shelf::new(size, Manner::Stopping(after, gate.clone(), Gate::closed()))
    }

    /// Lets threads go that wait here.
    pub fn release(&self) {
        if let Manner::Stopping(_, _, released) = &self.manner {
            released.open();
        }
    }

    fn true_chunk(&self, index: u64) -> Chunk {
        let start = index as usize * CHUNK_BYTES;
        let end = (start + CHUNK_BYTES).min(self.bytes.len());
        Chunk {
            before: match index {
                0 => State::INITIAL,
                _ => self.states[index as usize - 1],
            },
            bytes: self.bytes[start.min(end)..end].to_vec(),
        }
    }

    fn chunk(&self, index: u64) -> Option<Chunk> {
        let before = self.asked.fetch_add(1, Ordering::SeqCst);
        if let Manner::Stopping(after, gate, released) = &self.manner
            && before >= *after
        {
            gate.open();
            released.wait();
        }
        let Manner::Lying(lie, after, gate) = &self.manner else {
            return Some(self.true_chunk(index));
        };
        if before >= *after {
            gate.open();
        }
        let last = self.bytes.len().div_ceil(CHUNK_BYTES) as u64 - 1;
        let mut chunk = self.true_chunk(index.min(last));
        match lie {
            _ if before < *after => {}
            Lie::Bytes => chunk.bytes[0] ^= 1,
            Lie::State => chunk.before.0[31] ^= 1,
            Lie::Size => chunk.bytes.truncate(1),
            Lie::Length => drop(chunk.bytes.pop()),
        }
        Some(chunk)
    }
}

/// A shelf that is open.
struct Open(Arc<Shelf>);

impl OpenContent for Open {
    fn chunk(&self, index: u64) -> Result<Option<Chunk>, ContentsError> {
        Ok(self.0.chunk(index))
    }
}

/// Of a test, by way of its shelf.
impl Contents for Shelf {
    fn size_bytes(&self, digest: &Digest) -> Result<Option<u64>, ContentsError> {
        if let Manner::Waiting(gate) = &self.manner {
            gate.wait();
        }
        let size = match self.manner {
            Manner::Lying(Lie::Size, ..) => CHUNK_BYTES as u64 * 50 + 1,
            _ => self.bytes.len() as u64,
        };
        Ok((*digest == self.digest).then_some(size))
    }

    fn open(&self, _: &Digest) -> Result<Opening, ContentsError> {
        // What is read is the same, whoever reads.
        let manner = match &self.manner {
            Manner::Honest | Manner::Waiting(_) => Manner::Honest,
            Manner::Lying(lie, after, gate) => Manner::Lying(*lie, *after, gate.clone()),
            Manner::Stopping(after, gate, released) => {
                Manner::Stopping(*after, gate.clone(), released.clone())
            }
        };
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(Opening::Open(Arc::new(Open(Arc::new(Shelf {
            digest: self.digest,
            bytes: self.bytes.clone(),
            states: self.states.clone(),
            asked: AtomicU64::new(0),
            given: self.given.clone(),
            manner,
        })))))
    }

    fn given(&self, bytes: u64) {
        self.given.fetch_add(bytes, Ordering::SeqCst);
    }
}

/// Takes chunks in memory.
pub struct Basket {
    digest: Digest,
    chain: Option<Chain>,
    chunks: BTreeMap<u64, Vec<u8>>,
    pub paused: bool,
}

impl Basket {
    pub fn of(shelf: &Shelf) -> Basket {
        Basket {
            digest: shelf.digest,
            chain: None,
            chunks: BTreeMap::new(),
            paused: false,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        assert_eq!(self.next(), None);
        self.chunks.values().flatten().copied().collect()
    }
}

impl Growing for Basket {
    fn size_bytes(&self) -> Option<u64> {
        let chain = self.chain.filter(|_| !self.chunks.is_empty());
        chain.map(|chain| chain.size_bytes())
    }

    fn begin(&mut self, size_bytes: u64) {
        if self.chunks.is_empty() {
            self.chain = Some(Chain::new(self.digest, size_bytes));
        }
    }

    fn next(&self) -> Option<u64> {
        self.chain?.next()
    }

    fn add(&mut self, chunk: &Chunk) -> Result<(), AddError> {
        let chain = self.chain.as_mut().expect("begun");
        chain.check(chunk)?;
        self.chunks.insert(chain.point().left, chunk.bytes.clone());
        Ok(())
    }

    fn pause(&mut self) -> Result<(), ContentsError> {
        self.paused = true;
        Ok(())
    }
}
