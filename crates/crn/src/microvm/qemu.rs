//! QEMU: where it is, and the command line of a machine.
//!
//! The machine is `microvm` with ACPI (Debian's kernel finds its devices in no
//! other way), booted through the kernel's PVH entry. It has drives, three
//! virtio-serial ports, a console, and a monitor on a socket that only we have,
//! a network card on a tap if the program may reach the internet, and nothing
//! else: no firmware settings, no display. A seccomp
//! filter forbids it to start programs.
//!
//! A clone's command line is that of its template but for the words about memory.

use std::env;
use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use beth_guest::frame::{API_PORT, LOG_PORT, PORT};
use serde_json::json;

use super::assets::Assets;

const NAME: &str = "qemu-system-x86_64";
const MACHINE: &str = "microvm,acpi=on";
const MEMORY: &str = "memory";
const MONITOR: &str = "monitor";
const VERSION_DEADLINE: Duration = Duration::from_secs(5);
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
/// Emulated code that QEMU keeps translated, per machine.
const TRANSLATION_MIB: u32 = 64;

/// A drive; the guest finds it by its name.
#[derive(Clone, Debug)]
pub(super) struct Drive {
    /// At most 20 characters.
    pub(super) name: String,
    /// The image, or any file: it is padded with zeros to a multiple of 512.
    pub(super) path: PathBuf,
    /// Whether the guest may change it.
    pub(super) is_writable: bool,
}

/// How a machine's processors run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Processor {
    /// On the host's.
    Kvm,
    /// Emulated; the guest cannot measure its own clock.
    Tcg {
        /// Frequency of the host's time stamp counter.
        tsc_khz: u64,
    },
}

/// A machine to start.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub(super) assets: &'a Assets,
    pub(super) processor: Processor,
    pub(super) vcpus: u64,
    pub(super) memory_mib: u64,
    pub(super) drives: &'a [Drive],
    pub(super) memory: Memory<'a>,
    /// Descriptors of the sockets behind the three ports.
    pub(super) port: RawFd,
    pub(super) log: RawFd,
    pub(super) api: RawFd,
    /// Descriptor of the socket of the monitor.
    pub(super) monitor: RawFd,
    /// Its network card, if it has one: descriptor of the tap, and address.
    pub(super) card: Option<(RawFd, &'a str)>,
}

/// Where a machine's memory lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory<'a> {
    /// In no file.
    Own,
    /// In this file, which becomes a template's.
    Shared(&'a Path),
    /// In a template's file until it is changed; the machine waits for the rest
    /// of the template's state.
    Copied(&'a Path),
}

/// The program: the configured one, or the first on the path.
pub(crate) fn find(configured: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = configured {
        return path.is_file().then(|| path.to_owned());
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders)
        .map(|folder| folder.join(NAME))
        .find(|path| path.is_file())
}

/// The first line of `--version`.
pub(super) async fn version(program: &Path) -> Option<String> {
    let mut command = tokio::process::Command::new(program);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(VERSION_DEADLINE, command.output())
        .await
        .ok()?
        .ok()?;
    Some(
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .next()?
            .to_owned(),
    )
}

/// The arguments of a machine.
pub(super) fn arguments(machine: &Machine<'_>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |option: &str, value: OsString| arguments.extend([option.into(), value]);
    let (accelerator, model, clock) = match machine.processor {
        Processor::Kvm => ("kvm".to_owned(), "host", String::new()),
        Processor::Tcg { tsc_khz } => (
            format!("tcg,tb-size={TRANSLATION_MIB}"),
            // Page tables of five levels, which "max" has, are longer ways.
            "max,la57=off",
            format!(" tsc_early_khz={tsc_khz} tsc=reliable idle=halt"),
        ),
    };
    let (file, share) = match machine.memory {
        Memory::Own => (None, false),
        Memory::Shared(path) => (Some(path), true),
        Memory::Copied(path) => (Some(path), false),
    };
    if let Some(path) = file {
        let memory = json!({
            "qom-type": "memory-backend-file", "id": MEMORY, "share": share,
            "size": machine.memory_mib << 20, "mem-path": path.to_string_lossy(),
        });
        add("-object", memory.to_string().into());
        add(
            "-machine",
            format!("{MACHINE},memory-backend={MEMORY}").into(),
        );
    } else {
        add("-machine", MACHINE.into());
    }
    if matches!(machine.memory, Memory::Copied(_)) {
        add("-incoming", "defer".into());
    }
    add("-accel", accelerator.into());
    add("-cpu", model.into());
    add("-smp", machine.vcpus.to_string().into());
    add("-m", format!("{}M", machine.memory_mib).into());
    add("-sandbox", SANDBOX.into());
    add("-kernel", machine.assets.kernel.clone().into());
    add("-initrd", machine.assets.initrd.clone().into());
    add("-append", command_line(&clock).into());
    add("-serial", "stdio".into());
    add(
        "-chardev",
        format!("socket,id={MONITOR},fd={}", machine.monitor).into(),
    );
    add("-mon", format!("chardev={MONITOR},mode=control").into());
    add("-device", "virtio-serial-device".into());
    let ports = [
        (PORT, machine.port),
        (LOG_PORT, machine.log),
        (API_PORT, machine.api),
    ];
    for (name, descriptor) in ports {
        add(
            "-chardev",
            format!("socket,id={name},fd={descriptor}").into(),
        );
        add(
            "-device",
            format!("virtserialport,chardev={name},name={name}").into(),
        );
    }
    if let Some((tap, mac)) = machine.card {
        add("-netdev", format!("tap,id=net,fd={tap}").into());
        add(
            "-device",
            format!("virtio-net-device,netdev=net,mac={mac}").into(),
        );
    }
    for drive in machine.drives {
        let (name, path) = (&drive.name, drive.path.to_string_lossy());
        let read_only = !drive.is_writable;
        let file = json!({"driver": "file", "filename": path, "read-only": read_only});
        let node =
            json!({"driver": "raw", "node-name": name, "read-only": read_only, "file": file});
        add("-blockdev", node.to_string().into());
        add(
            "-device",
            format!("virtio-blk-device,drive={name},serial={name}").into(),
        );
    }
    let flags = ["-nodefaults", "-no-user-config", "-no-reboot", "-nographic"];
    arguments.extend(flags.map(OsString::from));
    arguments
}

/// `no_timer_check`: a busy host makes the kernel's test of an emulated timer
/// fail. `tsc=reliable`: it also makes the kernel suspect its best clock, and the
/// next best ticks 250 times a second even while nothing happens. `idle=halt`: on the emulated processor the kernel would tick while idle.
/// `reboot=t`: the quickest way out. The rest saves time at boot; a guest that
/// runs one program needs no walls inside.
fn command_line(clock: &str) -> String {
    format!(
        "console=ttyS0 quiet panic=-1 reboot=t no_timer_check random.trust_cpu=on \
         mitigations=off cryptomgr.notests audit=0 apparmor=0{clock}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(memory: Memory<'_>) -> String {
        let assets = Assets {
            kernel: "/k".into(),
            initrd: "/i".into(),
            network_initrd: None,
        };
        let drives = [Drive {
            name: "code".into(),
            path: "/a,b \"c\".zip".into(),
            is_writable: false,
        }];
        let processor = Processor::Tcg { tsc_khz: 2_600_000 };
        let machine = Machine {
            assets: &assets,
            processor,
            vcpus: 2,
            memory_mib: 192,
            drives: &drives,
            memory,
            port: 8,
            log: 9,
            api: 11,
            monitor: 10,
            card: None,
        };
        let arguments: Vec<String> = arguments(&machine)
            .iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        arguments.join(" ")
    }

    #[test]
    fn drives_are_read_only_and_named_whatever_their_path() {
        let text = told(Memory::Own);
        for part in [
            "tsc_early_khz=2600000",
            r#""filename":"/a,b \"c\".zip","read-only":true"#,
            "drive=code,serial=code",
            "socket,id=beth,fd=8",
            "socket,id=monitor,fd=10",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        for part in ["netdev", "incoming", "memory-backend"] {
            assert!(!text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_clone_is_told_what_its_template_was_told_but_for_memory() {
        let path = Path::new("/m,n");
        let template = told(Memory::Shared(path));
        let clone = told(Memory::Copied(path));
        assert!(template.contains(r#""share":true"#), "{template}");
        assert!(template.contains(r#""mem-path":"/m,n""#), "{template}");
        let expected = template.replace(r#""share":true"#, r#""share":false"#);
        assert_eq!(clone.replace("-incoming defer ", ""), expected);
    }
}
