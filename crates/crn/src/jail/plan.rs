//! From what a machine may touch to the steps into its jail.
//!
//! ```text
//!  the new root (memory, read-only)
//!    /usr/lib …           libraries, read-only          ─┐
//!    /usr/bin/qemu…       the program, read-only         ├ binds, under the names
//!    /folder/files/<hash> what it reads, read-only       │ that they have outside
//!    /folder/machine/7    what it writes                ─┘
//!    /dev/{null,zero,urandom,…}
//! ```
//!
//! Names stay the same inside, so a command line needs no translation.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::landlock::{Access, Rule};
use super::step::{Attributes, Limit, Step};

/// What a dynamically linked program and QEMU read on every system.
const LIBRARIES: [&str; 9] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/qemu",
    "/usr/share/seabios",
    "/etc/ld.so.cache",
    "/etc/alternatives",
];
/// What starts dynamically linked programs.
const LOADERS: [&str; 4] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];
const DEVICES: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

/// A path of the jail.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Its name, absolute, inside and outside.
    pub(super) path: PathBuf,
    pub(super) access: Access,
}

/// All places: what is allowed, and what every program needs.
pub(super) fn places(program: &Path, allowed: &[Place]) -> io::Result<Vec<Place>> {
    let mut places = Vec::new();
    let mut add = |path: &Path, access| {
        places.push(Place {
            path: path.to_owned(),
            access,
        });
    };
    for library in LIBRARIES.map(Path::new) {
        if library.exists() {
            add(library, Access::Read);
        }
    }
    for device in DEVICES.map(Path::new) {
        add(device, Access::Device);
    }
    add(&std::path::absolute(program)?, Access::Execute);
    let mut allowed = allowed.to_vec();
    allowed.sort_by_key(|place| place.path.components().count());
    for place in allowed {
        add(&std::path::absolute(&place.path)?, place.access);
    }
    Ok(places)
}

/// The steps that make a root of the places; `owner`: the user whose devices
/// they are, if device files can be made.
pub(super) fn mounts(root: &Path, places: &[Place], owner: Option<u32>) -> io::Result<Vec<Step>> {
    let mut plan = Mounts {
        root,
        steps: vec![
            Step::Private,
            Step::Memory {
                path: text(root)?,
                options: text(Path::new("size=1m,nr_inodes=4096,mode=755"))?,
            },
        ],
        made: BTreeSet::new(),
    };
    for place in places {
        plan.place(place, owner)?;
    }
    let here = std::env::current_dir()?;
    plan.folders(&here)?;
    plan.steps.extend([
        Step::Root(text(root)?),
        Step::Seal,
        Step::Enter(text(&here)?),
    ]);
    Ok(plan.steps)
}

/// The rules that give the places back. Blocks: it looks at them.
pub(super) fn rules(places: &[Place]) -> io::Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for place in places {
        let is_folder = fs::metadata(&place.path)?.is_dir();
        rules.push(Rule {
            path: text(&place.path)?,
            rights: place.access.rights(is_folder),
        });
    }
    for loader in LOADERS {
        if let Ok(path) = fs::canonicalize(loader) {
            rules.push(Rule {
                path: text(&path)?,
                rights: Access::Execute.rights(false),
            });
        }
    }
    Ok(rules)
}

/// A bound of one resource.
pub(super) fn limit(resource: libc::__rlimit_resource_t, value: u64) -> Step {
    Step::Limit(Limit { resource, value })
}

/// A path for the kernel.
pub(super) fn text(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

struct Mounts<'a> {
    root: &'a Path,
    steps: Vec<Step>,
    made: BTreeSet<PathBuf>,
}

impl Mounts<'_> {
    fn place(&mut self, place: &Place, owner: Option<u32>) -> io::Result<()> {
        let outside = &place.path;
        if let Some(parent) = outside.parent() {
            self.folders(parent)?;
        }
        let inside = text(&self.inside(outside))?;
        if let Some(to) = short_link(outside) {
            let link = Step::Link {
                path: inside,
                to: text(&to)?,
            };
            self.steps.push(link);
            return Ok(());
        }
        let real = fs::canonicalize(outside)?;
        let metadata = fs::metadata(&real)?;
        if let (Access::Device, Some(user)) = (place.access, owner) {
            self.steps.push(Step::Device {
                path: inside,
                number: metadata.rdev(),
                user,
            });
            return Ok(());
        }
        self.steps.push(match metadata.is_dir() {
            true => Step::Folder(inside.clone()),
            false => Step::File(inside.clone()),
        });
        let attributes = match place.access {
            Access::Read | Access::Execute => Attributes::READ_ONLY,
            Access::Write | Access::Share => Attributes::WRITABLE,
            Access::Device => Attributes::DEVICE,
        };
        self.steps.extend([
            Step::Bind {
                from: text(&real)?,
                to: inside.clone(),
            },
            Step::Restrict {
                path: inside,
                attributes,
            },
        ]);
        Ok(())
    }

    fn inside(&self, path: &Path) -> PathBuf {
        let below = path.strip_prefix("/").unwrap_or(path);
        self.root.join(below)
    }

    fn folders(&mut self, folder: &Path) -> io::Result<()> {
        let mut path = PathBuf::new();
        for component in folder.components() {
            path.push(component);
            if matches!(component, Component::RootDir) || !self.made.insert(path.clone()) {
                continue;
            }
            let inside = text(&self.inside(&path))?;
            self.steps.push(Step::Folder(inside));
        }
        Ok(())
    }
}

/// Where a link of the system's layout (`/lib` to `usr/lib`) leads. An absolute
/// one would lead out of the new root while it is made.
fn short_link(path: &Path) -> Option<PathBuf> {
    let listed = LIBRARIES.iter().any(|library| Path::new(library) == path);
    let to = fs::read_link(path).ok().filter(|_| listed)?;
    let inside = to
        .components()
        .all(|component| matches!(component, Component::Normal(_)));
    inside.then_some(to)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_what_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let place = |path: &Path| Place {
            path: path.to_owned(),
            access: Access::Read,
        };
        let allowed = [place(&inner), place(folder.path())];
        let all = places(Path::new("/bin/true"), &allowed).unwrap();
        let paths: Vec<&Path> = all.iter().map(|place| place.path.as_path()).collect();
        assert_eq!(paths[paths.len() - 2..], [folder.path(), &inner]);
        let steps = mounts(Path::new("/root/jail"), &all, Some(7)).unwrap();
        let bound = |path: &Path| {
            let name = format!("showing {} in the jail", path.display());
            steps.iter().position(|step| step.name() == name).unwrap()
        };
        assert!(bound(folder.path()) < bound(&inner));
    }

    #[test]
    fn only_short_links_of_the_system_are_copied() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("usr/lib", &link).unwrap();
        assert_eq!(short_link(&link), None);
        assert_ne!(short_link(Path::new("/lib")), Some("/usr/lib".into()));
    }
}
