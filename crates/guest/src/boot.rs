//! From the kernel's empty memory filesystem to a root that programs can use.
//!
//! ```text
//! drive "root" ─ squashfs ─▶ /image ┐
//!                 tmpfs ───▶ /change┴─ overlay ─▶ /root ─ becomes ─▶ /
//! ```
//!
//! Drives are found by serial number and ports by name, because the order in
//! which the kernel numbers them is not ours to choose.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use beth_guest::frame::ROOT_DRIVE;

use crate::sys::{self, Mount};

const TRIES: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(5);

/// `/dev`, `/proc`, `/sys`.
pub fn mount_system() -> Result<(), String> {
    for (kind, target) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")] {
        make_folder(target)?;
        sys::mount(&Mount {
            source: kind,
            target,
            kind,
            options: "",
            flags: 0,
        })?;
    }
    Ok(())
}

/// Loads `/modules/*` in the order of their names and frees their memory.
pub fn load_modules() -> Result<(), String> {
    let listing = fs::read_dir("/modules").map_err(|error| format!("/modules: {error}"))?;
    let mut paths: Vec<PathBuf> = listing
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    for path in paths {
        let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        sys::load_module(&file).map_err(|error| format!("loading {}: {error}", path.display()))?;
    }
    fs::remove_dir_all("/modules").map_err(|error| format!("/modules: {error}"))
}

/// Makes the drive "root", with changes kept in memory, the root directory.
pub fn enter_root() -> Result<(), String> {
    let drive = find_drive(ROOT_DRIVE)?;
    for folder in ["/image", "/change", "/root"] {
        make_folder(folder)?;
    }
    sys::mount(&Mount {
        source: &drive,
        target: "/image",
        kind: "squashfs",
        options: "",
        flags: libc::MS_RDONLY,
    })?;
    sys::mount(&Mount {
        source: "change",
        target: "/change",
        kind: "tmpfs",
        options: "mode=0755",
        flags: 0,
    })?;
    make_folder("/change/upper")?;
    make_folder("/change/work")?;
    let options = "lowerdir=/image,upperdir=/change/upper,workdir=/change/work";
    sys::mount(&Mount {
        source: "root",
        target: "/root",
        kind: "overlay",
        options,
        flags: 0,
    })?;
    for folder in ["/dev", "/proc", "/sys"] {
        let target = format!("/root{folder}");
        make_folder(&target)?;
        sys::mount(&Mount {
            source: folder,
            target: &target,
            kind: "",
            options: "",
            flags: libc::MS_MOVE,
        })?;
    }
    let moving = |error: std::io::Error| format!("entering the root filesystem: {error}");
    std::env::set_current_dir("/root").map_err(moving)?;
    sys::mount(&Mount {
        source: ".",
        target: "/",
        kind: "",
        options: "",
        flags: libc::MS_MOVE,
    })?;
    std::os::unix::fs::chroot(".").map_err(moving)?;
    std::env::set_current_dir("/").map_err(moving)?;
    for (kind, target, options) in [
        ("tmpfs", "/run", "mode=0755"),
        ("devpts", "/dev/pts", "ptmxmode=0666"),
        ("tmpfs", "/dev/shm", "mode=1777"),
    ] {
        make_folder(target)?;
        sys::mount(&Mount {
            source: kind,
            target,
            kind,
            options,
            flags: libc::MS_NOSUID | libc::MS_NODEV,
        })
        .or_else(|_| {
            sys::mount(&Mount {
                source: kind,
                target,
                kind,
                options,
                flags: 0,
            })
        })?;
    }
    Ok(())
}

/// `/dev/vdX` of the drive with this serial number.
pub fn find_drive(serial: &str) -> Result<String, String> {
    let found = wait_for(|| {
        let mut drives = fs::read_dir("/sys/block")
            .ok()?
            .filter_map(|entry| entry.ok());
        let drive = drives.find(|drive| text(&drive.path().join("serial")) == serial)?;
        Some(format!("/dev/{}", drive.file_name().to_string_lossy()))
    });
    found.ok_or_else(|| format!("there is no drive '{serial}'"))
}

/// The virtio-serial port with this name, open for reading and writing.
pub fn open_port(name: &str) -> Result<File, String> {
    let device = wait_for(|| {
        let mut ports = fs::read_dir("/sys/class/virtio-ports")
            .ok()?
            .filter_map(|entry| entry.ok());
        let port = ports.find(|port| text(&port.path().join("name")) == name)?;
        Some(PathBuf::from("/dev").join(port.file_name()))
    });
    let device = device.ok_or_else(|| format!("there is no port '{name}'"))?;
    File::options()
        .read(true)
        .write(true)
        .open(&device)
        .map_err(|error| format!("{}: {error}", device.display()))
}

/// Creates a folder and its parents.
pub fn make_folder(path: &str) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|error| format!("creating {path}: {error}"))
}

fn text(path: &Path) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Devices appear a moment after their driver; nothing announces them to us.
fn wait_for<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    (0..TRIES).find_map(|_| {
        let found = look();
        if found.is_none() {
            std::thread::sleep(PAUSE);
        }
        found
    })
}
