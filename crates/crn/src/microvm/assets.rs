//! What machines boot from: the kernel and modules of the guest folder, and the
//! init that this program carries.
//!
//! ```text
//! guest folder: vmlinux ───────────────────────────────▶ -kernel
//!               modules/NN-name.ko ┐ (and modules-network/ for network cards)
//! this program: beth-init ─────────┴─▶ initrd-<hash>.cpio ─▶ -initrd
//! ```
//!
//! The archive is made once and kept under the hash of its bytes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, fs, io};

use sha2::{Digest, Sha256};

use super::cpio::Archive;
use crate::executor::Fault;

const INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/beth-init"));
const MODULES: &str = "modules";
const NETWORK_MODULES: &str = "modules-network";
const SQUASHFS_MAGIC: &[u8; 4] = b"hsqs";

/// How to get what is missing; the end of many sentences.
pub(super) const ADVICE: &str = "run `make guest` (scripts/guest.sh) and try again";

/// What the guest folder looked like: another look, other assets.
pub(super) type Stamp = [Option<(u64, SystemTime)>; 3];

/// Without reading a file; blocks, shortly.
pub(super) fn stamp(guest_folder: &Path) -> Stamp {
    ["vmlinux", MODULES, NETWORK_MODULES].map(|name| {
        let metadata = fs::metadata(guest_folder.join(name)).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    })
}

/// The files of a boot.
#[derive(Clone, Debug)]
pub(super) struct Assets {
    /// ELF image of the kernel.
    pub(super) kernel: PathBuf,
    /// Init and modules.
    pub(super) initrd: PathBuf,
    /// The same with those of network cards, if the guest folder has them.
    pub(super) network_initrd: Option<PathBuf>,
}

impl Assets {
    /// For a machine with a network card.
    pub(super) fn with_network(self) -> Result<Assets, Fault> {
        let missing = || {
            let text = "the guest folder has no modules for network cards";
            Fault::NotHere(format!("{text}: {ADVICE}"))
        };
        Ok(Assets {
            initrd: self.network_initrd.clone().ok_or_else(missing)?,
            ..self
        })
    }
}

/// `$BETH_GUEST_DIR`, or `beth/guest` in the user's cache folder, where
/// `scripts/guest.sh` puts what it builds.
pub fn default_guest_folder() -> PathBuf {
    let named = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    named("BETH_GUEST_DIR").unwrap_or_else(|| {
        let home = || {
            named("HOME")
                .unwrap_or_else(|| PathBuf::from("/root"))
                .join(".cache")
        };
        named("XDG_CACHE_HOME")
            .unwrap_or_else(home)
            .join("beth/guest")
    })
}

/// Finds the kernel and makes the initial filesystem; blocks. The error is a
/// sentence for operators.
pub(super) fn assemble(guest_folder: &Path, work_folder: &Path) -> Result<Assets, String> {
    let kernel = guest_folder.join("vmlinux");
    if INIT.is_empty() {
        return Err("microVMs run on x86-64 only".to_owned());
    }
    if !kernel.is_file() {
        return Err(format!(
            "there is no guest kernel at {}: {ADVICE}",
            kernel.display()
        ));
    }
    let folders = [MODULES, NETWORK_MODULES].map(|name| guest_folder.join(name));
    let [modules, network_modules] = &folders;
    let network_initrd = match network_modules.is_dir() {
        true => Some(keep(work_folder, &archive(&[modules, network_modules])?)?),
        false => None,
    };
    let initrd = keep(work_folder, &archive(&[modules])?)?;
    Ok(Assets {
        kernel,
        initrd,
        network_initrd,
    })
}

/// Where an archive is.
fn keep(work_folder: &Path, bytes: &[u8]) -> Result<PathBuf, String> {
    let name = format!(
        "initrd-{}.cpio",
        &const_hex::encode(Sha256::digest(bytes))[..16]
    );
    let initrd = work_folder.join(name);
    if !initrd.is_file() {
        write_whole(&initrd, bytes).map_err(|error| {
            format!(
                "cannot write {}: {error}; make room or check its folder",
                initrd.display()
            )
        })?;
    }
    Ok(initrd)
}

/// Whether the file begins like a squashfs image; blocks.
pub(super) fn is_squashfs(path: &Path) -> io::Result<bool> {
    use io::Read;
    let mut magic = [0; 4];
    match fs::File::open(path)?.read_exact(&mut magic) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| &magic == SQUASHFS_MAGIC),
    }
}

/// Modules are loaded in the order of the folders and of their names.
fn archive(folders: &[&PathBuf]) -> Result<Vec<u8>, String> {
    let mut archive = Archive::default();
    archive.folder("dev");
    archive.file("init", INIT);
    archive.folder("modules");
    for (number, modules) in folders.iter().enumerate() {
        let missing =
            |error: io::Error| format!("cannot read {}: {error}; {ADVICE}", modules.display());
        let mut paths = Vec::new();
        for entry in fs::read_dir(modules).map_err(missing)? {
            paths.push(entry.map_err(missing)?.path());
        }
        paths.sort();
        let is_module = |path: &&PathBuf| path.extension().is_some_and(|end| end == "ko");
        for path in paths.iter().filter(is_module) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let bytes = fs::read(path).map_err(missing)?;
            archive.file(&format!("modules/{number}-{name}"), &bytes);
        }
    }
    Ok(archive.finish())
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let file = tempfile::NamedTempFile::new_in(folder)?;
    fs::write(file.path(), bytes)?;
    // Machines have users of their own.
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}
