//! Making the index of blocks true again: after a crash between a content and
//! its rows, after the index was lost, for contents from before there was one.
//!
//! What is found missing costs reading it once; nothing is written for the rest.

use std::io::Read;

use beth_protocol::hash::{ItemHash, Naming, Parts};

use super::super::archive::Archive;
use super::super::{Blobs, Shelf};
use super::{CHUNK_BYTES, Indexed};
use crate::error::Error;
use crate::limits::{NAMES_PER_STEP, PIECE_BYTES};

impl Blobs {
    /// Notes the blocks of contents of a shelf that are not; answers of how many
    /// contents.
    pub fn mend_blocks(&self, shelf: &Shelf) -> Result<usize, Error> {
        let mut count = 0;
        for name in self.names_on(shelf)? {
            count += usize::from(self.mend(&name)?);
        }
        Ok(count)
    }

    /// Forgets blocks of contents that are gone; answers of how many contents.
    pub fn forget_blocks(&self) -> Result<usize, Error> {
        let (mut count, mut after) = (0, String::new());
        loop {
            let names = self.blocks.names(&after, NAMES_PER_STEP)?;
            let Some(last) = names.last().cloned() else {
                break;
            };
            for name in names.iter().filter(|name| !self.contains(name)) {
                self.blocks.forget(name, &[])?;
                count += 1;
            }
            after = last;
        }
        if count > 0 {
            self.blocks.forget_orphans()?;
        }
        Ok(count)
    }

    /// Blocks that are noted: those of contents with more than one.
    pub fn blocks_noted(&self) -> Result<u64, Error> {
        self.blocks.count()
    }

    fn mend(&self, name: &str) -> Result<bool, Error> {
        // Of two names the one of 64 characters is no CID.
        if name.len() == 64 || self.blocks.knows(name)? {
            return Ok(false);
        }
        if let Some((file, size)) = self.file(name)? {
            return match size > CHUNK_BYTES {
                true => self.read_again(name, file),
                false => Ok(false),
            };
        }
        let path = self.archive_path(name).filter(|path| path.is_file());
        let Some(path) = path else {
            return Ok(false);
        };
        let digests = Archive::open(&path, name)?.digests()?;
        self.blocks.add(name, &Indexed::Archive(&digests))?;
        Ok(true)
    }

    fn read_again(&self, name: &str, mut file: std::fs::File) -> Result<bool, Error> {
        let expected = ItemHash::parse(name).ok();
        let Some(mut naming) = expected.as_ref().and_then(Naming::of) else {
            return Ok(false);
        };
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let count = file
                .read(&mut buffer)
                .map_err(|source| Error::file(name, source))?;
            if count == 0 {
                break;
            }
            naming.update(buffer.get(..count).unwrap_or_default());
        }
        match naming.finish_with_parts() {
            (found, Parts::Leaves(leaves)) if found.as_str() == name => {
                self.blocks.add(name, &Indexed::File(&leaves))?;
                Ok(true)
            }
            // Rotten: whoever repairs contents will see.
            _ => Ok(false),
        }
    }
}
