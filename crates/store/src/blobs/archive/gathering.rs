//! A graph whose blocks come one by one, from anybody and in any order, and
//! survive a restart on the way.
//!
//! ```text
//!   partial/<root>.car   header │ block │ block │ …      each compared with its name
//!        │ whole
//!        ├─ a file in one of the network's layouts ─▶ plain content
//!        └─ any other graph                        ─▶ archive
//! ```
//! The file is an archive at any moment: whoever goes on reads it again, and
//! what was being written when the node ended is cut off.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use beth_protocol::cid::Cid;
use beth_protocol::dag::BlockName;
use beth_protocol::dag::car::{self, CarReader, Section};
use beth_protocol::hash::Naming;

use super::super::Blobs;
use super::arriving::{Draft, Head};
use super::index::Slot;
use super::{Archive, ArchiveError, ArchiveFault, Checked, Extent};
use crate::error::Error;
use crate::limits::{ARCHIVE_BLOCKS_MAX, PIECE_BYTES};

/// A graph of which some blocks are here.
#[derive(Debug)]
pub struct Gathering {
    root: Cid,
    path: PathBuf,
    file: File,
    slots: HashMap<[u8; 32], Slot>,
    head_bytes: u64,
    size_bytes: u64,
}

impl Blobs {
    /// Goes on with a graph, or begins it. At most one at a time for a root.
    pub fn gather(&self, root: Cid) -> Result<Gathering, Error> {
        let folder = self.root.join("partial");
        fs::create_dir_all(&folder).map_err(|source| Error::file(&folder, source))?;
        let path = folder.join(format!("{root}.car"));
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| Error::file(&path, source))?;
        let head = car::header(&root.to_bytes());
        let mut gathering = Gathering {
            root,
            path,
            file,
            slots: HashMap::new(),
            head_bytes: head.len() as u64,
            size_bytes: head.len() as u64,
        };
        gathering.recall()?;
        gathering.write(0, &head)?;
        gathering.cut()?;
        Ok(gathering)
    }

    /// A graph that is whole becomes a content. What is wrong with it is wrong
    /// for ever, so its blocks are thrown away then.
    pub fn settle(&self, gathering: Gathering) -> Result<Extent, ArchiveError> {
        let Gathering {
            root,
            path,
            file,
            slots,
            head_bytes,
            size_bytes,
        } = gathering;
        let head = Head {
            root: root.to_string(),
            block: Ok(BlockName::Hashed {
                codec: root.codec(),
                digest: *root.digest(),
            }),
            size_bytes: head_bytes,
        };
        let slots = slots.into_values().collect();
        let checked = self.whole(Draft { path, file }, head, (slots, size_bytes))?;
        if !checked.extent.is_directory() && self.keep_plain(root, &checked)? {
            return Ok(checked.extent);
        }
        Ok(self.keep_archive(checked)?.extent)
    }

    /// Keeps a file as plain bytes when its blocks can be made from these.
    fn keep_plain(&self, root: Cid, checked: &Checked) -> Result<bool, Error> {
        let archive = Archive::open(checked.path(), &root.to_string())?;
        let (archive, mut incoming) = (Arc::new(archive), self.begin_named(Naming::of_cid(root))?);
        for piece in archive.pieces(&archive.root(), 0, checked.extent.size_bytes) {
            incoming.write(&piece?)?;
        }
        match incoming.finish_as(&root.to_string()) {
            Ok(hashed) => self.keep(hashed).map(|_| true),
            Err(Error::WrongHash { .. }) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

impl Gathering {
    /// True when a block is here.
    pub fn has(&self, digest: &[u8; 32]) -> bool {
        self.slots.contains_key(digest)
    }

    /// A block that came; `None` of one that did not.
    pub fn block(&self, digest: &[u8; 32]) -> Result<Option<Vec<u8>>, Error> {
        let Some(slot) = self.slots.get(digest) else {
            return Ok(None);
        };
        let mut bytes = vec![0; slot.length as usize];
        let read = self.file.read_exact_at(&mut bytes, slot.offset);
        read.map_err(|source| Error::file(&self.path, source))?;
        Ok(Some(bytes))
    }

    /// Bytes that are here.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Compares a block with its name and writes it.
    pub fn add(&mut self, name: &BlockName, block: &[u8]) -> Result<(), ArchiveError> {
        let BlockName::Hashed { digest, .. } = name else {
            return Ok(());
        };
        if !name.is_of(block) {
            return Err(ArchiveFault::Hash(name.to_string()).into());
        }
        if self.slots.len() >= ARCHIVE_BLOCKS_MAX {
            return Err(ArchiveFault::Blocks.into());
        }
        let cid = name.cid(self.root.version()).map(Cid::to_bytes);
        let section = car::section(&cid.unwrap_or_default(), block);
        self.write(self.size_bytes, &section)?;
        self.note(*digest, section.len() - block.len(), block.len());
        Ok(())
    }

    fn note(&mut self, digest: [u8; 32], head: usize, length: usize) {
        let slot = Slot {
            digest,
            offset: self.size_bytes + head as u64,
            length: length as u32,
            head: head as u8,
        };
        self.slots.insert(digest, slot);
        self.size_bytes += (head + length) as u64;
    }

    /// Reads what an earlier run has left, up to what is no block.
    fn recall(&mut self) -> Result<(), Error> {
        let (mut reader, mut buffer) = (CarReader::new(), vec![0; PIECE_BYTES]);
        let file = self.file.try_clone();
        let mut file = file.map_err(|source| Error::file(&self.path, source))?;
        let root = self.root.to_string();
        loop {
            let count = file.read(&mut buffer);
            let count = count.map_err(|source| Error::file(&self.path, source))?;
            let piece = buffer.get(..count).unwrap_or_default();
            let read = reader.read(piece, |section| match section {
                Section::Header { root: found, .. } if found == root => Ok(()),
                Section::Block {
                    name: name @ BlockName::Hashed { digest, .. },
                    head_bytes,
                    data,
                    ..
                } if name.is_of(data) => {
                    self.note(digest, head_bytes as usize, data.len());
                    Ok(())
                }
                _ => Err(ArchiveFault::Hash(root.clone())),
            });
            if count == 0 || read.is_err() {
                return Ok(());
            }
        }
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|source| Error::file(&self.path, source))
    }

    fn cut(&self) -> Result<(), Error> {
        let cut = self.file.set_len(self.size_bytes);
        cut.map_err(|source| Error::file(&self.path, source))
    }
}
