//! A directory as a tape archive, made while it is read.

use std::sync::Arc;

use beth_protocol::dag::{Block, BlockName};

use super::{Archive, Extent, FilePieces, Found, read};
use crate::error::Error;

/// Bytes of a record.
const RECORD: usize = 512;
/// Longest name in a header.
const NAME_BYTES: usize = 100;
/// Largest size in the digits of a header.
const SIZE_MAX: u64 = 0o77_777_777_777;

/// The pieces of a tape archive in order.
#[derive(Debug)]
pub struct Tar {
    archive: Arc<Archive>,
    /// What follows, the next one last.
    steps: Vec<Step>,
    file: Option<(FilePieces, u64)>,
    is_ended: bool,
}

#[derive(Debug)]
enum Step {
    /// An entry: its path, what it is.
    Entry(Arc<str>, String, BlockName),
    /// A further piece of the directory with this path.
    Shard(Arc<str>, BlockName),
}

impl Tar {
    pub(super) fn new(archive: Arc<Archive>, root: BlockName, name: &str) -> Tar {
        Tar {
            archive,
            steps: vec![Step::Entry(Arc::from(""), name.to_owned(), root)],
            file: None,
            is_ended: false,
        }
    }

    fn advance(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if let Some((pieces, size)) = &mut self.file {
            if let Some(piece) = pieces.next() {
                return piece.map(Some);
            }
            let padding = size.next_multiple_of(RECORD as u64) - *size;
            self.file = None;
            return Ok(Some(vec![0; padding as usize]));
        }
        match self.steps.pop() {
            Some(Step::Entry(above, name, target)) => self.entry((above, name), &target).map(Some),
            Some(Step::Shard(path, target)) => {
                let bytes = self.archive.present(&target)?;
                self.open(&path, read(&target, &bytes)?);
                Ok(Some(Vec::new()))
            }
            None if self.is_ended => Ok(None),
            None => {
                self.is_ended = true;
                Ok(Some(vec![0; 2 * RECORD]))
            }
        }
    }

    fn entry(
        &mut self,
        (above, name): (Arc<str>, String),
        target: &BlockName,
    ) -> Result<Vec<u8>, Error> {
        let path = if above.is_empty() {
            name
        } else {
            format!("{above}/{name}")
        };
        let bytes = self.archive.present(target)?;
        match read(target, &bytes)? {
            Block::File { size_bytes, .. } => {
                let found = Found {
                    name: target.clone(),
                    extent: Extent::of_file(size_bytes),
                };
                let pieces = self.archive.pieces(&found, 0, size_bytes);
                self.file = Some((pieces, size_bytes));
                Ok(head(&path, (b'0', size_bytes), ""))
            }
            Block::Symlink(to) => Ok(head(&path, (b'2', 0), to)),
            block => {
                self.open(&Arc::from(path.as_str()), block);
                Ok(head(&path, (b'5', 0), ""))
            }
        }
    }

    fn open(&mut self, path: &Arc<str>, directory: Block<'_>) {
        let (entries, shards) = match directory {
            Block::Directory(entries) => (entries, Vec::new()),
            Block::Shard {
                entries, shards, ..
            } => (entries, shards),
            Block::File { .. } | Block::Symlink(_) => return,
        };
        let shards = shards.into_iter();
        self.steps
            .extend(shards.map(|shard| Step::Shard(path.clone(), shard.target)));
        let entries = entries.into_iter().rev();
        self.steps.extend(
            entries.map(|entry| Step::Entry(path.clone(), entry.name.to_owned(), entry.target)),
        );
    }
}

impl Iterator for Tar {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.advance() {
                Ok(Some(piece)) if piece.is_empty() => {}
                Err(error) => {
                    (self.steps, self.file, self.is_ended) = (Vec::new(), None, true);
                    return Some(Err(error));
                }
                other => return other.transpose(),
            }
        }
    }
}

/// The header of an entry; before it, what does not fit in.
fn head(path: &str, (kind, size): (u8, u64), link: &str) -> Vec<u8> {
    let mut extra = Vec::new();
    if path.len() > NAME_BYTES {
        attribute(&mut extra, "path", path);
    }
    if link.len() > NAME_BYTES {
        attribute(&mut extra, "linkpath", link);
    }
    if size > SIZE_MAX {
        attribute(&mut extra, "size", &size.to_string());
    }
    let mut out = Vec::with_capacity(3 * RECORD);
    if !extra.is_empty() {
        out.extend(header("PaxHeader", (b'x', extra.len() as u64), ""));
        out.extend(&extra);
        out.resize(out.len().next_multiple_of(RECORD), 0);
    }
    out.extend(header(path, (kind, size.min(SIZE_MAX)), link));
    out
}

/// `<length> <key>=<value>\n`; the length counts itself.
fn attribute(out: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    out.extend(format!("{length} {key}={value}\n").bytes());
}

fn header(path: &str, (kind, size): (u8, u64), link: &str) -> [u8; RECORD] {
    let mode = if kind == b'5' { 0o755 } else { 0o644 };
    let mut fields = Vec::with_capacity(RECORD);
    let mut field = |text: &[u8], bytes: usize| {
        let end = fields.len() + bytes;
        fields.extend(text.iter().take(bytes));
        fields.resize(end, 0);
    };
    field(path.as_bytes(), NAME_BYTES);
    field(format!("{mode:07o}").as_bytes(), 8);
    field(b"0000000", 8);
    field(b"0000000", 8);
    field(format!("{size:011o}").as_bytes(), 12);
    field(b"00000000000", 12);
    field(b"        ", 8);
    field(&[kind], 1);
    field(link.as_bytes(), NAME_BYTES);
    field(b"ustar\x0000", 8);
    field(b"", RECORD);
    let sum: u64 = fields
        .iter()
        .take(RECORD)
        .map(|&byte| u64::from(byte))
        .sum();
    let mut record = [0; RECORD];
    for (to, from) in record.iter_mut().zip(&fields) {
        *to = *from;
    }
    for (to, from) in record
        .iter_mut()
        .skip(148)
        .zip(format!("{sum:06o}\0 ").bytes())
    {
        *to = from;
    }
    record
}
