//! How far an import is, kept beside the state.
//!
//! The file is replaced, never changed, so a kill leaves the old or the new one.
//! A file that cannot be read counts as none: everything is met again, and known.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::source::{Place, Source};
use crate::error::Error;

const NAME: &str = "import.json";
/// A file is recognised by so many of its first bytes; it may grow.
const PREFIX_BYTES: u64 = 65_536;

/// How far everything of a source is durable.
#[derive(Debug)]
pub(super) struct Checkpoint {
    path: PathBuf,
    source: Option<Identity>,
    pub place: Place,
}

/// Which source it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    name: String,
    /// Of a file: how many of its first bytes were hashed, and their SHA-256.
    prefix: Option<(u64, String)>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    source: Identity,
    place: Place,
}

impl Checkpoint {
    /// Where an earlier import of the same source was; the start otherwise.
    pub fn load(folder: &Path, source: &Source) -> Checkpoint {
        let path = folder.join(NAME);
        let record: Option<Record> = fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let place = record
            .filter(|record| record.source.is(source))
            .map(|record| record.place)
            .unwrap_or_default();
        Checkpoint {
            path,
            source: Identity::of(source),
            place,
        }
    }

    /// Writes it down; nothing for a source that cannot be resumed.
    pub fn save(&self) -> Result<(), Error> {
        let Some(source) = self.source.clone() else {
            return Ok(());
        };
        let record = Record {
            source,
            place: self.place.clone(),
        };
        let next = self.path.with_extension("json.next");
        let written = serde_json::to_vec(&record)
            .map_err(std::io::Error::from)
            .and_then(|bytes| fs::write(&next, bytes))
            .and_then(|()| fs::rename(&next, &self.path));
        written.map_err(|error| self.failed(&error))
    }

    /// The source was read to its end.
    pub fn remove(&self) -> Result<(), Error> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.failed(&error)),
            _ => Ok(()),
        }
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        Error::Config(format!(
            "the checkpoint {} cannot be written: {error}; check the disk and its permissions",
            self.path.display()
        ))
    }
}

impl Identity {
    fn of(source: &Source) -> Option<Identity> {
        match source {
            Source::Input => None,
            Source::Node(url) => Some(Identity {
                name: url.clone(),
                prefix: None,
            }),
            Source::File(path) => Some(Identity {
                name: fs::canonicalize(path).ok()?.to_string_lossy().into_owned(),
                prefix: Some(prefix(path, PREFIX_BYTES)?),
            }),
        }
    }

    fn is(&self, source: &Source) -> bool {
        let Some(found) = Identity::of(source) else {
            return false;
        };
        let same_bytes = match (&self.prefix, source) {
            (Some((bytes, hash)), Source::File(path)) => {
                prefix(path, *bytes).as_ref() == Some(&(*bytes, hash.clone()))
            }
            _ => true,
        };
        self.name == found.name && same_bytes
    }
}

fn prefix(path: &Path, bytes: u64) -> Option<(u64, String)> {
    let mut read = Vec::new();
    File::open(path)
        .ok()?
        .take(bytes)
        .read_to_end(&mut read)
        .ok()?;
    let digest = Sha256::digest(&read);
    let hash = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Some((read.len() as u64, hash))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_recognised() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump");
        fs::write(&path, "one\n").unwrap();
        let source = Source::File(path.clone());
        let place = Place::Line { bytes: 4, lines: 1 };
        let mut checkpoint = Checkpoint::load(folder.path(), &source);
        assert_eq!(checkpoint.place, Place::Start);
        checkpoint.place = place.clone();
        checkpoint.save().unwrap();

        let load = |source: &Source| Checkpoint::load(folder.path(), source).place;
        assert_eq!(load(&source), place);
        fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(load(&source), place, "it has grown");
        assert_eq!(load(&Source::Node("http://a".into())), Place::Start);
        fs::write(&path, "two\none\n").unwrap();
        assert_eq!(load(&source), Place::Start, "it is another");
        fs::write(folder.path().join(NAME), "{").unwrap();
        assert_eq!(load(&source), Place::Start, "it is spoilt");
        checkpoint.remove().unwrap();
        checkpoint.remove().unwrap();
    }
}
