//! Lines of a file or of standard input, on a thread of their own.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use tokio::sync::mpsc;

use super::source::{Batch, Body, Entry, Place};
use crate::limits;

/// The first bytes of a file compressed by gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const BUFFER_BYTES: usize = 1 << 18;

/// Reads a file from a place on.
pub(super) fn read_file(
    path: &Path,
    from: &Place,
    batches: &mpsc::Sender<Batch>,
) -> Result<(), String> {
    let failed = |error: io::Error| format!("{} cannot be read: {error}", path.display());
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut magic = [0; 2];
    let is_gzip = file.read_exact(&mut magic).is_ok() && magic == GZIP;
    let (mut bytes, lines) = match from {
        Place::Line { bytes, lines } => (*bytes, *lines),
        _ => (0, 0),
    };
    let begin = if is_gzip { 0 } else { bytes };
    file.seek(SeekFrom::Start(begin)).map_err(failed)?;
    let position = Arc::new(AtomicU64::new(begin));
    let counted = Counted {
        file,
        position: position.clone(),
    };
    let raw = BufReader::with_capacity(BUFFER_BYTES, counted);
    let mut reader: Box<dyn BufRead> = if is_gzip {
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(raw));
        bytes = io::copy(&mut reader.by_ref().take(bytes), &mut io::sink()).map_err(failed)?;
        Box::new(reader)
    } else {
        Box::new(raw)
    };
    let share = move || {
        let read = position.load(Ordering::Relaxed) as f64;
        (length > 0).then(|| (read / length as f64).min(1.0))
    };
    let mut batcher = Batcher {
        bytes,
        lines,
        batches,
        share: &share,
    };
    batcher.run(&mut *reader).map_err(failed)
}

/// Reads standard input.
pub(super) fn read_input(batches: &mpsc::Sender<Batch>) -> Result<(), String> {
    let input = io::stdin().lock();
    let mut batcher = Batcher {
        bytes: 0,
        lines: 0,
        batches,
        share: &|| None,
    };
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, input);
    batcher
        .run(&mut reader)
        .map_err(|error| format!("standard input cannot be read: {error}"))
}

/// Tells how much of a file was read, also below a decompression.
struct Counted {
    file: File,
    position: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.position.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

struct Batcher<'a> {
    bytes: u64,
    lines: u64,
    batches: &'a mpsc::Sender<Batch>,
    share: &'a dyn Fn() -> Option<f64>,
}

impl Batcher<'_> {
    /// Batches until the end of the lines, or until nobody listens.
    fn run(&mut self, reader: &mut dyn BufRead) -> io::Result<()> {
        loop {
            let mut entries = Vec::new();
            let mut size = 0;
            while entries.len() < limits::IMPORT_BATCH_LINES && size < limits::IMPORT_BATCH_BYTES {
                let Some(body) = self.line(reader)? else {
                    break;
                };
                if let Body::Line(line) = &body {
                    size += line.len();
                }
                let number = self.lines;
                entries.push(Entry { number, body });
            }
            if entries.is_empty() {
                return Ok(());
            }
            let batch = Batch {
                entries,
                end: Place::Line {
                    bytes: self.bytes,
                    lines: self.lines,
                },
                share: (self.share)(),
            };
            if self.batches.blocking_send(batch).is_err() {
                return Ok(());
            }
        }
    }

    /// The next line; `None` at the end.
    fn line(&mut self, reader: &mut dyn BufRead) -> io::Result<Option<Body>> {
        let mut line = Vec::new();
        let count = take_line(reader, &mut line)?;
        if count == 0 {
            return Ok(None);
        }
        self.bytes += count as u64;
        self.lines += 1;
        if count < limits::IMPORT_LINE_BYTES_MAX || line.ends_with(b"\n") {
            return Ok(Some(Body::Line(line)));
        }
        loop {
            line.clear();
            let count = take_line(reader, &mut line)?;
            self.bytes += count as u64;
            if count == 0 || line.ends_with(b"\n") {
                return Ok(Some(Body::TooLong));
            }
        }
    }
}

/// Reads a line, or as much of it as a line may have.
fn take_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    reader
        .take(limits::IMPORT_LINE_BYTES_MAX as u64)
        .read_until(b'\n', line)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Numbers and texts of the lines from a place on; `*` for too long ones.
    fn read(path: &Path, from: Place) -> (Vec<(u64, String)>, Place) {
        let (sender, mut batches) = mpsc::channel(16);
        read_file(path, &from, &sender).unwrap();
        drop(sender);
        let (mut lines, mut end) = (Vec::new(), from);
        while let Some(batch) = batches.blocking_recv() {
            for entry in batch.entries {
                let text = match entry.body {
                    Body::Line(line) => String::from_utf8(line).unwrap(),
                    _ => "*".to_owned(),
                };
                lines.push((entry.number, text));
            }
            end = batch.end;
            assert!(batch.share.unwrap() > 0.0);
        }
        (lines, end)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn lines_from_the_start_and_from_the_middle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump");
        let text = b"one\n\ntwo\nend";
        let lines = [(1, "one\n"), (2, "\n"), (3, "two\n"), (4, "end")];
        let lines = lines.map(|(number, line)| (number, line.to_owned()));
        // Two members, as concatenated dumps have.
        let mut two_members = gzip(&text[..6]);
        two_members.extend(gzip(&text[6..]));
        for content in [text.to_vec(), gzip(text), two_members] {
            std::fs::write(&path, &content).unwrap();
            let end = Place::Line {
                bytes: 12,
                lines: 4,
            };
            assert_eq!(read(&path, Place::Start), (lines.to_vec(), end.clone()));
            let middle = Place::Line { bytes: 5, lines: 2 };
            assert_eq!(read(&path, middle), (lines[2..].to_vec(), end.clone()));
            assert_eq!(read(&path, end.clone()), (Vec::new(), end));
        }
    }

    #[test]
    fn batches_are_bounded_and_endless_lines_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump");
        let mut text = vec![b'x'; limits::IMPORT_LINE_BYTES_MAX * 2 + 5];
        text.extend(b"\nshort\n");
        text.extend(vec![b'y'; limits::IMPORT_LINE_BYTES_MAX - 1]);
        text.extend(b"\nlast\n");
        std::fs::write(&path, &text).unwrap();
        let (lines, end) = read(&path, Place::Start);
        let shown: Vec<&str> = lines.iter().map(|(_, line)| &line[..1]).collect();
        assert_eq!(shown, ["*", "s", "y", "l"]);
        let bytes = text.len() as u64;
        assert_eq!(end, Place::Line { bytes, lines: 4 });
    }

    #[test]
    fn a_cut_compression_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump");
        let whole = gzip(&b"line of a dump\n".repeat(10_000));
        std::fs::write(&path, &whole[..whole.len() - 10]).unwrap();
        let (sender, mut batches) = mpsc::channel(64);
        let failure = read_file(&path, &Place::Start, &sender).unwrap_err();
        assert!(failure.contains("cannot be read"), "{failure}");
        assert!(batches.blocking_recv().is_some());
    }
}
