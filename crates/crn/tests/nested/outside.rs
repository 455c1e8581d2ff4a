//! On this computer: packs what the outer machine needs, starts it and listens.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use beth_crn::microvm::default_guest_folder;

use crate::{DONE, MARK};

/// Of which 300 MiB are files. The machine in it has 128 MiB.
const MEMORY_MIB: u32 = 2048;
/// A machine within a machine, on a computer that does other things as well.
const DEADLINE: Duration = Duration::from_secs(600);
const QEMU: &str = "/usr/bin/qemu-system-x86_64";
/// Where Debian keeps what QEMU needs for a machine of this kind.
const FIRMWARE: [&str; 6] = [
    "/usr/share/qemu/bios-microvm.bin",
    "/usr/share/qemu/qboot.rom",
    "/usr/share/qemu/pvh.bin",
    "/usr/share/qemu/linuxboot_dma.bin",
    "/usr/share/qemu/kvmvapic.bin",
    "/usr/share/seabios/bios-microvm.bin",
];
/// Lines of the console kept for those who have to find out what went wrong.
const CONSOLE_LINES: usize = 40;

/// Kills the machine however the test ends.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Boots the machine and waits until it has said that all is well.
pub fn run() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let guest = default_guest_folder();
    let initrd = folder.path().join("initrd");
    pack(&initrd, &files(&guest)?).map_err(|error| format!("packing: {error}"))?;
    let begun = Instant::now();
    let mut machine = Machine(start(&guest.join("vmlinux"), &initrd)?);
    let console = machine.0.stdout.take().ok_or("no console")?;
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            // Nobody listens any more after the deadline.
            drop(sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()));
        }
    });
    let mut console = Vec::new();
    while let Ok(line) = lines.recv_timeout(DEADLINE.saturating_sub(begun.elapsed())) {
        match line.split_once(MARK) {
            Some((_, DONE)) => {
                println!("{MARK}all of it took {:.0?}", begun.elapsed());
                return Ok(());
            }
            Some((_, said)) => println!("{MARK}{said}"),
            None => console.push(line),
        }
    }
    let last = console.len().saturating_sub(CONSOLE_LINES);
    Err(format!(
        "the machine did not say that all is well within {:.0?}; its console:\n{}",
        begun.elapsed(),
        console[last..].join("\n")
    ))
}

/// Path in the machine and path here.
type Files = BTreeMap<String, PathBuf>;

fn files(guest: &Path) -> Result<Files, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut files = Files::from([
        ("init".to_owned(), own.clone()),
        (QEMU[1..].to_owned(), QEMU.into()),
        ("guest/vmlinux".to_owned(), guest.join("vmlinux")),
        (
            "guest/python.squashfs".to_owned(),
            guest.join("python.squashfs"),
        ),
    ]);
    let mut add = |path: PathBuf| {
        let name = path.to_string_lossy().trim_start_matches('/').to_owned();
        files.insert(name, path);
    };
    for path in FIRMWARE.map(PathBuf::from) {
        if path.exists() {
            add(path);
        }
    }
    for program in [&own, Path::new(QEMU)] {
        libraries(program)?.into_iter().for_each(&mut add);
    }
    for (name, folder) in [
        ("guest/modules", guest.join("modules")),
        ("modules", kvm()?),
    ] {
        let entries = std::fs::read_dir(&folder);
        let entries = entries.map_err(|error| format!("{}: {error}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            files.insert(format!("{name}/{file}"), path.clone());
        }
    }
    for (variable, name) in [
        ("BETH_FIRECRACKER", "firecracker/binary"),
        ("BETH_FIRECRACKER_KERNEL", "firecracker/kernel"),
        ("BETH_FIRECRACKER_RUNTIME", "firecracker/runtime"),
    ] {
        if let Some(path) = std::env::var_os(variable) {
            files.insert(name.to_owned(), path.into());
        }
    }
    Ok(files)
}

/// The folder of KVM's modules.
fn kvm() -> Result<PathBuf, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/nested.sh");
    let said = said(Command::new(script))?;
    Ok(said.trim().into())
}

/// What a program loads when it starts.
fn libraries(program: &Path) -> Result<Vec<PathBuf>, String> {
    let mut command = Command::new("ldd");
    command.arg(program);
    let said = said(command)?;
    let paths = said.lines().filter_map(|line| {
        let path = line.split_whitespace().find(|word| word.starts_with('/'))?;
        Some(PathBuf::from(path))
    });
    Ok(paths.collect())
}

fn said(mut command: Command) -> Result<String, String> {
    let output = command.output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{command:?}: {error}"));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

/// Writes an initial filesystem (cpio "newc").
fn pack(path: &Path, files: &Files) -> std::io::Result<()> {
    let mut archive = BufWriter::new(File::create(path)?);
    let mut folders = BTreeSet::from(["dev", "proc", "sys", "tmp", "work"]);
    for name in files.keys() {
        let parents = name.match_indices('/').map(|(at, _)| &name[..at]);
        folders.extend(parents);
    }
    for folder in folders {
        entry(&mut archive, folder, 0o040_755, 0, std::io::empty())?;
    }
    for (name, path) in files {
        let file = File::open(path)
            .map_err(|error| std::io::Error::other(format!("{}: {error}", path.display())))?;
        let size = u32::try_from(file.metadata()?.len()).map_err(std::io::Error::other)?;
        entry(&mut archive, name, 0o100_755, size, file)?;
    }
    entry(&mut archive, "TRAILER!!!", 0, 0, std::io::empty())?;
    archive.flush()
}

fn entry(
    archive: &mut impl Write,
    name: &str,
    mode: u32,
    size: u32,
    mut content: impl Read,
) -> std::io::Result<()> {
    let name_size = u32::try_from(name.len()).map_err(std::io::Error::other)? + 1;
    // inode, mode, user, group, links, time, size, four device numbers, name size, checksum
    let fields = [0, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
    archive.write_all(b"070701")?;
    for field in fields {
        write!(archive, "{field:08x}")?;
    }
    archive.write_all(name.as_bytes())?;
    archive.write_all(&[0])?;
    pad(archive, 110 + name_size)?;
    std::io::copy(&mut content, archive)?;
    pad(archive, size)
}

fn pad(archive: &mut impl Write, size: u32) -> std::io::Result<()> {
    let missing = (size.next_multiple_of(4) - size) as usize;
    archive.write_all(&[0; 3][..missing])
}

/// The outer machine: `max` has SVM, nested page tables included. The kernel
/// cannot measure the clock of a machine without a timer that it knows.
fn start(kernel: &Path, initrd: &Path) -> Result<Child, String> {
    let clock = format!("tsc_early_khz={} tsc=reliable", tsc_khz());
    let mut command = Command::new(QEMU);
    command
        .args(["-machine", "microvm,acpi=on", "-accel", "tcg", "-cpu", "max,la57=off"])
        .args(["-smp", "1", "-m", &MEMORY_MIB.to_string()])
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-nographic"])
        .args(["-serial", "stdio", "-kernel"])
        .arg(kernel)
        .arg("-initrd")
        .arg(initrd)
        .args([
            "-append",
            &format!("console=ttyS0 quiet panic=-1 reboot=t no_timer_check mitigations=off cryptomgr.notests {clock}"),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    command
        .spawn()
        .map_err(|error| format!("{QEMU}: {error}; run scripts/guest.sh"))
}

/// How fast the time stamp counter counts, in kHz.
#[allow(unsafe_code)]
fn tsc_khz() -> u128 {
    // SAFETY: every x86-64 processor has the instruction.
    let tsc = || unsafe { core::arch::x86_64::_rdtsc() };
    let (begun, first) = (Instant::now(), tsc());
    std::thread::sleep(Duration::from_millis(50));
    let (ticks, took) = (tsc().wrapping_sub(first), begun.elapsed());
    u128::from(ticks) * 1_000_000 / took.as_nanos()
}
