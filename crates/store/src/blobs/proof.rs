//! Whether a content that is kept is what its name says: it is read and hashed
//! again, as when it came.
//!
//! ```text
//!   <hash>      every byte ─▶ SHA-256 or CID      = the name?
//!   <root>.dag  every block ─▶ its CID            (archive/proof.rs)
//!               index = where the blocks are, every link leads to a block
//! ```
//! Disks rot: what was right once need not be. Nothing is changed here.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use beth_protocol::hash::{ItemHash, Naming};

use super::Blobs;
use super::archive::{Archive, Extent};
use crate::error::Error;
use crate::limits::PIECE_BYTES;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It is what its name says.
    Whole(Extent),
    /// It is here, and no byte of it can be compared with its name, which is a
    /// CID by another hash function.
    Unprovable(Extent),
    /// It is not here.
    Missing,
    /// It is something else; why.
    Rotten(String),
    /// The reader had enough.
    Stopped,
}

/// Is told how many bytes were read, and may wait; false ends the reading.
pub type Pace<'a> = &'a mut dyn FnMut(usize) -> bool;

/// How reading ended early.
pub(super) enum Early {
    /// What was read is wrong, or could not be read.
    Rotten(String),
    /// The reader had enough.
    Stopped,
}

impl From<io::Error> for Early {
    fn from(error: io::Error) -> Early {
        Early::Rotten(format!("the disk does not give its bytes: {error}"))
    }
}

impl Blobs {
    /// Reads a whole content and compares it with its name. Takes as long as the
    /// disk, or `pace`, wants: for a blocking thread. Fails when the folder
    /// cannot be used at all.
    pub fn prove(&self, hash: &str, pace: Pace<'_>) -> Result<Proof, Error> {
        let Some(path) = self.present(hash) else {
            return Ok(Proof::Missing);
        };
        let proved = match self.path(hash).as_ref() == Some(&path) {
            true => prove_file(&path, hash, pace),
            false => Archive::prove(&path, hash, pace).map(Proof::Whole),
        };
        match proved {
            Ok(proof) => Ok(proof),
            Err(Early::Stopped) => Ok(Proof::Stopped),
            // It may have been deleted meanwhile.
            Err(Early::Rotten(_)) if !path.is_file() => Ok(Proof::Missing),
            Err(Early::Rotten(why)) => Ok(Proof::Rotten(why)),
        }
    }
}

fn prove_file(path: &Path, hash: &str, pace: Pace<'_>) -> Result<Proof, Early> {
    let file = File::open(path)?;
    let known = ItemHash::parse(hash).ok();
    let Some(mut naming) = known.as_ref().and_then(Naming::of) else {
        return Ok(Proof::Unprovable(Extent::of_file(file.metadata()?.len())));
    };
    let mut size_bytes = 0;
    each_piece(file, u64::MAX, pace, |piece| {
        size_bytes += piece.len() as u64;
        naming.update(piece);
        Ok(())
    })?;
    let found = naming.finish();
    match found.as_str() == hash {
        true => Ok(Proof::Whole(Extent::of_file(size_bytes))),
        false => Err(Early::Rotten(format!("its bytes have the hash {found}"))),
    }
}

/// Reads at most so many bytes, piece by piece.
pub(super) fn each_piece(
    file: impl Read,
    bytes_max: u64,
    pace: Pace<'_>,
    mut found: impl FnMut(&[u8]) -> Result<(), Early>,
) -> Result<(), Early> {
    let mut file = file.take(bytes_max);
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        found(buffer.get(..count).unwrap_or_default())?;
        if !pace(count) {
            return Err(Early::Stopped);
        }
    }
}
