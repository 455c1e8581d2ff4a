//! Whether an archive that is kept is still what it was when it came.

use std::fs::File;
use std::path::Path;

use super::super::proof::{Early, Pace, each_piece};
use super::arriving::{Head, note};
use super::index::{self, Index, Slot};
use super::walk::walk;
use super::{Archive, ArchiveError, ArchiveFault, Extent, Source};
use beth_protocol::dag::car::CarReader;

impl From<ArchiveFault> for Early {
    fn from(fault: ArchiveFault) -> Early {
        Early::Rotten(fault.to_string())
    }
}

impl From<ArchiveError> for Early {
    fn from(error: ArchiveError) -> Early {
        Early::Rotten(error.to_string())
    }
}

impl Archive {
    /// Reads every block of the archive at `path` and compares it with its name,
    /// the index with the blocks, and the graph with what is noted of it.
    pub(in super::super) fn prove(
        path: &Path,
        name: &str,
        pace: Pace<'_>,
    ) -> Result<Extent, Early> {
        let file = File::open(path)?;
        let (kept, extent) = index::read_end(&file)?;
        let Index::Kept { start, .. } = &kept else {
            return Err(Early::Rotten("an index is not kept".into()));
        };
        let (mut reader, mut head, mut slots) = (CarReader::new(), None, Vec::new());
        each_piece(&file, *start, pace, |piece| {
            let read = reader.read(piece, |section| note(section, &mut head, &mut slots));
            read.map_err(Early::from)
        })?;
        reader.finish().map_err(ArchiveFault::from)?;
        slots.sort_unstable_by_key(|slot: &Slot| (slot.digest, slot.offset));
        slots.dedup_by(|a, b| a.digest == b.digest);
        if kept.slots(&file)? != slots {
            return Err(Early::Rotten("its index is damaged".into()));
        }
        let root = head.filter(|head: &Head| head.root == name);
        let root = root.ok_or_else(|| Early::Rotten("it has another root".into()))?;
        let archive = Archive {
            root: root.block.map_err(ArchiveFault::Root)?,
            extent,
            blocks: Source::Own {
                file,
                index: Index::Held(slots),
            },
        };
        let count = archive.block_count();
        match walk(&archive, count)?.extent == extent {
            true => Ok(extent),
            false => Err(Early::Rotten("what is noted of it is damaged".into())),
        }
    }

    /// Blocks of an archive whose index is held.
    fn block_count(&self) -> usize {
        match &self.blocks {
            Source::Own {
                index: Index::Held(slots),
                ..
            } => slots.len(),
            _ => 0,
        }
    }
}
