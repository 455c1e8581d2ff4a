//! What this computer lets the node do, found by trying it.
//!
//! ```text
//! own users, own view ─no─▶ user namespace, own view ─no─▶ Landlock only
//!  (the node is root)         (the node is anybody)          (a strict container)
//! ```

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::control::Control;
use super::enter;
use super::plan;
use super::step::Step;

/// The end of a trial that went well.
const TRIED: i32 = libc::ECANCELED;
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
/// The oldest kernel whose mounts can be restricted afterwards, and which has
/// Landlock.
const KERNEL: &str = "Linux 5.13";

/// How walls are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walls {
    /// A user per machine, and namespaces.
    Users,
    /// Namespaces owned by a user namespace; all machines are the node's user.
    Namespaces,
    /// Landlock alone.
    Landlock,
    /// Nothing.
    None,
}

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// Nothing is tried and nothing done.
    pub(super) off: bool,
    pub(super) walls: Walls,
    /// Why the walls are no better.
    pub(super) reasons: Vec<String>,
    pub(super) landlock: u32,
    pub(super) network: bool,
    pub(super) processes: bool,
    pub(super) control: Result<Control, String>,
}

impl Host {
    /// Tries everything; blocks for some milliseconds. `root` is a folder to
    /// mount on, `user` an id for machines.
    pub(super) fn find(root: &Path, user: u32) -> Host {
        let landlock = enter::landlock_version();
        let mut reasons = Vec::new();
        let walls = [Walls::Users, Walls::Namespaces].into_iter().find(|walls| {
            match trial(*walls, root, user) {
                Ok(()) => true,
                Err(reason) => {
                    reasons.push(reason);
                    false
                }
            }
        });
        let walls = walls.unwrap_or(match landlock {
            0 => Walls::None,
            _ => Walls::Landlock,
        });
        if walls == Walls::None {
            reasons.push(format!(
                "this kernel has no Landlock; take {KERNEL} or newer"
            ));
        }
        let has_namespaces = matches!(walls, Walls::Users | Walls::Namespaces);
        Host {
            off: false,
            walls,
            reasons,
            landlock,
            network: has_namespaces && tried(namespaces(walls, true)).is_ok(),
            processes: walls == Walls::Users && own_processes().is_ok(),
            control: Control::find(),
        }
    }

    /// A node that builds no walls.
    pub(super) fn off() -> Host {
        Host {
            off: true,
            walls: Walls::None,
            reasons: vec!["the configuration says so (`jail = \"off\"`)".to_owned()],
            landlock: 0,
            network: false,
            processes: false,
            control: Err("the configuration says so (`jail = \"off\"`)".to_owned()),
        }
    }
}

/// The first steps: other namespaces, with power over them.
pub(super) fn namespaces(walls: Walls, empty_network: bool) -> Vec<Step> {
    let network = if empty_network { libc::CLONE_NEWNET } else { 0 };
    match walls {
        Walls::Users => vec![Step::Unshare(NAMESPACES | network)],
        Walls::Namespaces => {
            let (user, group) = (enter::effective_user(), enter::effective_group());
            let write = |path: &std::ffi::CStr, text: String| Step::Write {
                path: path.to_owned(),
                text: text.into_bytes(),
            };
            vec![
                Step::Unshare(NAMESPACES | network | libc::CLONE_NEWUSER),
                write(c"/proc/self/setgroups", "deny".to_owned()),
                write(c"/proc/self/uid_map", format!("{user} {user} 1")),
                write(c"/proc/self/gid_map", format!("{group} {group} 1")),
            ]
        }
        Walls::Landlock | Walls::None => Vec::new(),
    }
}

fn trial(walls: Walls, root: &Path, user: u32) -> Result<(), String> {
    let what = match walls {
        Walls::Users => "own users",
        _ => "unprivileged namespaces",
    };
    if walls == Walls::Users && enter::effective_user() != 0 {
        return Err("own users need a node that is root".to_owned());
    }
    let steps = || -> io::Result<Vec<Step>> {
        let mut steps = namespaces(walls, false);
        let owner = (walls == Walls::Users).then_some(user);
        let places = plan::places(Path::new("/proc/self/exe"), &[])?;
        let places: Vec<_> = places
            .into_iter()
            .filter(|place| !place.path.starts_with("/proc"))
            .collect();
        steps.extend(plan::mounts(root, &places, owner)?);
        if walls == Walls::Users {
            steps.push(Step::NoBoundingCapabilities);
            steps.push(Step::User { user, group: user });
        }
        steps.push(Step::NoCapabilities);
        Ok(steps)
    };
    let steps = steps().map_err(|error| error.to_string())?;
    tried(steps).map_err(|error| format!("{what} are not possible here: {error}"))
}

/// Takes steps in a process that executes nothing.
fn tried(mut steps: Vec<Step>) -> io::Result<()> {
    steps.push(Step::Give(TRIED));
    let names: Vec<String> = steps.iter().map(Step::name).collect();
    let (mut told, tell) = UnixStream::pair()?;
    told.set_nonblocking(true)?;
    let mut command = Command::new("/");
    enter::attach(&mut command, steps, OwnedFd::from(tell));
    let outcome = command.spawn();
    match outcome {
        Err(error) if error.raw_os_error() == Some(TRIED) => Ok(()),
        Err(error) => Err(explained(error, &mut told, &names)),
        Ok(mut child) => child
            .wait()
            .and(Err(io::Error::other("the trial executed something"))),
    }
}

/// The error of a start, with the name of the step that failed.
pub(super) fn explained(error: io::Error, told: &mut UnixStream, names: &[String]) -> io::Error {
    let mut number = [0];
    let step = match io::Read::read(told, &mut number) {
        Ok(1) => names.get(usize::from(number[0])),
        _ => None,
    };
    match step {
        Some(step) => io::Error::new(error.kind(), format!("{step}: {error}")),
        None => error,
    }
}

/// On a thread of its own: a thread that cannot come back is given up.
fn own_processes() -> io::Result<()> {
    let trial = || {
        enter::in_own_process_namespace(|| match tried(Vec::new()) {
            Ok(()) => Ok(()),
            Err(error) => Err(error),
        })
    };
    std::thread::spawn(trial)
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the trial ended early")))
}

/// What one layer does, and whether it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its name.
    pub name: &'static str,
    /// What it keeps a machine's process from.
    pub protects: &'static str,
    /// How it is there, or what to do to get it.
    pub state: Result<String, String>,
}

/// The layers of a host.
pub(super) fn layers(host: &Host) -> Vec<Layer> {
    let reasons = host.reasons.join("; ");
    let unless = |there: bool, how: &str, advice: &str| match there {
        true => Ok(how.to_owned()),
        false if reasons.is_empty() => Err(advice.to_owned()),
        false => Err(format!("{advice} ({reasons})")),
    };
    let walled = matches!(host.walls, Walls::Users | Walls::Namespaces);
    let landlock = format!("version {}", host.landlock);
    vec![
        Layer {
            name: "own user",
            protects: "other machines' signals, files and memory",
            state: unless(
                host.walls == Walls::Users,
                "a user per machine, no capabilities",
                "run the node as root",
            ),
        },
        Layer {
            name: "own files",
            protects: "every file that is not the machine's",
            state: unless(
                walled,
                "a root of its own",
                "run the node as root, or allow user namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns=0)",
            ),
        },
        Layer {
            name: "Landlock",
            protects: "files and TCP, once more",
            state: unless(
                host.landlock > 0,
                &landlock,
                "take Linux 5.13 or newer with Landlock enabled (lsm=landlock,…)",
            ),
        },
        Layer {
            name: "own network",
            protects: "the host's and everybody's network",
            state: unless(
                host.network,
                "an empty network namespace",
                "allow network namespaces",
            ),
        },
        Layer {
            name: "own processes",
            protects: "other processes, and against leaving some behind",
            state: unless(
                host.processes,
                "a process namespace",
                "run the node as root",
            ),
        },
        Layer {
            name: "resource groups",
            protects: "memory, processors and processes of the host",
            state: groups(host),
        },
    ]
}

fn groups(host: &Host) -> Result<String, String> {
    let control = host.control.as_ref().map_err(|reason| {
        format!("{reason}; process limits bound machines instead: run the node as a service with Delegate=yes on cgroup version 2")
    })?;
    let found = control.controllers();
    let missing: Vec<&str> = ["cpu", "memory", "pids"]
        .into_iter()
        .filter(|name| !found.contains(name))
        .collect();
    match missing.is_empty() {
        true => Ok(found.join(", ")),
        false => Err(format!(
            "only {}; for {} use cgroup version 2 (systemd.unified_cgroup_hierarchy=1) and Delegate=yes; process limits bound machines meanwhile",
            found.join(", "),
            missing.join(", ")
        )),
    }
}

/// Makes the folder that roots are mounted on.
pub(super) fn root_folder(folder: &Path) -> io::Result<PathBuf> {
    let root = std::path::absolute(folder.join("root"))?;
    std::fs::create_dir_all(&root)?;
    Ok(root)
}
