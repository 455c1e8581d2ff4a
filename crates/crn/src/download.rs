//! Files on the local disk, named by their hash and verified.
//!
//! ```text
//! core node ─ stream ─▶ incoming/<n>.part ─ hash, size ─▶ files/<hash>
//! ```
//!
//! A file appears under its name only whole, synced and with the right hash, so
//! whatever is there can be used. Two who want the same file share one
//! download. A bounded folder gives up the files that were unused for longest;
//! who uses one of those must open it at once.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use beth_protocol::ItemHash;
use beth_protocol::hash::Naming;
use futures::StreamExt;
use tempfile::TempPath;
use tokio::io::{AsyncWriteExt, BufWriter};

use crate::core_node::{CoreFault, CoreNode};
use crate::executor::LocalFile;
use crate::flight::Turns;
use crate::limits;

/// Why a file is not here.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FileFault {
    /// The core node gave no answer.
    #[error(transparent)]
    Core(#[from] CoreFault),
    /// The core node does not have it.
    #[error("the core node at {url} has no file {hash}; store it again (`beth file put`)")]
    Missing {
        /// The file.
        hash: ItemHash,
        /// Base URL.
        url: String,
    },
    /// The bytes are not the ones that the hash names.
    #[error(
        "the file {hash} is corrupt at the core node: its bytes have the hash {found}; store it again"
    )]
    Corrupt {
        /// What was asked for.
        hash: ItemHash,
        /// What came.
        found: ItemHash,
    },
    /// More bytes than the use of the file allows.
    #[error("the file {hash} is larger than {limit_bytes} bytes, the limit for its use")]
    TooLarge {
        /// The file.
        hash: ItemHash,
        /// The limit.
        limit_bytes: u64,
    },
    /// A CID with a hash function that is unknown here.
    #[error(
        "the file {0} has an IPFS name with an unknown hash function, so its bytes cannot be verified; store it with the storage engine"
    )]
    Ipfs(ItemHash),
    /// The disk refused.
    #[error("cannot keep the file {hash} in {folder}: {reason}")]
    Disk {
        /// The file.
        hash: ItemHash,
        /// Where.
        folder: String,
        /// What the system said and what to do.
        reason: String,
    },
}

/// The folder of verified files.
#[derive(Clone, Debug)]
pub struct Files {
    core: CoreNode,
    files: PathBuf,
    incoming: PathBuf,
    turns: Turns,
    downloads: Arc<AtomicU64>,
    /// Bytes of all files; `None` keeps everything.
    bytes_max: Option<u64>,
}

impl Files {
    /// Keeps files under `folder`; what an earlier run left half done is removed.
    pub fn open(core: CoreNode, folder: &Path) -> std::io::Result<Files> {
        let (files, incoming) = (folder.join("files"), folder.join("incoming"));
        match std::fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::fs::create_dir_all(&files)?;
        std::fs::create_dir_all(&incoming)?;
        Ok(Files {
            core,
            files,
            incoming,
            turns: Turns::default(),
            downloads: Arc::default(),
            bytes_max: None,
        })
    }

    /// The same, keeping at most that many bytes.
    pub fn open_bounded(core: CoreNode, folder: &Path, bytes_max: u64) -> std::io::Result<Files> {
        let bytes_max = Some(bytes_max);
        Ok(Files {
            bytes_max,
            ..Files::open(core, folder)?
        })
    }

    /// How many downloads were begun.
    pub fn downloads(&self) -> u64 {
        self.downloads.load(Ordering::Relaxed)
    }

    /// The file of this hash, from here or from the core node.
    pub async fn fetch(&self, hash: &ItemHash, limit_bytes: u64) -> Result<LocalFile, FileFault> {
        let naming = Naming::of(hash).ok_or_else(|| FileFault::Ipfs(hash.clone()))?;
        let path = self.files.join(hash.as_str());
        let _turn = self.turns.take(hash.as_str()).await;
        if let Ok(metadata) = tokio::fs::metadata(&path).await {
            self.touch(&path).await;
            if metadata.len() > limit_bytes {
                return Err(FileFault::TooLarge {
                    hash: hash.clone(),
                    limit_bytes,
                });
            }
            return Ok(LocalFile {
                path,
                size_bytes: metadata.len(),
                hash: hash.clone(),
            });
        }
        let number = self.downloads.fetch_add(1, Ordering::Relaxed);
        // Half a file is of no use: dropping this removes it, whoever gives up.
        let part = TempPath::try_from_path(self.incoming.join(format!("{number}.part")))
            .map_err(|error| self.disk(hash, &error))?;
        let download = tokio::time::timeout(
            limits::DOWNLOAD_DEADLINE,
            self.download(hash, naming, limit_bytes, &part),
        )
        .await;
        let downloaded = download.unwrap_or_else(|_| {
            let reason = format!(
                "the file did not arrive within {} seconds",
                limits::DOWNLOAD_DEADLINE.as_secs()
            );
            Err(CoreFault::Unreachable {
                url: self.core.url().to_owned(),
                reason,
            }
            .into())
        });
        let size_bytes = downloaded?;
        self.make_room(size_bytes).await;
        part.persist(&path)
            .map_err(|error| self.disk(hash, &error.error))?;
        Ok(LocalFile {
            path,
            size_bytes,
            hash: hash.clone(),
        })
    }

    /// Notes in a bounded folder that a file was used.
    async fn touch(&self, path: &Path) {
        if self.bytes_max.is_some() {
            let path = path.to_owned();
            let touched =
                move || std::fs::File::open(path)?.set_modified(std::time::SystemTime::now());
            // A file that seems older than it is may go too early, no more.
            drop(tokio::task::spawn_blocking(touched).await);
        }
    }

    /// Removes what was unused for longest until that many bytes fit.
    async fn make_room(&self, bytes: u64) {
        let Some(bytes_max) = self.bytes_max else {
            return;
        };
        let folder = self.files.clone();
        let evicted = tokio::task::spawn_blocking(move || evict(&folder, bytes_max, bytes)).await;
        if let Ok(Err(error)) = evicted {
            tracing::warn!("cannot make room in {}: {error}", self.files.display());
        }
    }

    async fn download(
        &self,
        hash: &ItemHash,
        mut naming: Naming,
        limit_bytes: u64,
        part: &Path,
    ) -> Result<u64, FileFault> {
        let missing = || FileFault::Missing {
            hash: hash.clone(),
            url: self.core.url().to_owned(),
        };
        let response = self.core.file(hash).await?.ok_or_else(missing)?;
        if response
            .content_length()
            .is_some_and(|length| length > limit_bytes)
        {
            return Err(FileFault::TooLarge {
                hash: hash.clone(),
                limit_bytes,
            });
        }
        let file = tokio::fs::File::create(part)
            .await
            .map_err(|error| self.disk(hash, &error))?;
        let mut file = BufWriter::with_capacity(64 << 10, file);
        let mut size_bytes = 0u64;
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| CoreFault::Unreachable {
                url: self.core.url().to_owned(),
                reason: format!("the file broke off: {error}"),
            })?;
            size_bytes += chunk.len() as u64;
            if size_bytes > limit_bytes {
                return Err(FileFault::TooLarge {
                    hash: hash.clone(),
                    limit_bytes,
                });
            }
            naming.update(&chunk);
            file.write_all(&chunk)
                .await
                .map_err(|error| self.disk(hash, &error))?;
        }
        file.flush()
            .await
            .map_err(|error| self.disk(hash, &error))?;
        file.get_ref()
            .sync_all()
            .await
            .map_err(|error| self.disk(hash, &error))?;
        let found = naming.finish();
        if found != *hash {
            return Err(FileFault::Corrupt {
                hash: hash.clone(),
                found,
            });
        }
        Ok(size_bytes)
    }

    fn disk(&self, hash: &ItemHash, error: &std::io::Error) -> FileFault {
        let advice = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                "the disk is full; free some space"
            }
            ErrorKind::PermissionDenied => "the node may not write there; check the folder's owner",
            _ => "check the disk",
        };
        FileFault::Disk {
            hash: hash.clone(),
            folder: self.files.display().to_string(),
            reason: format!("{error}: {advice}"),
        }
    }
}

/// Removes the files of a folder that were modified longest ago, until it and
/// `more` bytes are within `bytes_max`; how many went.
pub(crate) fn evict(folder: &Path, bytes_max: u64, more: u64) -> std::io::Result<usize> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_file() {
            files.push((metadata.modified()?, metadata.len(), entry.path()));
        }
    }
    files.sort();
    let mut bytes = files
        .iter()
        .fold(more, |sum, file| sum.saturating_add(file.1));
    let mut evicted = 0;
    for (_, length, path) in files {
        if bytes <= bytes_max {
            break;
        }
        std::fs::remove_file(path)?;
        bytes -= length;
        evicted += 1;
    }
    Ok(evicted)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    /// A core node that announces a thousand bytes and sends three.
    async fn stalling() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nabc";
                stream.write_all(head).await.unwrap();
                kept.push(stream);
            }
        });
        url
    }

    #[tokio::test]
    async fn a_download_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let core = CoreNode::new(&stalling().await).unwrap();
        let files = Files::open(core, folder.path()).unwrap();
        let hash = ItemHash::of_bytes(b"any");
        let incoming = || std::fs::read_dir(folder.path().join("incoming")).unwrap();
        {
            let fetch = files.fetch(&hash, 1000);
            let begun = async {
                while incoming().count() == 0 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                done = fetch => panic!("{done:?}"),
                () = begun => {}
            }
        }
        assert_eq!(incoming().count(), 0);
    }

    #[tokio::test]
    async fn a_length_that_is_too_large_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let core = CoreNode::new(&stalling().await).unwrap();
        let files = Files::open(core, folder.path()).unwrap();
        let fault = files.fetch(&ItemHash::of_bytes(b"any"), 999).await;
        assert!(
            matches!(
                fault,
                Err(FileFault::TooLarge {
                    limit_bytes: 999,
                    ..
                })
            ),
            "{fault:?}"
        );
    }

    #[test]
    fn what_was_unused_for_longest_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, age_seconds: u64| {
            let path = folder.path().join(name);
            std::fs::write(&path, [0; 10]).unwrap();
            let time = std::time::SystemTime::now() - std::time::Duration::from_secs(age_seconds);
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(time).unwrap();
        };
        write("new", 1);
        write("old", 300);
        write("older", 600);
        let has = |name: &str| folder.path().join(name).exists();
        assert_eq!(evict(folder.path(), 40, 10).unwrap(), 0);
        assert_eq!(evict(folder.path(), 30, 10).unwrap(), 1);
        assert!(has("new") && has("old") && !has("older"));
        assert_eq!(evict(folder.path(), 5, 100).unwrap(), 2, "all it can");
    }
}
