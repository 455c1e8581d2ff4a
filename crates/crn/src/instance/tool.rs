//! `qemu-img` and `mkfs.ext4`: run without a shell, with explicit formats, a
//! deadline and the rest of their lives tied to ours.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use super::fault::InstanceFault;
use super::qcow2::Format;
use crate::limits;

/// Makes an image that holds only what differs from `parent`. The size is that
/// of the disk, in bytes.
pub async fn create_overlay(
    path: &Path,
    parent: (&Path, Format),
    size_bytes: u64,
) -> Result<(), InstanceFault> {
    let (size, format) = (size_bytes.to_string(), parent.1.name());
    let mut arguments = words(["create", "-q", "-f", "qcow2", "-F", format, "-b"]);
    arguments.extend([parent.0.as_os_str(), path.as_os_str(), size.as_ref()]);
    run("qemu-img", &arguments).await
}

/// Makes an empty image of `size_bytes`.
pub async fn create(path: &Path, format: Format, size_bytes: u64) -> Result<(), InstanceFault> {
    let size = size_bytes.to_string();
    let mut arguments = words(["create", "-q", "-f", format.name()]);
    arguments.extend([path.as_os_str(), size.as_ref()]);
    run("qemu-img", &arguments).await
}

/// What becomes of a copy.
#[derive(Clone, Copy, Debug)]
pub struct Copy<'a> {
    /// The image that is read.
    pub from: &'a Path,
    /// How it is opened.
    pub format: Format,
    /// How it is written.
    pub into: Format,
    /// Keep only what differs from this image.
    pub without: Option<(&'a Path, Format)>,
    /// Whether a qcow2 copy is compressed.
    pub compressed: bool,
}

/// Copies an image whole, with everything behind it.
pub async fn convert(copy: Copy<'_>, to: &Path) -> Result<(), InstanceFault> {
    let mut arguments = words([
        "convert",
        "-q",
        "-f",
        copy.format.name(),
        "-O",
        copy.into.name(),
    ]);
    if copy.compressed {
        arguments.push("-c".as_ref());
    }
    if let Some((path, format)) = copy.without {
        arguments.extend(words(["-F", format.name(), "-B"]));
        arguments.push(path.as_os_str());
    }
    arguments.extend([copy.from.as_os_str(), to.as_os_str()]);
    run("qemu-img", &arguments).await
}

/// Writes another backing file into an image without copying anything.
pub async fn rebase(path: &Path, parent: (&Path, Format)) -> Result<(), InstanceFault> {
    let mut arguments = words([
        "rebase",
        "-q",
        "-u",
        "-f",
        "qcow2",
        "-F",
        parent.1.name(),
        "-b",
    ]);
    arguments.extend([parent.0.as_os_str(), path.as_os_str()]);
    run("qemu-img", &arguments).await
}

/// Changes the size of a disk.
pub async fn resize(path: &Path, format: Format, size_bytes: u64) -> Result<(), InstanceFault> {
    let size = size_bytes.to_string();
    let mut arguments = words(["resize", "-q", "-f", format.name()]);
    arguments.extend([path.as_os_str(), size.as_ref()]);
    run("qemu-img", &arguments).await
}

/// Looks for faults in a qcow2 image.
pub async fn check(path: &Path) -> Result<(), InstanceFault> {
    let mut arguments = words(["check", "-q", "-f", "qcow2"]);
    arguments.push(path.as_os_str());
    run("qemu-img", &arguments).await
}

/// Makes an ext4 file system in a file, whose room stays as it was reserved.
pub async fn make_ext4(path: &Path) -> Result<(), InstanceFault> {
    let mut arguments = words(["-q", "-F", "-E", "lazy_itable_init=1,nodiscard"]);
    arguments.push(path.as_os_str());
    run("mkfs.ext4", &arguments).await
}

fn words<const N: usize>(words: [&str; N]) -> Vec<&OsStr> {
    words.map(OsStr::new).to_vec()
}

async fn run(tool: &'static str, arguments: &[&OsStr]) -> Result<(), InstanceFault> {
    let failed = |reason: String| InstanceFault::Tool { tool, reason };
    let mut command = Command::new(tool);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(limits::IMAGE_TOOL_DEADLINE, command.output()).await;
    let output = output
        .map_err(|_| failed("it took too long".into()))?
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => failed(
                "it is not installed; install qemu-utils and e2fsprogs, or run `make image`".into(),
            ),
            _ => failed(error.to_string()),
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    Err(failed(last.unwrap_or("it said nothing").to_owned()))
}
