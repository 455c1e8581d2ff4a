//! What the node remembers of an instance: one small file, written whole.
//!
//! ```text
//! Record ─▶ instance.json.part ─ fsync ─ rename ─ fsync of the folder ─▶ instance.json
//! ```
//!
//! It is the list of what runs here: an instance whose record says so is started
//! again after a crash, a restart of the node or of the host.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use beth_protocol::ItemHash;
use beth_protocol::content::InstanceContent;
use beth_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::hardware::Card;
use super::link::Link;
use super::process::Identity;
use super::qcow2::Format;

/// The seven times of compute.md §1.1, in microseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Times {
    pub defined_at: i64,
    pub preparing_at: Option<i64>,
    pub prepared_at: Option<i64>,
    pub starting_at: Option<i64>,
    pub started_at: Option<i64>,
    pub stopping_at: Option<i64>,
    pub stopped_at: Option<i64>,
}

/// Image a root disk is an overlay of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Hash of the file: its name in the folder of parents.
    pub file_hash: ItemHash,
    /// How it is opened.
    pub format: Format,
}

/// A further disk, in the order in which the guest sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Name of its file in the folder of volumes; of an immutable one the path.
    pub path: PathBuf,
    /// What kind of volume it is.
    pub kind: DiskKind,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// How a further disk lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskKind {
    /// A file of the network, read-only.
    Immutable,
    /// Kept until it is erased.
    Persistent,
    /// Empty at each start.
    Ephemeral,
}

/// Everything remembered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The message.
    pub item_hash: ItemHash,
    /// Its number here, from 4 on.
    pub vm_id: u32,
    /// What the message says.
    pub content: InstanceContent,
    /// Whether it shall run.
    pub wanted: bool,
    /// What happened when.
    pub times: Times,
    /// Whether the root disk exists. False until it was prepared.
    pub prepared: bool,
    /// What the root disk is an overlay of; `None` when it is complete.
    pub parent: Option<Parent>,
    /// Further disks.
    pub disks: Vec<Disk>,
    /// How it reaches the network, since its last start.
    pub link: Option<Link>,
    /// The QEMU that was started last.
    pub process: Option<Identity>,
    /// The graphics cards that it has.
    #[serde(default)]
    pub cards: Vec<Card>,
}

impl Record {
    /// Of an instance that was just defined.
    pub fn new(item_hash: ItemHash, vm_id: u32, content: InstanceContent) -> Record {
        Record {
            item_hash,
            vm_id,
            content,
            wanted: false,
            times: Times {
                defined_at: now().micros(),
                ..Times::default()
            },
            prepared: false,
            parent: None,
            disks: Vec::new(),
            link: None,
            process: None,
            cards: Vec::new(),
        }
    }

    /// From the folder of an instance; blocks.
    pub fn load(folder: &Path) -> std::io::Result<Record> {
        let bytes = fs::read(folder.join("instance.json"))?;
        serde_json::from_slice(&bytes).map_err(std::io::Error::other)
    }

    /// Into the folder of an instance, on disk when this returns; blocks.
    pub fn save(&self, folder: &Path) -> std::io::Result<()> {
        let bytes = serde_json::to_vec_pretty(self).map_err(std::io::Error::other)?;
        write_whole(&folder.join("instance.json"), &bytes)
    }

    /// Bytes of disk that it may come to take.
    pub fn declared_bytes(&self) -> u64 {
        declared_bytes(&self.content)
    }
}

/// Bytes of disk that an instance may come to take: its root and its own volumes.
pub fn declared_bytes(content: &InstanceContent) -> u64 {
    use beth_protocol::content::machine::Volume;
    let volumes = content.volumes.iter().map(|volume| match volume {
        Volume::Immutable(_) => 0,
        Volume::Persistent(volume) => volume.size_mib,
        Volume::Ephemeral(volume) => volume.size_mib,
    });
    volumes
        .fold(content.rootfs.size_mib, u64::saturating_add)
        .saturating_mul(1 << 20)
}

/// Writes a file so that after a power cut it is there whole, or as before.
pub fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = path.with_extension("part");
    let mut file = File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    move_into_place(&part, path)
}

/// Renames a synced file and makes the name durable.
pub fn move_into_place(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::rename(from, to)?;
    match to.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// The present.
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
