//! Where chunks are checked: a thread that hashes and writes.

use std::collections::BTreeMap;

use beth_protocol::hash::chain::{Chunk, Lie};
use tokio::sync::mpsc;

use super::plan::SourceId;
use super::shelf::{AddError, ContentsError, Growing};

/// What the desk is given.
#[derive(Debug)]
pub(super) enum Paper {
    /// The content is said to have so many bytes; chunks that wait are thrown
    /// away.
    Size(u64),
    /// A chunk that came.
    Chunk(u64, SourceId, Chunk),
}

/// What the desk found.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The chunk is right and kept.
    Right { index: u64, from: Came },
    /// The chunk is wrong.
    Wrong { index: u64, from: Came, lie: Lie },
    /// The chunk is not needed any more.
    Spare { index: u64, from: Came },
    /// A paper is dealt with; what was found has been told.
    Done,
    /// Nothing can be kept.
    Failed(ContentsError),
}

/// Where a chunk came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    pub(super) source: SourceId,
    pub(super) bytes: u64,
}

/// Checks what comes, in the order in which it can be checked, until no more
/// comes or all is here. Blocks.
pub(super) fn work<G: Growing>(
    mut growing: G,
    mut papers: mpsc::Receiver<Paper>,
    verdicts: &mpsc::Sender<Verdict>,
) -> G {
    let mut waiting: BTreeMap<u64, Vec<(SourceId, Chunk)>> = BTreeMap::new();
    while let Some(paper) = papers.blocking_recv() {
        match paper {
            Paper::Size(size_bytes) => {
                waiting.clear();
                growing.begin(size_bytes);
            }
            Paper::Chunk(index, source, chunk) => {
                waiting.entry(index).or_default().push((source, chunk));
            }
        }
        let found = check(&mut growing, &mut waiting);
        for verdict in found.into_iter().chain([Verdict::Done]) {
            if verdicts.blocking_send(verdict).is_err() {
                break;
            }
        }
    }
    if growing.next().is_some()
        && let Err(error) = growing.pause()
    {
        tracing::warn!(%error, "what came of a content cannot be gone on with later");
    }
    growing
}

fn check<G: Growing>(
    growing: &mut G,
    waiting: &mut BTreeMap<u64, Vec<(SourceId, Chunk)>>,
) -> Vec<Verdict> {
    let mut found = Vec::new();
    let left = growing.next().map_or(0, |index| index + 1);
    for (index, chunks) in waiting.split_off(&left) {
        found.extend(spare(index, &chunks));
    }
    while let Some(index) = growing.next() {
        let Some(chunks) = waiting.get_mut(&index) else {
            break;
        };
        let Some((source, chunk)) = chunks.pop() else {
            waiting.remove(&index);
            break;
        };
        let from = came(source, &chunk);
        match growing.add(&chunk) {
            Ok(()) => {
                found.push(Verdict::Right { index, from });
                let rest = waiting.remove(&index).unwrap_or_default();
                found.extend(spare(index, &rest));
            }
            Err(AddError::Lie(lie)) => found.push(Verdict::Wrong { index, from, lie }),
            Err(AddError::Failed(error)) => {
                found.push(Verdict::Failed(error));
                break;
            }
        }
    }
    found
}

fn came(source: SourceId, chunk: &Chunk) -> Came {
    let bytes = chunk.bytes.len() as u64;
    Came { source, bytes }
}

fn spare(index: u64, chunks: &[(SourceId, Chunk)]) -> impl Iterator<Item = Verdict> {
    chunks.iter().map(move |(source, chunk)| Verdict::Spare {
        index,
        from: came(*source, chunk),
    })
}
