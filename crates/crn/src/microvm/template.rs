//! Templates: frozen machines of which later ones are copies.
//!
//! ```text
//! templates/<program>-<key>.<pid>.<number>/   memory   what the machine had in memory (sparse)
//!                                             state    its devices and processors
//!                                             log      what the program had printed
//!                                             boot     the computer's boot that it belongs to
//!           …-<key>.<pid>.<number>.part/      one that is being made, or was when a node died
//! ```
//!
//! The key is a hash of everything that a clone takes over: kernel, init, files,
//! variables, size of the machine, QEMU. Change any, and there is no template.
//! A template holds whatever its program had in memory, secrets included: its
//! folder is ours alone, and goes when the program is forgotten.
//!
//! Bounded is the room of all together; the longest unused go first. One that is
//! being cloned stays until the clone has it open: its folder is removed when
//! nobody holds the [`Template`] any more.

use std::collections::HashMap;
use std::fmt::Debug;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use beth_protocol::ItemHash;
use sha2::{Digest, Sha256};

use crate::flight::{Turn, Turns};
use crate::limits;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const MEMORY: &str = "memory";
const STATE: &str = "state";
const LOG: &str = "log";
const BOOT: &str = "boot";

/// All templates of a node.
#[derive(Debug)]
pub(super) struct Templates {
    folder: PathBuf,
    limit_bytes: u64,
    boot_id: String,
    shelf: Mutex<Shelf>,
    turns: Turns,
}

#[derive(Debug, Default)]
struct Shelf {
    kept: HashMap<String, Kept>,
    /// Names of machines that could not be frozen, and since when.
    refused: HashMap<String, Instant>,
}

#[derive(Debug)]
struct Kept {
    template: Arc<Template>,
    used: SystemTime,
}

/// A frozen machine.
#[derive(Debug)]
pub(super) struct Template {
    folder: PathBuf,
    size_bytes: u64,
    log: Vec<String>,
    unwanted: AtomicBool,
}

/// A template in the making; its folder goes when dropped.
#[derive(Debug)]
pub(super) struct Draft {
    name: String,
    /// Where it is, and where it will be: never where another one was.
    folder: PathBuf,
    finished: PathBuf,
    state: File,
}

impl Templates {
    /// Takes over what an earlier node left and removes what no node can use;
    /// blocks. With `limit_mib` 0 there are no templates.
    pub(super) fn open(folder: PathBuf, limit_mib: u64) -> io::Result<Templates> {
        make_folder(&folder)?;
        let templates = Templates {
            folder,
            limit_bytes: limit_mib << 20,
            boot_id: fs::read_to_string(BOOT_ID).unwrap_or_default(),
            shelf: Mutex::default(),
            turns: Turns::default(),
        };
        let mut left = Vec::new();
        for entry in fs::read_dir(&templates.folder)? {
            left.push(entry?);
        }
        for entry in left {
            let (path, name) = (entry.path(), entry.file_name());
            let Some(name) = name.to_str().map(str::to_owned) else {
                continue;
            };
            if let Some(draft) = name.strip_suffix(".part") {
                if !is_under_way(draft) {
                    remove(&path);
                }
                continue;
            }
            let name = name.split('.').next().unwrap_or_default().to_owned();
            match templates.inspect(&path) {
                Some(kept) => templates.adopt(name, kept),
                None => remove(&path),
            }
        }
        templates.make_room(0);
        Ok(templates)
    }

    /// Whether a machine of this memory may become a template at all.
    pub(super) fn has_room_for(&self, memory_mib: u64) -> bool {
        let free_bytes = rustix::fs::statvfs(&self.folder)
            .map(|room| room.f_bavail.saturating_mul(room.f_frsize));
        let needed_bytes = (memory_mib << 20) + limits::TEMPLATE_FREE_BYTES_MIN;
        self.limit_bytes > 0 && free_bytes.is_ok_and(|free_bytes| free_bytes > needed_bytes)
    }

    /// The template of this name, from now on the newest.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Template>> {
        let mut shelf = self.lock();
        let kept = shelf.kept.get_mut(name)?;
        kept.used = SystemTime::now();
        Some(Arc::clone(&kept.template))
    }

    /// Waits until nobody else makes this template.
    pub(super) async fn turn(&self, name: &str) -> Turn {
        self.turns.take(name).await
    }

    /// A place to make a template in; blocks.
    pub(super) fn begin(&self, name: &str, memory_mib: u64) -> io::Result<Draft> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let (pid, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let finished = self.folder.join(format!("{name}.{pid}.{number}"));
        let folder = finished.with_added_extension("part");
        // What a process of our number left is nobody's.
        remove(&folder);
        remove(&finished);
        make_folder(&folder)?;
        let state = create(&folder.join(STATE))?;
        let draft = Draft {
            name: name.to_owned(),
            folder,
            finished,
            state,
        };
        create(&draft.memory())?.set_len(memory_mib << 20)?;
        Ok(draft)
    }

    /// Keeps a machine that was frozen in this place; others of its program and
    /// the longest unused make room. Blocks.
    pub(super) fn keep(&self, draft: Draft, log: Vec<String>) -> io::Result<Arc<Template>> {
        let text = |name: &str, text: &str| {
            io::Write::write_all(&mut create(&draft.folder.join(name))?, text.as_bytes())
        };
        text(LOG, &log.join("\n"))?;
        text(BOOT, &self.boot_id)?;
        let folder = draft.finished.clone();
        fs::rename(&draft.folder, &folder)?;
        let template = Arc::new(Template {
            size_bytes: size_bytes(&folder),
            folder,
            log,
            unwanted: AtomicBool::new(false),
        });
        if let Some((program, _)) = draft.name.split_once('-') {
            self.discard(|name| name.split_once('-').is_some_and(|(of, _)| of == program));
        }
        self.make_room(template.size_bytes);
        if template.size_bytes > self.limit_bytes {
            template.unwanted.store(true, Ordering::Relaxed);
            self.refuse(&draft.name);
            return Ok(template);
        }
        let kept = Kept {
            template: Arc::clone(&template),
            used: SystemTime::now(),
        };
        self.adopt(draft.name.clone(), kept);
        Ok(template)
    }

    /// Remembers for a while that this machine cannot be frozen.
    pub(super) fn refuse(&self, name: &str) {
        let refused = &mut self.lock().refused;
        refused.retain(|_, since| since.elapsed() < limits::FREEZE_RETRY);
        if refused.len() < limits::PROGRAMS_MAX {
            refused.insert(name.to_owned(), Instant::now());
        }
    }

    /// Whether that is so.
    pub(super) fn is_refused(&self, name: &str) -> bool {
        let shelf = self.lock();
        let since = shelf.refused.get(name);
        since.is_some_and(|since| since.elapsed() < limits::FREEZE_RETRY)
    }

    /// Removes a template that does not work.
    pub(super) fn remove(&self, name: &str) {
        self.discard(|kept| kept == name);
    }

    /// Removes the templates of a program.
    pub(super) fn forget(&self, program: &ItemHash) {
        let prefix = format!("{program}-");
        self.discard(|name| name.starts_with(&prefix));
    }

    /// Room that all of them take, in bytes.
    pub(super) fn size_bytes(&self) -> u64 {
        let shelf = self.lock();
        let sizes = shelf.kept.values().map(|kept| kept.template.size_bytes);
        sizes.sum()
    }

    /// Removes the longest unused until so many bytes more fit.
    fn make_room(&self, more_bytes: u64) {
        while self.size_bytes().saturating_add(more_bytes) > self.limit_bytes {
            let oldest = {
                let shelf = self.lock();
                let oldest = shelf.kept.iter().min_by_key(|(_, kept)| kept.used);
                oldest.map(|(name, _)| name.clone())
            };
            let Some(oldest) = oldest else {
                return;
            };
            tracing::info!(template = oldest, "a template makes room for others");
            self.remove(&oldest);
        }
    }

    fn discard(&self, which: impl Fn(&str) -> bool) {
        let unwanted: Vec<Kept> = {
            let mut shelf = self.lock();
            shelf
                .kept
                .extract_if(|name, _| which(name))
                .map(|(_, kept)| kept)
                .collect()
        };
        for kept in unwanted {
            kept.template.unwanted.store(true, Ordering::Relaxed);
        }
    }

    fn adopt(&self, name: String, kept: Kept) {
        let before = self.lock().kept.insert(name, kept);
        if let Some(before) = before {
            before.template.unwanted.store(true, Ordering::Relaxed);
        }
    }

    /// What an earlier node left, if it is of use.
    fn inspect(&self, folder: &Path) -> Option<Kept> {
        let boot_id = fs::read_to_string(folder.join(BOOT)).ok()?;
        if boot_id != self.boot_id || boot_id.is_empty() {
            return None;
        }
        let log = fs::read_to_string(folder.join(LOG)).ok()?;
        let used = fs::metadata(folder.join(BOOT)).ok()?.modified().ok()?;
        let template = Template {
            folder: folder.to_owned(),
            size_bytes: size_bytes(folder),
            log: log.lines().map(str::to_owned).collect(),
            unwanted: AtomicBool::new(false),
        };
        Some(Kept {
            template: Arc::new(template),
            used,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Template {
    /// The file that clones map.
    pub(super) fn memory(&self) -> PathBuf {
        self.folder.join(MEMORY)
    }

    /// The file that a clone reads, at its beginning; blocks, shortly.
    pub(super) fn state(&self) -> io::Result<File> {
        File::open(self.folder.join(STATE))
    }

    /// What the program had printed.
    pub(super) fn log(&self) -> &[String] {
        &self.log
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        if self.unwanted.load(Ordering::Relaxed) {
            remove(&self.folder);
        }
    }
}

impl Draft {
    /// The file that becomes the machine's memory.
    pub(super) fn memory(&self) -> PathBuf {
        self.folder.join(MEMORY)
    }

    /// The file that takes the rest of its state.
    pub(super) fn state(&self) -> &File {
        &self.state
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

/// Gathers what makes a template another one.
#[derive(Default)]
pub(super) struct Key(Sha256);

impl Key {
    /// Anything that can be told.
    pub(super) fn add(&mut self, what: &impl Debug) {
        self.0.update(format!("{what:?}\n"));
    }

    /// A file as it is now, without reading it; blocks.
    pub(super) fn add_file(&mut self, path: &Path) -> io::Result<()> {
        let identity = |file: Metadata| {
            (
                file.dev(),
                file.ino(),
                file.len(),
                file.mtime(),
                file.mtime_nsec(),
            )
        };
        self.add(&(path, identity(fs::metadata(path)?)));
        Ok(())
    }

    /// The name of the template.
    pub(super) fn name(self, program: &ItemHash) -> String {
        let digest = const_hex::encode(self.0.finalize());
        format!("{program}-{}", digest.get(..32).unwrap_or(&digest))
    }
}

/// Whether the process lives that makes this draft.
fn is_under_way(draft: &str) -> bool {
    let maker = draft.split('.').nth(1);
    maker.is_some_and(|pid| pid.parse::<u32>().is_ok() && Path::new("/proc").join(pid).exists())
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn create(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Room that the files of a folder take; holes take none.
fn size_bytes(folder: &Path) -> u64 {
    let files = [MEMORY, STATE].map(|name| fs::metadata(folder.join(name)));
    let sizes = files.into_iter().flatten().map(|file| file.blocks() * 512);
    sizes.sum()
}

fn remove(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("cannot remove {}: {error}", folder.display());
        }
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const MIB: usize = 1 << 20;

    fn program(name: &str) -> ItemHash {
        ItemHash::of_bytes(name.as_bytes())
    }

    fn make(templates: &Templates, name: &str, mib: usize) -> Arc<Template> {
        let draft = templates.begin(name, mib as u64).unwrap();
        fs::write(draft.memory(), vec![1; mib * MIB]).unwrap();
        templates.keep(draft, vec!["hello".to_owned()]).unwrap()
    }

    fn folders(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn the_longest_unused_make_room_and_go_when_nobody_holds_them() {
        let folder = tempfile::tempdir().unwrap();
        let templates = Templates::open(folder.path().join("t"), 5).unwrap();
        let held = make(&templates, "a-1", 2);
        drop(make(&templates, "b-1", 2));
        assert!(templates.find("b-1").is_some());
        drop(make(&templates, "c-1", 2));
        assert!(templates.find("a-1").is_none());
        assert!(templates.find("b-1").is_some() && templates.find("c-1").is_some());
        assert!(held.state().is_ok(), "who holds it can use it");
        drop(held);
        assert_eq!(folders(&folder.path().join("t")), 2);
        drop(make(&templates, "d-1", 7));
        assert!(templates.find("d-1").is_none() && templates.is_refused("d-1"));
        assert!(!templates.has_room_for(u64::from(u32::MAX)));
    }

    #[test]
    fn a_program_has_one_template_and_forgotten_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t");
        let templates = Templates::open(path.clone(), 100).unwrap();
        let (first, other) = (program("first"), program("other"));
        for name in [
            format!("{first}-1"),
            format!("{first}-2"),
            format!("{other}-1"),
        ] {
            drop(make(&templates, &name, 1));
        }
        assert!(templates.find(&format!("{first}-1")).is_none());
        assert_eq!(folders(&path), 2);
        templates.forget(&first);
        assert!(templates.find(&format!("{other}-1")).is_some());
        assert_eq!(folders(&path), 1);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let kept = templates.find(&format!("{other}-1")).unwrap();
        assert_eq!((mode(&kept.folder), mode(&kept.memory())), (0o700, 0o600));
    }

    #[test]
    fn what_a_dead_node_left_is_taken_over_or_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t");
        drop(make(&Templates::open(path.clone(), 100).unwrap(), "a-1", 1));
        fs::create_dir(path.join("b-1.4194305.0.part")).unwrap();
        let ours = format!("c-1.{}.0.part", std::process::id());
        fs::create_dir(path.join(&ours)).unwrap();
        fs::create_dir(path.join("d-1.1.0")).unwrap();
        fs::write(path.join("d-1.1.0").join(BOOT), "another boot").unwrap();
        let templates = Templates::open(path.clone(), 100).unwrap();
        assert_eq!(templates.find("a-1").unwrap().log(), ["hello"]);
        assert_eq!(folders(&path), 2);
        assert!(path.join(ours).exists());
    }

    #[test]
    fn a_changed_file_makes_another_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let name = || {
            let mut key = Key::default();
            key.add_file(&path).unwrap();
            key.name(&program("any"))
        };
        fs::write(&path, "one").unwrap();
        let first = name();
        assert_eq!(first, name());
        fs::write(&path, "three").unwrap();
        assert_ne!(first, name());
    }
}
