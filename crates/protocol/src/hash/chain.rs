//! SHA-256 checked chunk by chunk, from the last one to the first.
//!
//! ```text
//!   initial ──chunk 0──▶ state ──chunk 1──▶ state ──chunk 2 + padding──▶ digest
//!                          ◀── 3rd ──        ◀── 2nd ──            ◀── 1st ──
//! ```
//!
//! SHA-256 is a chain of states. Who knows the state after a chunk can check a
//! pair of (state before, chunk): only the true pair leads there, as another
//! one would be a preimage of the compression function. What is known at first
//! is the digest, so a content is checked backwards; each chunk that is right
//! makes the state before it known. The padding carries the size, so a wrong
//! size shows in the last chunk, and the first chunk must begin with the initial
//! state: at the end the whole is checked exactly as [`Sha256`](sha2::Sha256)
//! checks it.
//!
//! [`ChainHasher`] finds the states while bytes pass, [`Chain`] checks. A content
//! has at least one chunk, which may be empty; every chunk but the last has
//! [`CHUNK_BYTES`].

use sha2::block_api::compress256;

/// Bytes of every chunk but the last.
pub const CHUNK_BYTES: usize = 256 * 1024;

const BLOCK: usize = 64;

/// What SHA-256 remembers of the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State(pub [u8; 32]);

impl State {
    /// Before the first byte.
    pub const INITIAL: State = State([
        0x6a, 0x09, 0xe6, 0x67, 0xbb, 0x67, 0xae, 0x85, 0x3c, 0x6e, 0xf3, 0x72, 0xa5, 0x4f, 0xf5,
        0x3a, 0x51, 0x0e, 0x52, 0x7f, 0x9b, 0x05, 0x68, 0x8c, 0x1f, 0x83, 0xd9, 0xab, 0x5b, 0xe0,
        0xcd, 0x19,
    ]);

    fn words(self) -> [u32; 8] {
        let mut words = [0; 8];
        let (parts, _) = self.0.as_chunks::<4>();
        for (word, part) in words.iter_mut().zip(parts) {
            *word = u32::from_be_bytes(*part);
        }
        words
    }

    fn of_words(words: [u32; 8]) -> State {
        let mut bytes = [0; 32];
        let (parts, _) = bytes.as_chunks_mut::<4>();
        for (part, word) in parts.iter_mut().zip(words) {
            *part = word.to_be_bytes();
        }
        State(bytes)
    }
}

/// A chunk as it travels: what is needed to check it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The state before it.
    pub before: State,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// How many chunks a content of so many bytes has.
pub fn chunk_count(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(CHUNK_BYTES as u64).max(1)
}

/// Bytes of one of its chunks; 0 for one that it does not have.
pub fn chunk_bytes(size_bytes: u64, index: u64) -> usize {
    let start = index.saturating_mul(CHUNK_BYTES as u64);
    let left = size_bytes.saturating_sub(start);
    left.min(CHUNK_BYTES as u64) as usize
}

/// SHA-256 that remembers the states between chunks.
#[derive(Clone, Debug)]
pub struct ChainHasher {
    words: [u32; 8],
    /// Bytes that do not fill a block yet.
    tail: Vec<u8>,
    size_bytes: u64,
    states: Vec<State>,
}

impl Default for ChainHasher {
    fn default() -> ChainHasher {
        ChainHasher {
            words: State::INITIAL.words(),
            tail: Vec::with_capacity(BLOCK),
            size_bytes: 0,
            states: Vec::new(),
        }
    }
}

impl ChainHasher {
    /// Adds bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let within = (self.size_bytes % CHUNK_BYTES as u64) as usize;
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - within));
            self.absorb(now);
            self.size_bytes += now.len() as u64;
            if self.size_bytes.is_multiple_of(CHUNK_BYTES as u64) {
                self.states.push(State::of_words(self.words));
            }
            bytes = later;
        }
    }

    /// The digest, and the state before each chunk but the first.
    pub fn finish(mut self) -> ([u8; 32], Vec<State>) {
        self.states
            .truncate(chunk_count(self.size_bytes) as usize - 1);
        let digest = finished(self.words, &self.tail, self.size_bytes);
        (digest.0, self.states)
    }

    fn absorb(&mut self, bytes: &[u8]) {
        let missing = (BLOCK - self.tail.len()) % BLOCK;
        let (head, rest) = bytes.split_at(bytes.len().min(missing));
        self.tail.extend_from_slice(head);
        if self.tail.len() == BLOCK {
            compress256(&mut self.words, self.tail.as_chunks().0);
            self.tail.clear();
        }
        let (blocks, odd) = rest.as_chunks::<BLOCK>();
        compress256(&mut self.words, blocks);
        self.tail.extend_from_slice(odd);
    }
}

/// The padding behind bytes that do not fill a block.
fn finished(mut words: [u32; 8], tail: &[u8], size_bytes: u64) -> State {
    let mut padded = Vec::with_capacity(2 * BLOCK);
    padded.extend_from_slice(tail);
    padded.push(0x80);
    let zeros = (2 * BLOCK - 8 - padded.len()) % BLOCK;
    padded.resize(padded.len() + zeros, 0);
    padded.extend_from_slice(&size_bytes.wrapping_mul(8).to_be_bytes());
    compress256(&mut words, padded.as_chunks().0);
    State::of_words(words)
}

/// How far a content is checked: all from chunk `left` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Chunks that are left to check.
    pub left: u64,
    /// The state after the last of these; the digest as long as no chunk is
    /// checked.
    pub state: State,
}

/// Checks the chunks of a content, the last one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    size_bytes: u64,
    point: Point,
}

/// Why a chunk is not the true one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lie {
    /// Nothing is left to check.
    #[error("a chunk that the content does not have")]
    Superfluous,
    /// A chunk has as many bytes as follows from the size.
    #[error("a chunk of the wrong length")]
    Length,
    /// The first chunk does not begin with the initial state.
    #[error("a first chunk that does not begin the content")]
    Beginning,
    /// State and bytes do not lead to the state that is known.
    #[error("a chunk with wrong bytes, a wrong state or a wrong size")]
    Bytes,
}

impl Chain {
    /// Nothing of the content is checked, nor its size.
    pub fn new(digest: [u8; 32], size_bytes: u64) -> Chain {
        let point = Point {
            left: chunk_count(size_bytes),
            state: State(digest),
        };
        Chain { size_bytes, point }
    }

    /// Goes on where another one of the same content was.
    pub fn resume(size_bytes: u64, point: Point) -> Chain {
        Chain { size_bytes, point }
    }

    /// The chunk that can be checked now; `None` when all are.
    pub fn next(&self) -> Option<u64> {
        self.point.left.checked_sub(1)
    }

    /// How far it is.
    pub fn point(&self) -> Point {
        self.point
    }

    /// As it was said, and true once a chunk is checked.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Checks the next chunk. One that is wrong changes nothing.
    pub fn check(&mut self, chunk: &Chunk) -> Result<(), Lie> {
        let Chunk { before, bytes } = chunk;
        let index = self.next().ok_or(Lie::Superfluous)?;
        if bytes.len() != chunk_bytes(self.size_bytes, index) {
            return Err(Lie::Length);
        }
        if index == 0 && *before != State::INITIAL {
            return Err(Lie::Beginning);
        }
        let (blocks, tail) = bytes.as_chunks::<BLOCK>();
        let mut words = before.words();
        compress256(&mut words, blocks);
        let after = if index + 1 == chunk_count(self.size_bytes) {
            finished(words, tail, self.size_bytes)
        } else {
            State::of_words(words)
        };
        if after != self.point.state {
            return Err(Lie::Bytes);
        }
        self.point = Point {
            left: index,
            state: *before,
        };
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    fn bytes(size: usize, seed: u8) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        if let Some(first) = bytes.first_mut() {
            *first ^= seed;
        }
        bytes
    }

    fn hashed(bytes: &[u8], step: usize) -> ([u8; 32], Vec<State>) {
        let mut hasher = ChainHasher::default();
        for piece in bytes.chunks(step) {
            hasher.update(piece);
        }
        hasher.finish()
    }

    fn chunk(bytes: &[u8], states: &[State], index: u64) -> Chunk {
        let before = match index {
            0 => State::INITIAL,
            _ => states[index as usize - 1],
        };
        let start = index as usize * CHUNK_BYTES;
        let end = (start + CHUNK_BYTES).min(bytes.len());
        Chunk {
            before,
            bytes: bytes[start..end].to_vec(),
        }
    }

    const SIZES: [usize; 16] = [
        0,
        1,
        55,
        56,
        63,
        64,
        65,
        119,
        120,
        CHUNK_BYTES - 9,
        CHUNK_BYTES - 1,
        CHUNK_BYTES,
        CHUNK_BYTES + 1,
        2 * CHUNK_BYTES - 8,
        2 * CHUNK_BYTES,
        2 * CHUNK_BYTES + 64,
    ];

    #[test]
    fn the_digest_is_that_of_sha256_and_every_chunk_is_checked() {
        for size in SIZES {
            let bytes = bytes(size, 0);
            let (digest, states) = hashed(&bytes, 65_537);
            assert_eq!(digest, <[u8; 32]>::from(Sha256::digest(&bytes)), "{size}");
            assert_eq!(states.len() as u64 + 1, chunk_count(size as u64));
            let mut chain = Chain::new(digest, size as u64);
            while let Some(index) = chain.next() {
                let piece = chunk(&bytes, &states, index);
                assert_eq!(piece.bytes.len(), chunk_bytes(size as u64, index));
                assert_eq!(chain.check(&piece), Ok(()), "{size} {index}");
            }
            let beyond = chunk(&bytes, &states, 0);
            assert_eq!(chain.check(&beyond), Err(Lie::Superfluous));
        }
    }

    #[test]
    fn the_chain_must_begin_with_the_initial_state() {
        // A content whose first chunk is left out, offered from the state
        // after it: the bytes fit, but it is not the content of the digest.
        let bytes = bytes(2 * CHUNK_BYTES, 0);
        let (digest, states) = hashed(&bytes, 4_096);
        let mut chain = Chain::new(digest, 2 * CHUNK_BYTES as u64);
        chain.check(&chunk(&bytes, &states, 1)).unwrap();
        let mut first = chunk(&bytes, &states, 0);
        first.before = states[0];
        assert_eq!(chain.check(&first), Err(Lie::Beginning));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_lie_is_found_and_costs_nothing_else(
            place in 0..SIZES.len(),
            step in 1..200_000usize,
            lie in 0..4usize,
            seed in any::<u64>(),
        ) {
            let size = SIZES[place];
            let bytes = bytes(size, seed as u8);
            let (digest, states) = hashed(&bytes, step);
            let mut chain = Chain::new(digest, size as u64);
            let target = seed % chunk_count(size as u64);
            while let Some(index) = chain.next() {
                let piece = chunk(&bytes, &states, index);
                if index == target {
                    let mut wrong = piece.clone();
                    match lie {
                        0 => wrong.before.0[seed as usize % 32] ^= 1,
                        1 if !wrong.bytes.is_empty() => {
                            let at = seed as usize % wrong.bytes.len();
                            wrong.bytes[at] ^= 0x10;
                        }
                        2 if !wrong.bytes.is_empty() => { wrong.bytes.pop(); }
                        _ => wrong.bytes.push(0),
                    }
                    let known = chain;
                    prop_assert!(chain.check(&wrong).is_err());
                    prop_assert_eq!(chain, known);
                }
                prop_assert_eq!(chain.check(&piece), Ok(()));
                let point = chain.point();
                chain = Chain::resume(size as u64, point);
            }
        }

        #[test]
        fn a_wrong_size_shows_in_the_last_chunk(place in 0..SIZES.len(), other in 0..SIZES.len()) {
            prop_assume!(place != other);
            let (size, claimed) = (SIZES[place], SIZES[other] as u64);
            let bytes = bytes(size, 0);
            let (digest, states) = hashed(&bytes, 4_096);
            let mut chain = Chain::new(digest, claimed);
            let index = chain.next().unwrap();
            // The best that the liar can do is to take the true bytes, and zeros.
            let before = match index {
                0 => State::INITIAL,
                _ => states.get(index as usize - 1).copied().unwrap_or(State::INITIAL),
            };
            let start = (index as usize * CHUNK_BYTES).min(size);
            let mut bytes = bytes[start..].to_vec();
            bytes.resize(chunk_bytes(claimed, index), 0);
            prop_assert_eq!(chain.check(&Chunk { before, bytes }), Err(Lie::Bytes));
        }
    }
}
