//! An archive that arrives: every block is compared with its name while it is
//! written; at the end the graph is walked.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use beth_protocol::dag::car::{CarReader, Section};
use beth_protocol::dag::{BlockName, UnknownBlock};

use super::super::{Blobs, remove_quietly, touch};
use super::index::{self, Index, Slot};
use super::walk::walk;
use super::{Archive, ArchiveError, ArchiveFault, Extent, Source};
use crate::error::Error;
use crate::limits::ARCHIVE_BLOCKS_MAX;

/// An archive being written. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct IncomingArchive {
    draft: Draft,
    reader: CarReader,
    head: Option<Head>,
    slots: Vec<Slot>,
    size_bytes: u64,
    fault: Option<ArchiveFault>,
}

/// A whole archive, not yet in place.
#[derive(Debug)]
pub struct Checked {
    draft: Draft,
    /// CID of the root.
    pub root: String,
    /// How much it is.
    pub extent: Extent,
    /// Bytes of every block, each as often as it occurs.
    pub tree_bytes: u64,
}

/// What an archive begins with.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub root: String,
    pub block: Result<BlockName, UnknownBlock>,
    pub size_bytes: u64,
}

/// A temporary file, gone when dropped.
#[derive(Debug)]
pub(super) struct Draft {
    pub path: PathBuf,
    pub file: File,
}

impl Checked {
    /// Where it is until it is kept.
    pub(super) fn path(&self) -> &Path {
        &self.draft.path
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        remove_quietly(&self.path);
    }
}

impl Draft {
    fn failed(&self, source: io::Error) -> Error {
        Error::file(&self.path, source)
    }
}

impl Blobs {
    /// Begins an archive.
    pub fn begin_archive(&self) -> Result<IncomingArchive, Error> {
        Ok(IncomingArchive {
            draft: self.draft()?,
            reader: CarReader::new(),
            head: None,
            slots: Vec::new(),
            size_bytes: 0,
            fault: None,
        })
    }

    fn draft(&self) -> Result<Draft, Error> {
        let path = self.temporary();
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path);
        match file {
            Ok(file) => Ok(Draft { path, file }),
            Err(source) => Err(Error::file(path, source)),
        }
    }

    /// Ends an archive: whole, and without what does not belong to it.
    pub fn check(&self, incoming: IncomingArchive) -> Result<Checked, ArchiveError> {
        let head = incoming.head()?.clone();
        incoming.fault.map_or(Ok(()), Err)?;
        incoming.reader.finish()?;
        let blocks = (incoming.slots, incoming.size_bytes);
        self.whole(incoming.draft, head, blocks)
    }

    /// Looks at the graph of an archive with these blocks and so many bytes.
    pub(super) fn whole(
        &self,
        mut draft: Draft,
        head: Head,
        (mut slots, size_bytes): (Vec<Slot>, u64),
    ) -> Result<Checked, ArchiveError> {
        slots.sort_unstable_by_key(|slot| (slot.digest, slot.offset));
        slots.dedup_by(|a, b| a.digest == b.digest);
        let file = draft
            .file
            .try_clone()
            .map_err(|source| draft.failed(source))?;
        let archive = Archive {
            root: head.block.map_err(ArchiveFault::Root)?,
            extent: Extent::of_file(0),
            blocks: Source::Own {
                file,
                index: Index::Held(slots),
            },
        };
        let Source::Own {
            index: Index::Held(slots),
            ..
        } = &archive.blocks
        else {
            return Err(Error::Damaged("an index is not held".into()).into());
        };
        let whole = walk(&archive, slots.len())?;
        let mut reached: Vec<Slot> = slots
            .iter()
            .zip(&whole.reached)
            .filter_map(|(slot, is_reached)| is_reached.then_some(*slot))
            .collect();
        let useful = reached.iter().map(Slot::section_bytes).sum::<u64>() + head.size_bytes;
        let mut car_bytes = size_bytes;
        if useful < size_bytes {
            draft = self.without_waste(&draft, head.size_bytes, &mut reached)?;
            car_bytes = useful;
        }
        finish(&mut draft, (&reached, car_bytes), whole.extent)?;
        Ok(Checked {
            draft,
            root: head.root,
            extent: whole.extent,
            tree_bytes: whole.tree_bytes,
        })
    }

    /// Copies the header and these blocks, which learn their new places.
    fn without_waste(
        &self,
        from: &Draft,
        head_bytes: u64,
        slots: &mut [Slot],
    ) -> Result<Draft, Error> {
        let mut to = self.draft()?;
        let mut order: Vec<&mut Slot> = slots.iter_mut().collect();
        order.sort_unstable_by_key(|slot| slot.offset);
        let mut copy = |start: u64, bytes: u64| -> io::Result<()> {
            let mut source = &from.file;
            source.seek(SeekFrom::Start(start))?;
            io::copy(&mut source.take(bytes), &mut to.file).map(drop)
        };
        let mut at = head_bytes;
        let mut copied = copy(0, head_bytes);
        for slot in order {
            let head = u64::from(slot.head);
            copied = copied.and_then(|()| copy(slot.offset - head, slot.section_bytes()));
            slot.offset = at + head;
            at += slot.section_bytes();
        }
        copied.map_err(|source| from.failed(source))?;
        Ok(to)
    }

    /// Puts a whole archive in its place. Idempotent.
    pub fn keep_archive(&self, mut checked: Checked) -> Result<Checked, Error> {
        let name = self.archive_path(&checked.root);
        let target = name.ok_or_else(|| Error::Damaged("a root is no name".into()))?;
        let held = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if touch(&target).is_ok() {
            return Ok(checked);
        }
        let folder = target.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(|source| Error::file(folder, source))?;
        fs::rename(&checked.draft.path, &target).map_err(|source| Error::file(&target, source))?;
        checked.draft.path = PathBuf::new();
        // The name must survive a power cut as well as the bytes.
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| Error::file(folder, source))?;
        drop(held);
        self.note_archive(&checked.root, &target);
        Ok(checked)
    }
}

impl IncomingArchive {
    /// Adds bytes. What is wrong with them is said at the end; from then on
    /// nothing is kept.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.size_bytes += bytes.len() as u64;
        if self.fault.is_some() {
            return Ok(());
        }
        let (draft, head, slots) = (&mut self.draft, &mut self.head, &mut self.slots);
        let written = draft.file.write_all(bytes);
        written.map_err(|source| Error::file(&draft.path, source))?;
        let read = self
            .reader
            .read(bytes, |section| note(section, head, slots));
        self.fault = read.err();
        Ok(())
    }

    /// Bytes so far.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// CID of the root, once the archive has ended.
    pub fn root(&self) -> Result<&str, ArchiveFault> {
        Ok(&self.head()?.root)
    }

    fn head(&self) -> Result<&Head, ArchiveFault> {
        if let Some(head) = &self.head {
            return Ok(head);
        }
        self.fault.clone().map_or(Ok(()), Err)?;
        let ended = self.reader.clone().finish();
        Err(ended
            .err()
            .unwrap_or(beth_protocol::dag::car::CarFault::HeaderTruncated)
            .into())
    }
}

pub(super) fn note(
    section: Section<'_>,
    head: &mut Option<Head>,
    slots: &mut Vec<Slot>,
) -> Result<(), ArchiveFault> {
    match section {
        Section::Header {
            root,
            block,
            size_bytes,
        } => {
            *head = Some(Head {
                root,
                block,
                size_bytes,
            });
        }
        Section::Block {
            name,
            offset,
            head_bytes,
            data,
        } => {
            if !name.is_of(data) {
                return Err(ArchiveFault::Hash(name.to_string()));
            }
            let BlockName::Hashed { digest, .. } = name else {
                return Ok(());
            };
            if slots.len() >= ARCHIVE_BLOCKS_MAX {
                return Err(ArchiveFault::Blocks);
            }
            slots.push(Slot {
                digest,
                offset: offset + head_bytes,
                length: data.len() as u32,
                head: head_bytes as u8,
            });
        }
    }
    Ok(())
}

fn finish(
    draft: &mut Draft,
    (slots, car_bytes): (&[Slot], u64),
    extent: Extent,
) -> Result<(), Error> {
    let written = draft
        .file
        .seek(SeekFrom::Start(car_bytes))
        .and_then(|_| index::write_end(&mut draft.file, (slots, car_bytes), extent))
        .and_then(|()| draft.file.sync_all());
    written.map_err(|source| draft.failed(source))
}

impl Slot {
    /// Bytes of its section.
    fn section_bytes(&self) -> u64 {
        u64::from(self.head) + u64::from(self.length)
    }
}
