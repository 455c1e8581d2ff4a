//! The machine itself: program, size, folder, ports, tools.

use std::path::{Path, PathBuf};

use super::Check;
use crate::up::{default_ports, port_is_free};

/// Below this, even an empty network is in trouble, in MiB.
const MEMORY_MIB_MIN: u64 = 256;
/// Below this, a first program hardly fits, in MiB.
const DISK_MIB_MIN: u64 = 512;

pub(super) fn program() -> Check {
    let path = std::env::current_exe().map_or_else(
        |_| "an unknown place".to_owned(),
        |path| path.display().to_string(),
    );
    Check::ok(
        "program",
        format!("beth {} at {path}", env!("CARGO_PKG_VERSION")),
    )
}

pub(super) fn size() -> Check {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let Some(available_mib) = memory_available_mib() else {
        return Check::ok("size", format!("{cores} cores"));
    };
    let found = format!("{cores} cores, {available_mib} MiB of memory available");
    match available_mib < MEMORY_MIB_MIN {
        true => Check::broken(
            "size",
            found,
            format!("free memory: a local network needs {MEMORY_MIB_MIN} MiB"),
        ),
        false => Check::ok("size", found),
    }
}

fn memory_available_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1024)
}

/// The folder, or the nearest one above it that exists.
pub(super) fn folder(dir: &Path) -> Check {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let existing = absolute
        .ancestors()
        .find(|path| path.exists())
        .map_or_else(|| PathBuf::from("/"), Path::to_owned);
    if let Err(error) = tempfile::NamedTempFile::new_in(&existing) {
        let advice = "make it writable, or choose another folder with --dir";
        return Check::broken(
            "folder",
            format!("{} cannot be written: {error}", existing.display()),
            advice,
        );
    }
    let Ok(disk) = rustix::fs::statvfs(&existing) else {
        return Check::ok("folder", format!("{} is writable", absolute.display()));
    };
    let free_mib = disk.f_bavail.saturating_mul(disk.f_frsize) / (1024 * 1024);
    let found = format!("{} is writable, {free_mib} MiB free", absolute.display());
    match free_mib < DISK_MIB_MIN {
        true => Check::broken(
            "folder",
            found,
            "free disk space, or choose another folder with --dir",
        ),
        false => Check::ok("folder", found),
    }
}

/// The default ports: free, or in use by a network that runs.
pub(super) fn ports(network_is_running: bool) -> Check {
    let taken: Vec<String> = default_ports()
        .into_iter()
        .filter(|port| !port_is_free(*port))
        .map(|port| port.to_string())
        .collect();
    if taken.is_empty() {
        return Check::ok("ports", "the default ports are free");
    }
    let found = format!("in use: {}", taken.join(", "));
    match network_is_running {
        true => Check::ok("ports", format!("{found} (a network runs)")),
        false => Check::missing(
            "ports",
            found,
            "stop what uses them, or start with --port-base 0 (any free ports)",
        ),
    }
}

pub(super) fn tool(name: &'static str) -> Check {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
    {
        Some(path) => Check::ok(name, path.display().to_string()),
        None => {
            let (package, purpose) = match name {
                "mksquashfs" => ("squashfs-tools", "squash programs and build guest images"),
                _ => (name, "use the Python clients"),
            };
            Check::missing(
                name,
                "not found",
                format!("to {purpose}: apt-get install {package}"),
            )
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn a_folder_to_be_made_is_judged_by_its_parent() {
        let dir = tempfile::tempdir().unwrap();
        let check = folder(&dir.path().join("a/b"));
        assert_eq!(check.status, Status::Ok, "{check:?}");
        assert!(check.found.contains("a/b is writable"));
        assert_eq!(folder(Path::new("/proc/none")).status, Status::Broken);
    }

    #[test]
    fn a_tool_that_nobody_has() {
        assert_eq!(tool("no-such-tool").status, Status::Missing);
        assert!(memory_available_mib().unwrap() > 0);
    }
}
