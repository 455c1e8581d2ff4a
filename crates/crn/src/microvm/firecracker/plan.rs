//! From a program to what Firecracker and the guest are told about it.
//!
//! ```text
//! runtime ─▶ rootfs     code (squashfs) ─▶ vdb, at /opt/code     volumes ─▶ next letters
//! code, data (zip, plain) ─▶ inside the configuration, 10 MB at most
//! ```
//!
//! Drives are linked to nowhere and copied nowhere: Firecracker opens the
//! verified files themselves, read-only. An ephemeral volume needs memory of the
//! guest's, for which this protocol has no word.

use std::fs;
use std::path::Path;

use beth_protocol::content::machine::{Encoding, Interface, Volume};

use super::config::MachineFile;
use super::protocol::{Addresses, Configuration, INLINE_BYTES_MAX, Mount};
use crate::executor::{Fault, LocalFile, Program};
use crate::limits;
use crate::microvm::assets::is_squashfs;

const CODE_FOLDER: &str = "/opt/code";

/// Both halves.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) machine: MachineFile,
    pub(super) configuration: Configuration,
}

impl Plan {
    /// Reads archives; blocks. `socket` is where the machine's virtual socket
    /// will be.
    pub(super) fn of(program: &Program, kernel: &Path, socket: &str) -> Result<Plan, Fault> {
        let content = &program.content;
        refuse_volumes(program)?;
        let Some(runtime) = &program.runtime else {
            return Err(bad("the program names no runtime"));
        };
        let machine = MachineFile::new(
            text(kernel)?,
            image(runtime, "runtime")?,
            content.resources.vcpus.clamp(1, limits::VCPUS_MAX),
            content.resources.memory.max(limits::MEMORY_MIB_MIN),
            socket,
        );
        let mut machine = machine.with_console();
        let mut volumes = Vec::new();
        let code = match content.code.encoding {
            Encoding::Squashfs => {
                volumes.push(drive(&mut machine, &program.code, CODE_FOLDER, "code")?);
                Some(Vec::new())
            }
            Encoding::Plain | Encoding::Zip => Some(inline(&program.code, "Program")?),
        };
        for volume in &program.volumes {
            volumes.push(drive(&mut machine, &volume.file, &volume.mount, "volume")?);
        }
        let input_data = program.data.as_ref();
        let configuration = Configuration {
            input_data: input_data.map(|data| inline(data, "Data")).transpose()?,
            interface: match content.code.interface() {
                Interface::Asgi => "asgi",
                Interface::Binary => "executable",
            },
            vm_hash: program.item_hash.to_string(),
            encoding: match content.code.encoding {
                Encoding::Plain => "plain",
                Encoding::Zip => "zip",
                Encoding::Squashfs => "squashfs",
            },
            entrypoint: content.code.entrypoint.clone(),
            code,
            addresses: Addresses::default(),
            volumes,
            variables: variables(program),
            authorized_keys: content.authorized_keys.clone(),
        };
        Ok(Plan {
            machine,
            configuration,
        })
    }
}

/// Volumes that a machine of this executor cannot have.
fn refuse_volumes(program: &Program) -> Result<(), Fault> {
    let immutable = |volume: &Volume| matches!(volume, Volume::Immutable(_));
    if program.content.volumes.iter().all(immutable) {
        return Ok(());
    }
    Err(Fault::NotHere(
        "machines of Firecracker have immutable volumes only on this node; \
         use QEMU here, or another node"
            .to_owned(),
    ))
}

fn drive(
    machine: &mut MachineFile,
    file: &LocalFile,
    mount: &str,
    what: &str,
) -> Result<Mount, Fault> {
    let device = machine.drive(image(file, what)?, true);
    Ok(Mount {
        mount: mount.to_owned(),
        device: device.ok_or_else(|| bad("the program has too many volumes"))?,
        read_only: true,
    })
}

fn image<'a>(file: &'a LocalFile, what: &str) -> Result<&'a str, Fault> {
    match is_squashfs(&file.path) {
        Ok(true) => text(&file.path),
        Ok(false) => Err(bad(&format!(
            "the {what} is no squashfs image; pack it with mksquashfs"
        ))),
        Err(error) => Err(Fault::Internal(format!("{}: {error}", file.path.display()))),
    }
}

/// The sentence is that of the network's other nodes (compute.md §10.2).
fn inline(file: &LocalFile, what: &str) -> Result<Vec<u8>, Fault> {
    if file.size_bytes > INLINE_BYTES_MAX {
        return Err(bad(&format!(
            "{what} file too large to pass as an inline zip"
        )));
    }
    fs::read(&file.path)
        .map_err(|error| Fault::Internal(format!("{}: {error}", file.path.display())))
}

fn variables(program: &Program) -> Option<Vec<(String, String)>> {
    let variables = program.content.variables.as_ref()?;
    let text = |value: &serde_json::Value| {
        let text = value.as_str().map(str::to_owned);
        text.unwrap_or_else(|| value.to_string())
    };
    let pairs = variables.iter();
    Some(
        pairs
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
    )
}

fn text(path: &Path) -> Result<&str, Fault> {
    let unreadable = || Fault::NotHere(format!("{} is no UTF-8 path", path.display()));
    path.to_str().ok_or_else(unreadable)
}

fn bad(text: &str) -> Fault {
    Fault::BadProgram(text.to_owned())
}
