//! From an item hash to a program whose files are here (compute.md §11).
//!
//! ```text
//! item hash ─▶ PROGRAM message ─▶ references ─▶ file hashes ─▶ verified files
//!              (core node; kept)   (well-known file? else newest or exact version)
//! ```
//!
//! The message never changes and is kept on disk. References marked
//! `use_latest` are asked for at each resolution.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use beth_protocol::content::ProgramContent;
use beth_protocol::content::machine::Volume;
use beth_protocol::{Content, ItemHash, ItemType, Message};
use tempfile::TempPath;

use crate::core_node::{CoreFault, CoreNode, Version};
use crate::download::{FileFault, Files};
use crate::executor::{LocalFile, MountedVolume, Program};
use crate::limits;

/// Why a program cannot be resolved.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProgramFault {
    /// The core node does not know the message.
    #[error(
        "the core node at {url} knows no message {item_hash}; check the hash, or wait until the message was processed"
    )]
    Unknown {
        /// What was asked for.
        item_hash: ItemHash,
        /// Base URL.
        url: String,
    },
    /// It is a message of another type.
    #[error("{item_hash} is a {found} message, not a PROGRAM")]
    NotAProgram {
        /// What was asked for.
        item_hash: ItemHash,
        /// Its type.
        found: String,
    },
    /// Its content is unreadable, or asks for something that does not exist.
    #[error("the message {item_hash} cannot be run: {reason}")]
    Unusable {
        /// What was asked for.
        item_hash: ItemHash,
        /// What is wrong.
        reason: String,
    },
    /// A reference leads nowhere.
    #[error(
        "the {role} of the program refers to {reference}, and the core node at {url} knows no file of it; store the file and deploy again"
    )]
    NoFile {
        /// `code`, `runtime`, `data` or `volume`.
        role: &'static str,
        /// The STORE message.
        reference: ItemHash,
        /// Base URL.
        url: String,
    },
    /// A file could not be fetched.
    #[error("the {role} of the program is not available: {source}")]
    File {
        /// `code`, `runtime`, `data` or `volume`.
        role: &'static str,
        /// Why.
        source: FileFault,
    },
    /// The core node gave no answer.
    #[error(transparent)]
    Core(#[from] CoreFault),
}

/// Resolves programs.
#[derive(Clone, Debug)]
pub struct Programs {
    core: CoreNode,
    files: Files,
    messages: PathBuf,
    well_known: BTreeMap<ItemHash, PathBuf>,
}

/// A reference of a program to a file.
struct Reference<'a> {
    role: &'static str,
    hash: &'a ItemHash,
    version: Version,
    limit_bytes: u64,
}

impl Programs {
    /// Keeps messages under `folder`; `well_known` files are used where they
    /// are instead of being fetched.
    pub fn open(
        core: CoreNode,
        files: Files,
        folder: &Path,
        well_known: BTreeMap<ItemHash, PathBuf>,
    ) -> std::io::Result<Programs> {
        let messages = folder.join("messages");
        std::fs::create_dir_all(&messages)?;
        Ok(Programs {
            core,
            files,
            messages,
            well_known,
        })
    }

    /// The files that programs are made of.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// What the message says.
    pub async fn content(&self, item_hash: &ItemHash) -> Result<ProgramContent, ProgramFault> {
        let message = self.message(item_hash).await?;
        let unusable = |reason: String| ProgramFault::Unusable {
            item_hash: item_hash.clone(),
            reason,
        };
        let content = if message.item_type == ItemType::Inline {
            message.inline_content()
        } else {
            let file = self.files.fetch(item_hash, limits::CONTENT_BYTES_MAX).await;
            let file = file.map_err(|source| ProgramFault::File {
                role: "content",
                source,
            })?;
            let bytes = tokio::fs::read(&file.path)
                .await
                .map_err(|error| unusable(error.to_string()))?;
            message.fetched_content(&bytes).map(Some)
        };
        match content.map_err(|rejection| unusable(format!("{rejection}")))? {
            Some(content) => match content.typed {
                Content::Program(program) => Ok(*program),
                _ => Err(self.not_a_program(&message)),
            },
            None => Err(unusable("it has no content".into())),
        }
    }

    /// The program that a message describes, with all its files.
    pub async fn complete(
        &self,
        item_hash: &ItemHash,
        content: ProgramContent,
    ) -> Result<Program, ProgramFault> {
        let code = self.file(Reference {
            role: "code",
            hash: &content.code.reference,
            version: version(content.code.use_latest),
            limit_bytes: match content.code.is_wasm() {
                true => limits::COMPONENT_BYTES_MAX,
                false => limits::CODE_BYTES_MAX,
            },
        });
        let runtime = async {
            // A component needs no image, whatever the message names as runtime.
            if content.code.is_wasm() {
                return Ok(None);
            }
            let reference = Reference {
                role: "runtime",
                hash: &content.runtime.reference,
                version: version(content.runtime.use_latest),
                limit_bytes: limits::IMAGE_BYTES_MAX,
            };
            self.file(reference).await.map(Some)
        };
        let data = async {
            let Some(data) = &content.data else {
                return Ok(None);
            };
            let reference = Reference {
                role: "data",
                hash: &data.reference,
                version: version(data.use_latest.unwrap_or(false)),
                limit_bytes: limits::CODE_BYTES_MAX,
            };
            self.file(reference).await.map(Some)
        };
        let (code, runtime, data, volumes) =
            futures::future::try_join4(code, runtime, data, self.volumes(item_hash, &content))
                .await?;
        Ok(Program {
            item_hash: item_hash.clone(),
            content,
            code,
            runtime,
            data,
            volumes,
        })
    }

    async fn volumes(
        &self,
        item_hash: &ItemHash,
        content: &ProgramContent,
    ) -> Result<Vec<MountedVolume>, ProgramFault> {
        let mut mounted = Vec::new();
        if content.code.is_wasm() {
            // A component has no file system to mount anything in.
            return Ok(mounted);
        }
        for volume in &content.volumes {
            let Volume::Immutable(volume) = volume else {
                continue;
            };
            let mount = volume.mount.clone().filter(|mount| mount.starts_with('/'));
            let mount = mount.ok_or_else(|| ProgramFault::Unusable {
                item_hash: item_hash.clone(),
                reason: "a volume has no absolute path in `mount`".into(),
            })?;
            let reference = Reference {
                role: "volume",
                hash: &volume.reference,
                version: version(volume.use_latest),
                limit_bytes: limits::IMAGE_BYTES_MAX,
            };
            mounted.push(MountedVolume {
                file: self.file(reference).await?,
                mount,
            });
        }
        Ok(mounted)
    }

    async fn file(&self, reference: Reference<'_>) -> Result<LocalFile, ProgramFault> {
        let Reference {
            role,
            hash,
            version,
            limit_bytes,
        } = reference;
        if let Some(path) = self.well_known.get(hash) {
            return well_known(hash, path)
                .await
                .map_err(|source| ProgramFault::File { role, source });
        }
        let file_hash =
            self.core
                .file_hash(hash, version)
                .await?
                .ok_or_else(|| ProgramFault::NoFile {
                    role,
                    reference: hash.clone(),
                    url: self.core.url().to_owned(),
                })?;
        self.files
            .fetch(&file_hash, limit_bytes)
            .await
            .map_err(|source| ProgramFault::File { role, source })
    }

    /// The message, from the folder or from the core node; its name vouches
    /// for its content.
    async fn message(&self, item_hash: &ItemHash) -> Result<Message, ProgramFault> {
        let path = self.messages.join(format!("{item_hash}.json"));
        if let Ok(bytes) = tokio::fs::read(&path).await
            && let Ok(value) = serde_json::from_slice(&bytes)
            && let Ok(message) = Message::parse(&value)
            && message.item_hash == *item_hash
        {
            return Ok(message);
        }
        let message = self
            .core
            .message(item_hash)
            .await?
            .ok_or_else(|| ProgramFault::Unknown {
                item_hash: item_hash.clone(),
                url: self.core.url().to_owned(),
            })?;
        if !matches!(message.message_type, beth_protocol::MessageType::Program) {
            return Err(self.not_a_program(&message));
        }
        let part = self
            .messages
            .join(format!("{item_hash}.{:x}.part", rand_suffix()));
        let kept = async {
            let part = TempPath::try_from_path(part)?;
            tokio::fs::write(&part, message.to_wire()).await?;
            part.persist(&path).map_err(|error| error.error)
        };
        if let Err(error) = kept.await {
            tracing::warn!("cannot keep message {item_hash}: {error}");
        }
        Ok(message)
    }

    fn not_a_program(&self, message: &Message) -> ProgramFault {
        ProgramFault::NotAProgram {
            item_hash: message.item_hash.clone(),
            found: message.message_type.to_string(),
        }
    }
}

fn version(use_latest: bool) -> Version {
    if use_latest {
        Version::Latest
    } else {
        Version::Exact
    }
}

/// Distinguishes writers of the same message.
fn rand_suffix() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    COUNTER.fetch_add(1, Ordering::Relaxed) << 32 | u64::from(std::process::id())
}

async fn well_known(hash: &ItemHash, path: &Path) -> Result<LocalFile, FileFault> {
    match tokio::fs::metadata(path).await {
        Ok(metadata) => Ok(LocalFile {
            path: path.to_owned(),
            size_bytes: metadata.len(),
            hash: hash.clone(),
        }),
        Err(error) => Err(FileFault::Disk {
            hash: hash.clone(),
            folder: path.display().to_string(),
            reason: format!(
                "{error}: the configuration declares this file as well-known; run scripts/guest.sh or correct `well_known_files`"
            ),
        }),
    }
}
