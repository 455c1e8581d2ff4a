//! Control groups: what a machine may take of memory, processors and processes.
//!
//! ```text
//! version 2   <own group>/beth-<node>-<n>/{memory.max, cpu.max, cpu.weight, pids.max}
//! version 1   pids/<own group>/beth-<node>-<n>/pids.max
//!             cpu/<own group>/beth-<node>-<n>/{cpu.cfs_quota_us, cpu.shares}
//! ```
//!
//! Groups are made below the node's own, so whatever bounds the node bounds its
//! machines. Version 1's memory controller is not used: whoever supervises the
//! node by its memory group would lose sight of the machines. In version 2 a
//! group with processes cannot share out its controllers; a node alone in its
//! group (a service with `Delegate=yes`) moves to a group `node` below it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const ROOT: &str = "/sys/fs/cgroup";
const PREFIX: &str = "beth-";
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
const PERIOD_US: u64 = 100_000;
const SHARES_PER_CPU: u64 = 1024;
const WEIGHT_PER_CPU: u64 = 100;
const REMOVAL_TRIES: u32 = 150;
const REMOVAL_PAUSE: Duration = Duration::from_millis(20);

/// What a group is held to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) memory_bytes: Option<u64>,
    pub(super) cpus: Option<u64>,
    pub(super) processes: u64,
}

/// A place where groups can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Version 2, with these controllers.
    Unified(PathBuf, Vec<String>),
    /// Version 1, one controller.
    Single(PathBuf, &'static str),
}

/// The places of this node.
#[derive(Clone, Debug)]
pub(super) struct Control(Vec<Place>);

/// The group of one machine. Removed when dropped, once it is empty.
#[derive(Debug)]
pub(super) struct Group {
    folders: Vec<PathBuf>,
}

impl Control {
    /// Looks for places below the node's own groups; the error is a sentence.
    pub(super) fn find() -> Result<Control, String> {
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let control = Control::below(Path::new(ROOT), &own)?;
        control.sweep();
        Ok(control)
    }

    fn below(root: &Path, own: &str) -> Result<Control, String> {
        let mut places = Vec::new();
        let mut reasons = Vec::new();
        for line in own.lines() {
            let mut parts = line.splitn(3, ':');
            let (_, Some(names), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let place = if names.is_empty() {
                unified(&root.join(path.trim_start_matches('/')))
            } else {
                single(root, names, path)
            };
            match place {
                Ok(place) => places.extend(place),
                Err(reason) => reasons.push(reason),
            }
        }
        if places.is_empty() {
            reasons.push("no controller of cpu, memory and pids can be used".to_owned());
            return Err(reasons.join("; "));
        }
        Ok(Control(places))
    }

    /// What is bounded, of `cpu`, `memory`, `pids`.
    pub(super) fn controllers(&self) -> Vec<&str> {
        let named = |name: &&str| {
            self.0.iter().any(|place| match place {
                Place::Unified(_, names) => names.iter().any(|had| had == *name),
                Place::Single(_, had) => had == name,
            })
        };
        CONTROLLERS.into_iter().filter(named).collect()
    }

    /// Makes a group.
    pub(super) fn group(&self, bounds: Bounds) -> io::Result<Group> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let mut group = Group {
            folders: Vec::new(),
        };
        for place in &self.0 {
            let (Place::Unified(parent, _) | Place::Single(parent, _)) = place;
            let folder = parent.join(&name);
            // What an earlier process of this number left is empty, or in use.
            let _ = fs::remove_dir(&folder);
            fs::create_dir(&folder)?;
            group.folders.push(folder.clone());
            for (file, text) in settings(place, bounds) {
                fs::write(folder.join(file), text)?;
            }
        }
        Ok(group)
    }

    /// Removes empty groups of nodes that are no more.
    fn sweep(&self) {
        for place in &self.0 {
            let (Place::Unified(parent, _) | Place::Single(parent, _)) = place;
            for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let node = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
                let node = node.and_then(|name| name.split('-').next());
                if node.is_some_and(|node| !Path::new("/proc").join(node).exists()) {
                    // Not empty: a machine that outlived its node has it.
                    let _ = fs::remove_dir(entry.path());
                }
            }
        }
    }
}

impl Group {
    /// Files that take the process that writes to them.
    pub(super) fn entrances(&self) -> impl Iterator<Item = PathBuf> {
        self.folders
            .iter()
            .map(|folder| folder.join("cgroup.procs"))
    }

    /// Leaves the group to a process that outlives the node.
    pub(super) fn leave(mut self) {
        self.folders.clear();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let mut folders = std::mem::take(&mut self.folders);
        folders.retain(|folder| !is_removed(folder));
        if folders.is_empty() {
            return;
        }
        let patient = move || {
            for _ in 0..REMOVAL_TRIES {
                folders.retain(|folder| !is_removed(folder));
                if folders.is_empty() {
                    return;
                }
                std::thread::sleep(REMOVAL_PAUSE);
            }
            tracing::warn!(
                ?folders,
                "control groups of a machine that ended are not empty"
            );
        };
        let named = std::thread::Builder::new().name("beth-groups".to_owned());
        if let Err(error) = named.spawn(patient) {
            tracing::warn!("control groups remain: {error}");
        }
    }
}

fn is_removed(folder: &Path) -> bool {
    // Only version 2 has it; what is still in the group ends now.
    let _ = fs::File::options()
        .write(true)
        .open(folder.join("cgroup.kill"))
        .and_then(|mut file| io::Write::write_all(&mut file, b"1"));
    match fs::remove_dir(folder) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn settings(place: &Place, bounds: Bounds) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    let has = |name: &str| match place {
        Place::Unified(_, names) => names.iter().any(|had| had == name),
        Place::Single(_, had) => *had == name,
    };
    let unified = matches!(place, Place::Unified(..));
    if has("pids") {
        settings.push(("pids.max", bounds.processes.to_string()));
    }
    if let Some(cpus) = bounds.cpus.filter(|_| has("cpu")) {
        let quota = cpus.saturating_mul(PERIOD_US);
        if unified {
            settings.push(("cpu.max", format!("{quota} {PERIOD_US}")));
            let weight = (cpus * WEIGHT_PER_CPU).clamp(1, 10_000);
            settings.push(("cpu.weight", weight.to_string()));
        } else {
            settings.push(("cpu.cfs_quota_us", quota.to_string()));
            settings.push(("cpu.shares", (cpus * SHARES_PER_CPU).to_string()));
        }
    }
    if let Some(bytes) = bounds.memory_bytes.filter(|_| has("memory")) {
        settings.push(("memory.max", bytes.to_string()));
        settings.push(("memory.oom.group", "1".to_owned()));
    }
    settings
}

fn single(root: &Path, names: &str, path: &str) -> Result<Option<Place>, String> {
    let known = ["cpu", "pids"];
    let Some(name) = known
        .into_iter()
        .find(|known| names.split(',').any(|name| name == *known))
    else {
        return Ok(None);
    };
    let folder = root.join(names).join(path.trim_start_matches('/'));
    usable(&folder).map(|()| Some(Place::Single(folder, name)))
}

fn unified(own: &Path) -> Result<Option<Place>, String> {
    let Ok(offered) = fs::read_to_string(own.join("cgroup.controllers")) else {
        return Ok(None);
    };
    let wanted: Vec<&str> = CONTROLLERS
        .into_iter()
        .filter(|name| offered.split_whitespace().any(|had| had == *name))
        .collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    share_out(own, &wanted).map_err(|error| {
        format!(
            "{} does not share out {}: {error}; run the node as a service with Delegate=yes",
            own.display(),
            wanted.join(", ")
        )
    })?;
    usable(own)?;
    let names = wanted.into_iter().map(str::to_owned).collect();
    Ok(Some(Place::Unified(own.to_owned(), names)))
}

fn share_out(own: &Path, controllers: &[&str]) -> io::Result<()> {
    let file = own.join("cgroup.subtree_control");
    let shared = fs::read_to_string(&file)?;
    if controllers
        .iter()
        .all(|name| shared.split_whitespace().any(|had| had == *name))
    {
        return Ok(());
    }
    let text: Vec<String> = controllers.iter().map(|name| format!("+{name}")).collect();
    let share = || fs::write(&file, text.join(" "));
    let Err(error) = share() else { return Ok(()) };
    let here = fs::read_to_string(own.join("cgroup.procs"))?;
    let alone = here
        .lines()
        .all(|line| line == std::process::id().to_string());
    if error.raw_os_error() != Some(libc::EBUSY) || !alone {
        return Err(error);
    }
    let node = own.join("node");
    fs::create_dir_all(&node)?;
    fs::write(node.join("cgroup.procs"), "0")?;
    share()
}

/// Whether groups can be made there: by making one.
fn usable(folder: &Path) -> Result<(), String> {
    let trial = folder.join(format!("{PREFIX}{}-trial", std::process::id()));
    fs::create_dir(&trial)
        .or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        })
        .map_err(|error| format!("no group can be made in {}: {error}", folder.display()))?;
    let _ = fs::remove_dir(&trial);
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        memory_bytes: Some(1 << 30),
        cpus: Some(2),
        processes: 64,
    };

    fn text(folder: &Path, file: &str) -> String {
        fs::read_to_string(folder.join(file)).unwrap()
    }

    #[test]
    fn a_delegated_group_of_version_2_bounds_everything() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("system.slice/beth.service");
        fs::create_dir_all(&own).unwrap();
        fs::write(
            own.join("cgroup.controllers"),
            "cpuset cpu io memory pids\n",
        )
        .unwrap();
        fs::write(own.join("cgroup.subtree_control"), "").unwrap();
        let control = Control::below(root.path(), "0::/system.slice/beth.service\n").unwrap();
        assert_eq!(control.controllers(), ["cpu", "memory", "pids"]);
        assert_eq!(text(&own, "cgroup.subtree_control"), "+cpu +memory +pids");
        let group = control.group(BOUNDS).unwrap();
        let folder = group.folders[0].clone();
        assert_eq!(folder.parent().unwrap(), own);
        assert_eq!(text(&folder, "cpu.max"), "200000 100000");
        assert_eq!(text(&folder, "memory.max"), (1u64 << 30).to_string());
        assert_eq!(text(&folder, "pids.max"), "64");
        group.leave();
    }

    #[test]
    fn version_1_bounds_processes_and_processors_below_the_own_group() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["pids/a", "cpu,cpuacct/b", "memory/c"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let own = "4:pids:/a\n3:cpu,cpuacct:/b\n2:memory:/c\n0::/\n";
        let control = Control::below(root.path(), own).unwrap();
        assert_eq!(control.controllers(), ["cpu", "pids"]);
        let group = control.group(BOUNDS).unwrap();
        assert_eq!(text(&group.folders[0], "pids.max"), "64");
        assert_eq!(text(&group.folders[1], "cpu.cfs_quota_us"), "200000");
        group.leave();
    }

    #[test]
    fn nothing_to_use_is_said() {
        let root = tempfile::tempdir().unwrap();
        let reason = Control::below(root.path(), "0::/\n2:memory:/c\n").unwrap_err();
        assert!(reason.contains("no controller"), "{reason}");
    }
}
