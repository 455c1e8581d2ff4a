//! A folder as one file: the same folder gives the same bytes.
//!
//! Small folders become a zip, which every node takes up to 10,000,000 bytes;
//! larger ones a squashfs image. Names are sorted, times and owners fixed;
//! what never belongs to a program is left out. Symbolic links are followed as
//! long as they stay inside the folder, so that nothing of the machine leaves
//! it by accident.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use beth_protocol::content::machine::Encoding;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::cli::failure::Failure;
use crate::cli::output::size;

/// Largest zip that compute nodes unpack, in bytes.
const ZIP_BYTES_MAX: u64 = 10_000_000;
/// From here on nobody tries to make a zip of that size, in bytes.
const ZIP_ATTEMPT_BYTES_MAX: u64 = 100_000_000;
/// Largest folder packed, in bytes.
const FOLDER_BYTES_MAX: u64 = 2_000_000_000;
/// Most files packed.
const FILES_MAX: usize = 100_000;
/// Longest run of mksquashfs.
const SQUASH_TIMEOUT: Duration = Duration::from_secs(300);
/// Never part of a program.
const IGNORED: [&str; 9] = [
    ".git",
    ".hg",
    ".svn",
    "__pycache__",
    ".venv",
    "node_modules",
    ".pytest_cache",
    ".mypy_cache",
    ".DS_Store",
];

/// A packed folder.
#[derive(Debug)]
pub struct Archive {
    /// The file.
    pub bytes: Vec<u8>,
    /// How it is packed.
    pub encoding: Encoding,
    /// How many files it holds.
    pub files: usize,
}

/// One file to pack.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    name: String,
    path: PathBuf,
    mode: u32,
    size_bytes: u64,
}

/// Packs a folder.
pub async fn pack(folder: &Path) -> Result<Archive, Failure> {
    let root = folder.to_owned();
    let (entries, zip) = blocking(move || {
        let entries = list(&root)?;
        let total: u64 = entries.iter().map(|entry| entry.size_bytes).sum();
        let zip = if total <= ZIP_ATTEMPT_BYTES_MAX {
            Some(zipped(&entries)?)
        } else {
            None
        };
        Ok((entries, zip))
    })
    .await?;
    let files = entries.len();
    match zip {
        Some(bytes) if bytes.len() as u64 <= ZIP_BYTES_MAX => Ok(Archive {
            bytes,
            encoding: Encoding::Zip,
            files,
        }),
        _ => Ok(Archive {
            bytes: squashed(entries).await?,
            encoding: Encoding::Squashfs,
            files,
        }),
    }
}

async fn blocking<T, F>(work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Failure> + Send + 'static,
{
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| {
        Err(Failure::new(format!(
            "packing the folder failed: {error}; please report this"
        )))
    })
}

/// The files of a folder, sorted by name.
fn list(root: &Path) -> Result<Vec<Entry>, Failure> {
    let canonical = root
        .canonicalize()
        .map_err(|error| unreadable(root, &error))?;
    let mut entries = Vec::new();
    let mut folders = vec![PathBuf::new()];
    let mut total = 0;
    while let Some(folder) = folders.pop() {
        let path = canonical.join(&folder);
        for entry in std::fs::read_dir(&path).map_err(|error| unreadable(&path, &error))? {
            let entry = entry.map_err(|error| unreadable(&path, &error))?;
            let name = entry.file_name();
            let Some(text) = name.to_str() else {
                return Err(Failure::new(format!(
                    "the name of {} is no UTF-8 text: rename it",
                    entry.path().display()
                )));
            };
            if IGNORED.contains(&text) || text.ends_with(".pyc") {
                continue;
            }
            let kind = entry
                .file_type()
                .map_err(|error| unreadable(&entry.path(), &error))?;
            if kind.is_dir() {
                folders.push(folder.join(text));
                continue;
            }
            let file = file(&canonical, &entry.path(), &folder.join(text))?;
            total += file.size_bytes;
            entries.push(file);
            if entries.len() > FILES_MAX || total > FOLDER_BYTES_MAX {
                return Err(Failure::new(format!(
                    "{} holds more than {FILES_MAX} files or {}: deploy a smaller folder, or store data with `beth file put` and mount it",
                    root.display(),
                    size(FOLDER_BYTES_MAX)
                )));
            }
        }
    }
    entries.sort();
    Ok(entries)
}

fn file(root: &Path, path: &Path, relative: &Path) -> Result<Entry, Failure> {
    use std::os::unix::fs::PermissionsExt;
    let target = path
        .canonicalize()
        .map_err(|error| unreadable(path, &error))?;
    let metadata = std::fs::metadata(&target).map_err(|error| unreadable(path, &error))?;
    let shown = path.display();
    if !target.starts_with(root) {
        return Err(Failure::new(format!(
            "{shown} is a link out of the folder: copy the file into it, or remove the link"
        )));
    }
    if !metadata.is_file() {
        return Err(Failure::new(format!(
            "{shown} is neither a file nor a folder (or a link to a folder): remove it"
        )));
    }
    let mode = if metadata.permissions().mode() & 0o111 == 0 {
        0o644
    } else {
        0o755
    };
    Ok(Entry {
        name: relative.to_string_lossy().into_owned(),
        path: target,
        mode,
        size_bytes: metadata.len(),
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!(
        "cannot read {}: {error}; correct it or remove it",
        path.display()
    ))
}

fn zipped(entries: &[Entry]) -> Result<Vec<u8>, Failure> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for entry in entries {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .unix_permissions(entry.mode);
        let bytes = std::fs::read(&entry.path).map_err(|error| unreadable(&entry.path, &error))?;
        writer
            .start_file(&entry.name, options)
            .and_then(|()| Ok(writer.write_all(&bytes)?))
            .map_err(|error| Failure::new(format!("cannot pack {}: {error}", entry.name)))?;
    }
    let packed = writer
        .finish()
        .map_err(|error| Failure::new(format!("cannot pack the folder: {error}")))?;
    Ok(packed.into_inner())
}

/// Copies the files to a place of their own and lets mksquashfs pack it.
async fn squashed(entries: Vec<Entry>) -> Result<Vec<u8>, Failure> {
    let stage = blocking(move || staged(&entries)).await?;
    let image = stage.path().join("image.squashfs");
    let run = tokio::process::Command::new("mksquashfs")
        .arg(stage.path().join("root"))
        .arg(&image)
        .args([
            "-noappend",
            "-all-root",
            "-no-xattrs",
            "-no-exports",
            "-quiet",
            "-no-progress",
            "-comp",
            "gzip",
        ])
        .args(["-all-time", "0", "-mkfs-time", "0"])
        .env_remove("SOURCE_DATE_EPOCH")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(SQUASH_TIMEOUT, run).await {
        Err(_) => {
            return Err(Failure::new(format!(
                "mksquashfs did not finish within {} s: deploy a smaller folder",
                SQUASH_TIMEOUT.as_secs()
            )));
        }
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::new(format!(
                "the folder is larger than {} when zipped and needs a squashfs image: install `squashfs-tools` (apt-get install squashfs-tools), or remove files",
                size(ZIP_BYTES_MAX)
            )));
        }
        Ok(Err(error)) => return Err(Failure::new(format!("cannot run mksquashfs: {error}"))),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!(
            "mksquashfs failed: {}; is there space in the temporary folder?",
            words.trim()
        )));
    }
    tokio::fs::read(&image)
        .await
        .map_err(|error| unreadable(&image, &error))
}

fn staged(entries: &[Entry]) -> Result<tempfile::TempDir, Failure> {
    use std::os::unix::fs::PermissionsExt;
    let full = |error: std::io::Error| {
        Failure::new(format!(
            "cannot copy the folder to a temporary place: {error}; is there space? TMPDIR names another"
        ))
    };
    let stage = tempfile::tempdir().map_err(full)?;
    let root = stage.path().join("root");
    for entry in entries {
        let path = root.join(&entry.name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(full)?;
        }
        std::fs::copy(&entry.path, &path).map_err(full)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(entry.mode))
            .map_err(full)?;
    }
    Ok(stage)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn write(root: &Path, name: &str, bytes: &[u8]) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn names(archive: &Archive) -> Vec<String> {
        let archive = zip::ZipArchive::new(Cursor::new(&archive.bytes)).unwrap();
        let mut names: Vec<String> = archive
            .file_names()
            .map(|name| name.unwrap().into_owned())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn equal_folders_give_equal_bytes() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files: [(&str, &[u8]); 4] = [
            ("main.py", b"app"),
            ("lib/a.py", b"a"),
            ("lib/b.py", b"b"),
            ("run", b"x"),
        ];
        for (name, bytes) in files {
            write(first.path(), name, bytes);
        }
        for (name, bytes) in files.iter().rev() {
            write(second.path(), name, bytes);
        }
        for name in [
            ".git/config",
            "__pycache__/main.pyc",
            "lib/.venv/x",
            "node_modules/y",
            "main.pyc",
        ] {
            write(second.path(), name, b"never");
        }
        for root in [first.path(), second.path()] {
            std::fs::set_permissions(root.join("run"), std::fs::Permissions::from_mode(0o700))
                .unwrap();
        }
        let (a, b) = (
            pack(first.path()).await.unwrap(),
            pack(second.path()).await.unwrap(),
        );
        assert_eq!(a.bytes, b.bytes);
        assert_eq!((a.encoding, a.files), (Encoding::Zip, 4));
        assert_eq!(names(&a), ["lib/a.py", "lib/b.py", "main.py", "run"]);
        let mut archive = zip::ZipArchive::new(Cursor::new(&a.bytes)).unwrap();
        assert_eq!(
            archive.by_name("run").unwrap().unix_mode().unwrap() & 0o777,
            0o755
        );
        write(first.path(), "main.py", b"other");
        assert_ne!(pack(first.path()).await.unwrap().bytes, a.bytes);
    }

    #[tokio::test]
    async fn links_stay_inside() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "main.py", b"app");
        symlink("main.py", folder.path().join("same.py")).unwrap();
        assert_eq!(
            names(&pack(folder.path()).await.unwrap()),
            ["main.py", "same.py"]
        );
        symlink("/etc/hostname", folder.path().join("secret")).unwrap();
        let failure = pack(folder.path()).await.unwrap_err();
        assert!(
            failure.sentence.contains("link out of the folder"),
            "{}",
            failure.sentence
        );
    }

    #[tokio::test]
    async fn what_is_too_large_for_a_zip_becomes_an_image_or_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(10_500_000)
        .collect();
        write(folder.path(), "data/noise", &noise);
        match pack(folder.path()).await {
            Ok(archive) => {
                assert_eq!(archive.encoding, Encoding::Squashfs);
                assert!(archive.bytes.starts_with(b"hsqs"));
                assert_eq!(pack(folder.path()).await.unwrap().bytes, archive.bytes);
            }
            Err(failure) => assert!(
                failure.sentence.contains("squashfs-tools"),
                "{}",
                failure.sentence
            ),
        }
    }
}
