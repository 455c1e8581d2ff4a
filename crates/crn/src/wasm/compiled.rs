//! Compiled components on disk.
//!
//! A file here is native code that the node executes, so only files that this
//! node wrote are loaded: the folder is the node's alone (0700), files are
//! created 0600, synced and renamed into place, and a file with another owner
//! or looser rights is compiled again. The name says all that the code depends
//! on: the component, and Wasmtime's version, settings and processor features.
//! The folder is bounded; what was loaded longest ago goes first. A file that is
//! mapped stays usable after it went.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use beth_protocol::ItemHash;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::engine::one_line;
use crate::executor::{Fault, LocalFile};
use crate::flight::Turns;
use crate::limits;

/// The folder of compiled components.
#[derive(Debug)]
pub(super) struct Compiled {
    folder: PathBuf,
    bytes_max: u64,
    turns: Turns,
    compilers: Arc<Semaphore>,
    compilations: Arc<AtomicU64>,
    /// Components that cost a compilation and came to nothing, and why; they are
    /// not tried again.
    hopeless: Mutex<HashMap<ItemHash, String>>,
}

impl Compiled {
    /// Uses `folder`, creating it if needed.
    pub(super) fn open(folder: PathBuf, bytes_max: u64) -> Result<Compiled, Fault> {
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder);
        made.map_err(|error| {
            Fault::NotHere(format!("cannot create {}: {error}", folder.display()))
        })?;
        let threads = std::thread::available_parallelism()
            .map_or(2, usize::from)
            .max(2);
        Ok(Compiled {
            folder,
            bytes_max,
            turns: Turns::default(),
            compilers: Arc::new(Semaphore::new(threads)),
            compilations: Arc::default(),
            hopeless: Mutex::default(),
        })
    }

    /// How many components were compiled here.
    pub(super) fn compilations(&self) -> u64 {
        self.compilations.load(Ordering::Relaxed)
    }

    /// The component of a file, compiled now or earlier.
    pub(super) async fn component(
        &self,
        engine: &Engine,
        code: &LocalFile,
    ) -> Result<Component, Fault> {
        let path = self
            .folder
            .join(format!("{}.cwasm", name(engine, &code.hash)));
        let _turn = self.turns.take(code.hash.as_str()).await;
        match blocking(load_in(engine, &path)).await? {
            Loaded::Usable(component) => return Ok(component),
            Loaded::Unusable(error) | Loaded::Unreadable(error) => {
                tracing::warn!(
                    "{} cannot be used ({error}) and is compiled again",
                    path.display()
                );
            }
            Loaded::Absent => {}
        }
        if let Some(why) = self.hopeless().get(&code.hash) {
            return Err(Fault::BadProgram(why.clone()));
        }
        let place = self.compilers.clone().acquire_owned().await;
        let work = {
            let (engine, code, path, done) = (
                engine.clone(),
                code.clone(),
                path.clone(),
                self.compilations.clone(),
            );
            let bytes_max = self.bytes_max;
            move || {
                let _place = place;
                compile(&engine, &code, &path, bytes_max)?;
                done.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        };
        let compiled = tokio::time::timeout(limits::COMPILE_DEADLINE, blocking(work)).await;
        match compiled {
            Err(_) => {
                let seconds = limits::COMPILE_DEADLINE.as_secs();
                return Err(self.give_up(
                    code,
                    format!(
                        "compiling the component took more than {seconds} seconds; make it smaller"
                    ),
                ));
            }
            Ok(compiled) => compiled?,
        }
        match blocking(load_in(engine, &path)).await? {
            Loaded::Usable(component) => Ok(component),
            Loaded::Unreadable(error) => Err(Fault::Internal(format!(
                "{} cannot be mapped: {error}; is there memory left?",
                path.display()
            ))),
            Loaded::Unusable(error) => Err(self.give_up(code, format!(
                "the component asks for more than a node gives: {error}; make it begin with less"
            ))),
            Loaded::Absent => Err(Fault::Internal(
                "the compiled component vanished; is the disk full?".into(),
            )),
        }
    }

    /// Remembers that a component is of no use.
    fn give_up(&self, code: &LocalFile, why: String) -> Fault {
        let mut hopeless = self.hopeless();
        if hopeless.len() >= limits::HOPELESS_COMPONENTS_MAX {
            hopeless.clear();
        }
        hopeless.insert(code.hash.clone(), why.clone());
        Fault::BadProgram(why)
    }

    fn hopeless(&self) -> MutexGuard<'_, HashMap<ItemHash, String>> {
        self.hopeless.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(Fault::Internal(format!(
            "the Wasm compiler failed: {error}"
        )))
    })
}

/// What became of a compiled file.
enum Loaded {
    Usable(Component),
    /// There is none that this node wrote.
    Absent,
    /// It is there, and the engine refuses it.
    Unusable(String),
    /// It is there, and the system does not let us have it.
    Unreadable(String),
}

fn load_in(
    engine: &Engine,
    path: &Path,
) -> impl FnOnce() -> Result<Loaded, Fault> + Send + 'static {
    let (engine, path) = (engine.clone(), path.to_owned());
    move || Ok(load(&engine, &path))
}

/// Loads a file that this node compiled.
#[allow(unsafe_code)]
fn load(engine: &Engine, path: &Path) -> Loaded {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Loaded::Absent;
    };
    // SAFETY: no preconditions; it cannot fail.
    let own_uid = unsafe { libc::geteuid() };
    let is_ours = metadata.is_file()
        && metadata.uid() == own_uid
        && metadata.permissions().mode() & 0o077 == 0;
    if !is_ours {
        tracing::warn!(
            "{} was not written by this node and is compiled again",
            path.display()
        );
        return Loaded::Absent;
    }
    // SAFETY: the file was written by `compile` below: nobody else can write
    // to it or put another one in its place, it was complete before it got its
    // name, and it is never changed in place.
    match unsafe { Component::deserialize_file(engine, path) } {
        Ok(component) => {
            // What is used stays longer; what seems older than it is goes too early, no more.
            let file = std::fs::File::open(path);
            drop(file.and_then(|file| file.set_modified(std::time::SystemTime::now())));
            Loaded::Usable(component)
        }
        Err(error) => {
            let cause = error.root_cause();
            let is_of_system = cause.is::<std::io::Error>() || cause.is::<rustix::io::Errno>();
            match is_of_system {
                true => Loaded::Unreadable(one_line(&error)),
                false => Loaded::Unusable(one_line(&error)),
            }
        }
    }
}

fn compile(engine: &Engine, code: &LocalFile, path: &Path, bytes_max: u64) -> Result<(), Fault> {
    if code.size_bytes > limits::COMPONENT_BYTES_MAX {
        return Err(Fault::BadProgram(format!(
            "the component is larger than {} MiB; make it smaller",
            limits::COMPONENT_BYTES_MAX >> 20
        )));
    }
    let bytes = std::fs::read(&code.path).map_err(|error| {
        Fault::Internal(format!("cannot read {}: {error}", code.path.display()))
    })?;
    check_magic(&bytes)?;
    let compiled = engine.precompile_component(&bytes).map_err(|error| {
        Fault::BadProgram(format!(
            "the file is no valid WebAssembly component: {}; build it again",
            one_line(&error)
        ))
    })?;
    if let Some(folder) = path.parent()
        && let Err(error) = crate::download::evict(folder, bytes_max, compiled.len() as u64)
    {
        tracing::warn!("cannot make room in {}: {error}", folder.display());
    }
    write_atomically(path, &compiled).map_err(|error| {
        Fault::NotHere(format!(
            "cannot write {}: {error}; is the disk full?",
            path.display()
        ))
    })
}

fn check_magic(bytes: &[u8]) -> Result<(), Fault> {
    let fault = match bytes.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => return Ok(()),
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => {
            "the file is a core WebAssembly module, not a component; build for wasm32-wasip2, \
             or wrap it with `wasm-tools component new`"
        }
        _ => {
            "the file is no WebAssembly component although the entrypoint ends in .wasm; \
             deploy the .wasm file that your toolchain made"
        }
    };
    Err(Fault::BadProgram(fault.into()))
}

fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}-{number}.part", std::process::id()));
    let written = (|| {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // The name is ours alone; what remains of it is of no use.
        drop(std::fs::remove_file(&temporary));
    }
    written
}

/// What the native code depends on, as 64 hex digits.
fn name(engine: &Engine, component: &ItemHash) -> String {
    let mut digest = Digester(Sha256::new());
    digest.write(component.as_str().as_bytes());
    engine.precompile_compatibility_hash().hash(&mut digest);
    const_hex::encode(digest.0.finalize())
}

/// Hashes what the standard library's hashing visits, stably over processes.
struct Digester(Sha256);

impl Hasher for Digester {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        digest
            .first_chunk()
            .map_or(0, |first| u64::from_le_bytes(*first))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tells_components_from_other_files() {
        assert!(check_magic(b"\0asm\x0d\0\x01\0rest").is_ok());
        for (bytes, word) in [
            (&b"\0asm\x01\0\0\0"[..], "core WebAssembly module"),
            (b"PK\x03\x04", "no WebAssembly"),
            (b"", "no WebAssembly"),
        ] {
            let fault = check_magic(bytes).unwrap_err();
            assert!(
                matches!(&fault, Fault::BadProgram(text) if text.contains(word)),
                "{fault}"
            );
        }
    }

    #[test]
    fn writes_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.cwasm");
        write_atomically(&path, b"code").unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
