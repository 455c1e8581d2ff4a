//! What a guest is told about its program (compute.md §13.3), and the drives that
//! come with it.
//!
//! ```text
//! runtime ─▶ drive "root"       code (zip, plain) ─▶ drive "code", read by the runner
//! data ────▶ drive "data"       code (squashfs) ───▶ drive "code", mounted at /opt/code
//! volume n ▶ drive "volume<n>", mounted where the message says; persistent ones
//!            are "disk<n>" and can be written
//! ```

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use beth_guest::frame::{ROOT_DRIVE, map};
use beth_protocol::ItemHash;
use beth_protocol::content::ProgramContent;
use beth_protocol::content::machine::{Encoding, Interface, Volume};
use rmpv::Value;

use super::assets::is_squashfs;
use super::qemu::Drive;
use super::volumes::{self, Shelves, Wanted};
use crate::executor::{Fault, Program};
use crate::limits;

const CODE_FOLDER: &str = "/opt/code";
const CODE: &str = "code";
const DATA: &str = "data";

/// A program as the machine needs it.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) item_hash: ItemHash,
    pub(super) drives: Vec<Drive>,
    /// Persistent volumes: such a machine has no siblings.
    pub(super) disks: Vec<Wanted>,
    config: Vec<(&'static str, Value)>,
}

impl Setup {
    /// Looks at the program and its files; blocks.
    pub(super) fn of(program: &Program, shelves: &Shelves) -> Result<Setup, Fault> {
        let disks = check_volumes(&program.content)?;
        let mut parts = Parts::default();
        let runtime = program
            .runtime
            .as_ref()
            .ok_or_else(|| bad("the program names no runtime"))?;
        parts.image(ROOT_DRIVE, &runtime.path, "runtime")?;
        let code_device = parts.code(program)?;
        let data_device = parts.data(program)?;
        for (number, volume) in program.volumes.iter().enumerate() {
            let name = format!("volume{number}");
            parts.image(&name, &volume.file.path, "volume")?;
            parts.mount(&volume.mount, &name, 0)?;
        }
        parts.ephemeral(program)?;
        for (number, disk) in disks.iter().enumerate() {
            let name = format!("disk{number}");
            parts.drives.push(Drive {
                name: name.clone(),
                path: shelves.path(&program.item_hash, &disk.stem),
                is_writable: true,
            });
            parts.mounted(&disk.mount, &name, (false, 0))?;
        }
        let code = &program.content.code;
        let interface = if code.interface() == Interface::Asgi {
            "asgi"
        } else {
            "executable"
        };
        let data_mount = program
            .content
            .data
            .as_ref()
            .map_or("/data", |data| data.mount.as_str());
        let config = vec![
            ("interface", interface.into()),
            ("vm_hash", program.item_hash.to_string().into()),
            ("hostname", hostname(&program.item_hash).into()),
            ("encoding", encoding(code.encoding).into()),
            ("entrypoint", code.entrypoint.as_str().into()),
            ("code_device", code_device),
            ("code_size_bytes", program.code.size_bytes.into()),
            ("data_device", data_device),
            ("data_mount", data_mount.into()),
            ("volumes", Value::Array(parts.volumes)),
            ("variables", variables(program)),
        ];
        Ok(Setup {
            item_hash: program.item_hash.clone(),
            drives: parts.drives,
            disks,
            config,
        })
    }

    /// The payload of the config frame, with the time of now and the machine's
    /// network card, if any. `freeze`: whether it will become a template.
    pub(super) fn config(&self, freeze: bool, network: &Value) -> Value {
        let more = [
            now(),
            ("freeze", freeze.into()),
            ("network", network.clone()),
        ];
        let fields = self.config.iter().cloned().chain(more);
        Value::Map(fields.map(|(name, value)| (name.into(), value)).collect())
    }

    /// Everything that the guest is told, for whoever wants to know whether two
    /// programs are one.
    pub(super) fn told(&self) -> &impl std::fmt::Debug {
        &self.config
    }
}

/// The payload of a wake frame: the time of now, and for a clone what no other
/// machine was given, and its network card.
pub(super) fn wake(seed: Option<[u8; limits::WAKE_SEED_BYTES]>, network: Value) -> Value {
    let seed = seed.map_or(Value::Nil, |seed| Value::Binary(seed.to_vec()));
    map([now(), ("seed", seed), ("network", network)])
}

fn now() -> (&'static str, Value) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    ("unix_ns", Value::from(now.as_nanos() as u64))
}

/// The persistent volumes of a program. Refuses what no machine of this node can
/// have; needs no file.
pub(super) fn check_volumes(content: &ProgramContent) -> Result<Vec<Wanted>, Fault> {
    let most = limits::DRIVES_MAX - 3;
    if content.volumes.len() > most {
        return Err(bad(&format!(
            "the program has too many volumes; at most {most} are possible"
        )));
    }
    volumes::wanted(&content.volumes)
}

#[derive(Default)]
struct Parts {
    drives: Vec<Drive>,
    volumes: Vec<Value>,
}

impl Parts {
    fn code(&mut self, program: &Program) -> Result<Value, Fault> {
        if program.content.code.encoding == Encoding::Squashfs {
            self.image(CODE, &program.code.path, "code")?;
            self.mount(CODE_FOLDER, CODE, 0)?;
            return Ok(Value::Nil);
        }
        self.drive(CODE, &program.code.path);
        Ok(CODE.into())
    }

    fn data(&mut self, program: &Program) -> Result<Value, Fault> {
        let (Some(data), Some(file)) = (&program.content.data, &program.data) else {
            return Ok(Value::Nil);
        };
        match data.encoding {
            Encoding::Squashfs => {
                self.image(DATA, &file.path, "data")?;
                self.mount(&data.mount, DATA, 0)?;
                Ok(Value::Nil)
            }
            Encoding::Zip => {
                self.drive(DATA, &file.path);
                Ok(DATA.into())
            }
            Encoding::Plain => Err(bad("the data archive is plain; pack it as zip or squashfs")),
        }
    }

    fn ephemeral(&mut self, program: &Program) -> Result<(), Fault> {
        for volume in &program.content.volumes {
            if let Volume::Ephemeral(volume) = volume
                && let Some(mount) = &volume.mount
            {
                self.mount(mount, "", volume.size_mib)?;
            }
        }
        Ok(())
    }

    fn image(&mut self, name: &str, path: &Path, what: &str) -> Result<(), Fault> {
        match is_squashfs(path) {
            Ok(true) => self.drive(name, path),
            Ok(false) => {
                return Err(bad(&format!(
                    "the {what} is no squashfs image; pack it with mksquashfs"
                )));
            }
            Err(error) => return Err(Fault::Internal(format!("{}: {error}", path.display()))),
        }
        Ok(())
    }

    fn drive(&mut self, name: &str, path: &Path) {
        self.drives.push(Drive {
            name: name.to_owned(),
            path: path.to_owned(),
            is_writable: false,
        });
    }

    /// What is only read, or in memory.
    fn mount(&mut self, mount: &str, device: &str, size_mib: u64) -> Result<(), Fault> {
        self.mounted(mount, device, (!device.is_empty(), size_mib))
    }

    fn mounted(
        &mut self,
        mount: &str,
        device: &str,
        (read_only, size_mib): (bool, u64),
    ) -> Result<(), Fault> {
        if !mount.starts_with('/')
            || mount.split('/').any(|part| part == "..")
            || mount.trim_matches('/').is_empty()
        {
            return Err(bad(&format!(
                "a volume cannot be mounted at '{mount}'; name an absolute path below /"
            )));
        }
        let entry = [
            ("mount", mount.into()),
            ("device", device.into()),
            ("read_only", read_only.into()),
            ("size_mib", size_mib.into()),
        ];
        self.volumes.push(map(entry));
        Ok(())
    }
}

fn bad(text: &str) -> Fault {
    Fault::BadProgram(text.to_owned())
}

fn encoding(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Plain => "plain",
        Encoding::Zip => "zip",
        Encoding::Squashfs => "squashfs",
    }
}

fn variables(program: &Program) -> Value {
    let variables = program.content.variables.iter().flatten();
    let text = |value: &serde_json::Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    Value::Map(
        variables
            .map(|(name, value)| (name.as_str().into(), text(value).into()))
            .collect(),
    )
}

/// The hash as a host name: base32, lower case, unpadded.
fn hostname(hash: &ItemHash) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let Ok(bytes) = const_hex::decode(hash.to_string()) else {
        return "beth".to_owned();
    };
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let letter = |group: &[u8]| {
        let value = (0..5).fold(0, |value, bit| {
            value << 1 | group.get(bit).copied().unwrap_or(0)
        });
        char::from(LETTERS[usize::from(value)])
    };
    bits.chunks(5).map(letter).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_those_of_the_specification() {
        let hash =
            ItemHash::parse("63faf8b5db1cf8d965e6a464a0cb8062af8e7df131729e48738342d956f29ace")
                .unwrap();
        assert_eq!(
            hostname(&hash),
            "mp5prno3dt4nszpgurskbs4amkxy47prgfzj4sdtqnbnsvxstlha"
        );
    }

    #[test]
    fn mounts_stay_below_the_root() {
        for wrong in ["", "/", "//", "data", "/a/../../b"] {
            assert!(
                Parts::default().mount(wrong, "volume0", 0).is_err(),
                "{wrong}"
            );
        }
        assert!(
            Parts::default()
                .mount("/var/lib/data", "volume0", 0)
                .is_ok()
        );
    }
}
