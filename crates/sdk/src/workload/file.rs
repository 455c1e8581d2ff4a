//! The messages as lines of JSON: made by all cores, written in order, never
//! more than a few thousand in memory.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;

use super::{Profile, Workload};

/// Messages that one thread makes before it hands them on.
const CHUNK: u64 = 1_000;
/// Chunks of one thread that wait to be written.
const CHUNKS_MAX: usize = 2;

impl Workload {
    /// Writes the messages of a range, one line of JSON each.
    pub fn write(&self, range: Range<u64>, out: &mut impl Write) -> io::Result<()> {
        let threads = thread::available_parallelism().map_or(2, usize::from);
        thread::scope(|scope| {
            let lanes: Vec<_> = (0..threads as u64)
                .map(|lane| {
                    let (sender, receiver) = sync_channel(CHUNKS_MAX);
                    let first = range.start + lane * CHUNK;
                    let end = range.end;
                    scope.spawn(move || {
                        for from in (first..end).step_by(threads * CHUNK as usize) {
                            let lines = self.lines(from..(from + CHUNK).min(end));
                            // Gone when the writing failed.
                            if sender.send(lines).is_err() {
                                return;
                            }
                        }
                    });
                    receiver
                })
                .collect();
            for chunk in 0..range.end.saturating_sub(range.start).div_ceil(CHUNK) {
                let lane = &lanes[chunk as usize % threads];
                let lines = lane.recv().map_err(io::Error::other)?;
                out.write_all(&lines?)?;
            }
            out.flush()
        })
    }

    /// The first messages as a file in a folder; made when it is not there yet.
    pub fn cached(&self, folder: &Path, count: u64) -> io::Result<PathBuf> {
        let name = format!("{}{count}{SUFFIX}", self.prefix());
        let path = folder.join(&name);
        if path.is_file() {
            return Ok(path);
        }
        fs::create_dir_all(folder)?;
        let unfinished = folder.join(format!("{name}.{}", std::process::id()));
        let mut out = BufWriter::new(File::create(&unfinished)?);
        self.write(0..count, &mut out)?;
        fs::rename(&unfinished, &path)?;
        Ok(path)
    }

    /// The same, or a file that has more of them.
    pub fn cached_at_least(&self, folder: &Path, count: u64) -> io::Result<PathBuf> {
        let prefix = self.prefix();
        let length = |name: &str| -> Option<u64> {
            let number = name.strip_prefix(&prefix)?.strip_suffix(SUFFIX)?;
            number.parse().ok()
        };
        let found = fs::read_dir(folder).into_iter().flatten().flatten();
        let longer = found
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                length(&name).is_some_and(|length| length >= count)
            })
            .min();
        match longer {
            Some(path) => Ok(path),
            None => self.cached(folder, count),
        }
    }

    fn prefix(&self) -> String {
        let profile = match self.profile {
            Profile::Posts => "posts",
            Profile::Network => "network",
            Profile::NetworkWithFiles => "files",
        };
        let senders = self.senders.len();
        format!("{profile}-{VERSION}-{}-{senders}-", self.seed)
    }

    fn lines(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut lines = Vec::with_capacity(1_024 * CHUNK as usize);
        for index in range {
            serde_json::to_writer(&mut lines, &self.message(index))?;
            lines.push(b'\n');
        }
        Ok(lines)
    }
}

const SUFFIX: &str = ".jsonl";
/// Raised whenever the messages of a seed change.
const VERSION: u32 = 3;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use beth_protocol::Message;

    #[test]
    fn lines_are_in_order_whatever_thread_made_them() {
        let workload = Workload::of_senders(Profile::Posts, 5, 10);
        let mut bytes = Vec::new();
        workload.write(3..4_321, &mut bytes).unwrap();
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 4_319);
        for (line, index) in [(0, 3), (997, 1_000), (2_500, 2_503), (4_317, 4_320)] {
            let value = serde_json::from_slice(lines[line]).unwrap();
            assert_eq!(Message::parse(&value).unwrap(), workload.message(index));
        }
    }

    #[test]
    fn a_file_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let workload = Workload::of_senders(Profile::Network, 5, 10);
        let path = workload.cached(folder.path(), 250).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 250);
        fs::write(&path, "kept").unwrap();
        let again = workload.cached(folder.path(), 250).unwrap();
        assert_eq!(fs::read_to_string(again).unwrap(), "kept");
        assert_eq!(workload.cached_at_least(folder.path(), 9).unwrap(), path);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let longer = workload.cached_at_least(folder.path(), 251).unwrap();
        assert_eq!(fs::read_to_string(longer).unwrap().lines().count(), 251);
    }
}
