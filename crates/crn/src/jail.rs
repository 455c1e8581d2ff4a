//! What one virtual machine's process may touch.
//!
//! ```text
//!  Jails (the node's: what this host can do, user ids)
//!    └─ jail("machine 7").read(kernel).write(folder).device("/dev/kvm")
//!         └─ apply(command) ─▶ Cell ─ start(|| command.spawn()) ─▶ the process:
//!              own user ∙ own root of bind mounts ∙ empty network ∙ own processes
//!              ∙ no capabilities ∙ Landlock ∙ limits ∙ control group
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | `host` | what this computer lets the node do, by trial; the report |
//! | `plan`, `step`, `landlock`, `filter` | the steps of a jail, as values |
//! | `enter` | taking them between fork and exec; the only unsafe code |
//! | `cell`, `users`, `control` | a user id and a control group per machine |
//!
//! Invariants: whatever is not named is out of reach; a jail never lets through
//! more than it says, and what the host cannot give is in the report, not
//! skipped in silence; with `jail = "required"` the node does not start without
//! the walls between tenants. A path that a machine writes is never followed
//! through a symbolic link.

mod cell;
mod control;
mod enter;
mod filter;
mod host;
mod landlock;
mod plan;
mod step;
mod users;

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use cell::{found, hand_over, only_own_environment};
use control::{Bounds, Group};
use host::{Host, Walls};
use landlock::Access;
use plan::Place;
use step::Step;
use users::{User, Users};

pub use cell::Cell;
pub use host::Layer;

/// User ids for machines: how many from the first one on.
const USERS: u32 = 10_000;
/// What a process takes beside the machine's memory, in bytes: its own code,
/// stacks of its threads, buffers.
const EXTRA_MEMORY_BYTES: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// Whether machines are jailed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As far as this host allows.
    #[default]
    Auto,
    /// The walls between tenants, or the node does not start.
    Required,
    /// Not at all: for debugging.
    Off,
}

/// Why a process is not jailed.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// The node's folder for jails.
    #[error("cannot prepare jails in {}: {source}; check the folder's owner and free space", .folder.display())]
    Folder {
        /// Where.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `required`, and something is missing.
    #[error(
        "the configuration demands jails (`jail = \"required\"`), but there is no {missing}: {advice}"
    )]
    Required {
        /// The layer.
        missing: &'static str,
        /// How to get it.
        advice: String,
    },
    /// A path cannot be in a jail.
    #[error("{} cannot be shown to a machine: {reason}", .path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// No user id, control group or pipe.
    #[error("a jail cannot be made: {0}")]
    Resources(#[from] io::Error),
}

/// The jails of a node. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Jails(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    host: Host,
    users: Option<Users>,
    root: PathBuf,
}

/// Bounds of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The machine's memory, in MiB; the process gets some more for itself.
    pub memory_mib: Option<u64>,
    /// Processors.
    pub cpus: Option<u64>,
    /// Threads and processes together.
    pub processes: u64,
    /// Descriptors.
    pub files: u64,
    /// Longest file that it can write, in bytes.
    pub file_bytes: u64,
    /// Memory that it may keep from being moved or swapped, in MiB.
    pub locked_mib: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_mib: None,
            cpus: None,
            processes: 256,
            files: 1024,
            file_bytes: 0,
            locked_mib: 0,
        }
    }
}

/// What one process may touch. Built, then applied to a command.
#[derive(Clone, Debug)]
pub struct Jail {
    jails: Jails,
    name: String,
    places: Vec<Place>,
    limits: Limits,
    network: bool,
    keep: bool,
    outlives: bool,
    descriptors: Vec<Arc<OwnedFd>>,
}

impl Jails {
    /// Looks at what this host can do; blocks for some milliseconds. User ids of
    /// machines begin at `first_user`; `folder` keeps what outlives the node.
    pub fn open(mode: Mode, first_user: u32, folder: &Path) -> Result<Jails, JailError> {
        let wrong = |source| JailError::Folder {
            folder: folder.to_owned(),
            source,
        };
        fs::create_dir_all(folder).map_err(wrong)?;
        let root = host::root_folder(folder).map_err(wrong)?;
        let host = match mode {
            Mode::Off => Host::off(),
            _ => Host::find(&root, first_user),
        };
        if mode == Mode::Required {
            demand(&host)?;
        }
        let users = match host.walls {
            Walls::Users => Some(Users::open(first_user, USERS, folder).map_err(wrong)?),
            _ => None,
        };
        Ok(Jails(Arc::new(Inner { host, users, root })))
    }

    /// Jails without walls.
    pub fn off() -> Jails {
        Jails(Arc::new(Inner {
            host: Host::off(),
            users: None,
            root: PathBuf::new(),
        }))
    }

    /// The layers of this node's jails.
    pub fn layers(&self) -> Vec<Layer> {
        host::layers(&self.0.host)
    }

    /// A jail where nothing is allowed yet but what every program needs.
    pub fn jail(&self, name: &str) -> Jail {
        Jail {
            jails: self.clone(),
            name: name.to_owned(),
            places: Vec::new(),
            limits: Limits::default(),
            network: false,
            keep: false,
            outlives: false,
            descriptors: Vec::new(),
        }
    }

    /// Gives back the user id that [`Jail::keep`] kept for a name, whose files
    /// are gone.
    pub fn forget(&self, name: &str) -> Result<(), JailError> {
        match &self.0.users {
            Some(users) => Ok(users.forget(name)?),
            None => Ok(()),
        }
    }
}

/// What this computer could do for jails, for `beth doctor`; blocks for some
/// milliseconds. `folder` is any that can be written.
pub fn capabilities(folder: &Path) -> Result<Vec<Layer>, JailError> {
    let first_user = crate::config::CrnConfig::default().jail_first_user;
    Ok(Jails::open(Mode::Auto, first_user, folder)?.layers())
}

fn demand(host: &Host) -> Result<(), JailError> {
    let needed = ["own files", "own network"];
    for layer in host::layers(host) {
        if let (true, Err(advice)) = (needed.contains(&layer.name), layer.state) {
            return Err(JailError::Required {
                missing: layer.name,
                advice,
            });
        }
    }
    Ok(())
}

impl Jail {
    /// A file or folder that it reads. Everybody must be able to read it where
    /// machines have users of their own.
    pub fn read(self, path: &Path) -> Jail {
        self.place(path, Access::Read)
    }

    /// A file or folder of its own, which becomes its user's and nobody else's.
    pub fn write(self, path: &Path) -> Jail {
        self.place(path, Access::Write)
    }

    /// A file that it reads and writes, as do others that are given it. Machines'
    /// users apart, it must be in a folder that only the node can enter.
    pub fn share(self, path: &Path) -> Jail {
        self.place(path, Access::Share)
    }

    /// A device file.
    pub fn device(self, path: &Path) -> Jail {
        self.place(path, Access::Device)
    }

    /// The bounds of the process.
    pub fn limits(mut self, limits: Limits) -> Jail {
        self.limits = limits;
        self
    }

    /// Leaves it the host's network: for user-mode networking.
    pub fn network(mut self) -> Jail {
        self.network = true;
        self
    }

    /// Keeps its user id by name until [`Jails::forget`]: files of it remain.
    pub fn keep(mut self) -> Jail {
        self.keep = true;
        self
    }

    /// Puts it into a session of its own: no signal to the node's reaches it.
    pub fn outlive(mut self) -> Jail {
        self.outlives = true;
        self
    }

    /// Lets it have a descriptor, under the number that it has here.
    pub fn hand(mut self, descriptor: Arc<OwnedFd>) -> Jail {
        self.descriptors.push(descriptor);
        self
    }

    fn place(mut self, path: &Path, access: Access) -> Jail {
        self.places.push(Place {
            path: path.to_owned(),
            access,
        });
        self
    }

    /// Jails the process that the command will start; blocks: it looks at files.
    /// The command's environment is what was set on it, not the node's. Start it
    /// with [`Cell::start`]. What must run after the jail's own steps is added to
    /// the command afterwards.
    pub fn apply(&self, command: &mut Command) -> Result<Cell, JailError> {
        let inner = &self.jails.0;
        let (told, tell) = UnixStream::pair()?;
        told.set_nonblocking(true)?;
        if inner.host.off {
            let steps = self.own_steps();
            let names = steps.iter().map(Step::name).collect();
            enter::attach(command, steps, OwnedFd::from(tell));
            return Ok(Cell::open(told, names));
        }
        only_own_environment(command);
        let user = match &inner.users {
            Some(users) => Some(users.take(&self.name, self.keep)?),
            None => None,
        };
        let group = match &inner.host.control {
            Ok(control) => Some(control.group(self.bounds())?),
            Err(_) => None,
        };
        self.give(user.as_ref())?;
        let program = PathBuf::from(command.get_program());
        let steps = self.steps(&program, user.as_ref(), group.as_ref())?;
        let names = steps.iter().map(Step::name).collect();
        enter::attach(command, steps, OwnedFd::from(tell));
        Ok(Cell {
            processes: inner.host.processes,
            told,
            names,
            group,
            user,
        })
    }

    fn bounds(&self) -> Bounds {
        let memory = |mib: u64| mib.saturating_mul(MIB).saturating_add(EXTRA_MEMORY_BYTES);
        Bounds {
            memory_bytes: self.limits.memory_mib.map(memory),
            cpus: self.limits.cpus,
            processes: self.limits.processes,
        }
    }

    /// Hands over what it writes, and checks that it can read the rest.
    fn give(&self, user: Option<&User>) -> Result<(), JailError> {
        for place in &self.places {
            let wrong = |reason: String| JailError::Path {
                path: place.path.clone(),
                reason,
            };
            let failed = |error: io::Error| wrong(error.to_string());
            if place.access == Access::Write {
                let metadata = fs::symlink_metadata(&place.path).map_err(failed)?;
                if metadata.is_symlink() {
                    return Err(wrong(
                        "a machine may not write through a symbolic link".to_owned(),
                    ));
                }
                if let Some(user) = user.filter(|user| user.id != metadata.uid()) {
                    hand_over(&place.path, metadata.is_dir(), user.id).map_err(failed)?;
                }
            }
            let metadata = fs::metadata(&place.path).map_err(failed)?;
            if user.is_some() && place.access == Access::Share {
                let everybody = fs::Permissions::from_mode(0o666);
                fs::set_permissions(&place.path, everybody).map_err(failed)?;
            }
            let needed = if metadata.is_dir() { 0o005 } else { 0o004 };
            if user.is_some() && place.access == Access::Read && metadata.mode() & needed != needed
            {
                return Err(wrong(
                    "machines have users of their own; let everybody read it (chmod a+rX)"
                        .to_owned(),
                ));
            }
        }
        Ok(())
    }

    fn steps(
        &self,
        program: &Path,
        user: Option<&User>,
        group: Option<&Group>,
    ) -> Result<Vec<Step>, JailError> {
        let inner = &self.jails.0;
        let (host, walls) = (&inner.host, inner.host.walls);
        let mut steps = Vec::new();
        for entrance in group.into_iter().flat_map(Group::entrances) {
            steps.push(Step::Write {
                path: plan::text(&entrance)?,
                text: b"0".to_vec(),
            });
        }
        steps.push(Step::CloseOnExec);
        steps.extend(self.own_steps());
        steps.extend(user.map(|user| Step::Inherit(user.lock.as_raw_fd())));
        steps.extend(host::namespaces(walls, host.network && !self.network));
        let places = plan::places(&found(program), &self.places)?;
        if matches!(walls, Walls::Users | Walls::Namespaces) {
            steps.extend(plan::mounts(
                &inner.root,
                &places,
                user.map(|user| user.id),
            )?);
            steps.push(Step::HostName);
            steps.push(Step::NoBoundingCapabilities);
        }
        steps.extend(self.process_limits(walls));
        if let Some(user) = user {
            steps.push(Step::User {
                user: user.id,
                group: user.id,
            });
        }
        if walls != Walls::None {
            steps.extend([Step::NoCapabilities, Step::NoNewPrivileges]);
        }
        if host.landlock > 0 {
            steps.push(Step::Landlock {
                version: host.landlock,
                rules: plan::rules(&places)?,
                network: self.network,
            });
        }
        if walls != Walls::None {
            steps.push(Step::Filter(filter::program()));
        }
        Ok(steps)
    }

    fn own_steps(&self) -> Vec<Step> {
        let session = self.outlives.then_some(Step::Session);
        let descriptors = self.descriptors.iter();
        let inherited = descriptors.map(|descriptor| Step::Inherit(descriptor.as_raw_fd()));
        session.into_iter().chain(inherited).collect()
    }

    fn process_limits(&self, walls: Walls) -> Vec<Step> {
        let limits = &self.limits;
        let mut steps = vec![
            plan::limit(libc::RLIMIT_CORE, 0),
            plan::limit(
                libc::RLIMIT_MEMLOCK,
                limits.locked_mib.saturating_mul(1 << 20),
            ),
            plan::limit(libc::RLIMIT_NOFILE, limits.files),
            plan::limit(libc::RLIMIT_FSIZE, limits.file_bytes),
        ];
        if let Some(bytes) = self.bounds().memory_bytes {
            steps.push(plan::limit(libc::RLIMIT_DATA, bytes));
        }
        // It counts per user: elsewhere, everything that the node's user runs.
        if walls == Walls::Users {
            steps.push(plan::limit(libc::RLIMIT_NPROC, limits.processes));
        }
        steps
    }
}
