//! The file that Firecracker is started with (compute.md §12.2).
//!
//! Keys of the first level are written with hyphens, those below with
//! underscores; absent members are left out.

use serde::Serialize;

/// Arguments of the kernel that every machine gets.
const BOOT_ARGUMENTS: &str = "reboot=k panic=1 pci=off nomodule swiotlb=noforce \
     random.trust_cpu=on i8042.noaux i8042.nomux i8042.dumbkbd";
/// Name of the first drive behind the root filesystem.
const FIRST_LETTER: u8 = b'b';
/// The address of a guest on its virtual socket.
const GUEST_CID: u32 = 3;

/// A machine as Firecracker reads it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct MachineFile {
    boot_source: BootSource,
    drives: Vec<Drive>,
    machine_config: Shape,
    vsock: Vsock,
    network_interfaces: Vec<Interface>,
}

#[derive(Debug, Serialize)]
struct BootSource {
    kernel_image_path: String,
    boot_args: String,
}

#[derive(Debug, Serialize)]
struct Drive {
    drive_id: String,
    path_on_host: String,
    is_root_device: bool,
    is_read_only: bool,
}

#[derive(Debug, Serialize)]
struct Shape {
    vcpu_count: u64,
    mem_size_mib: u64,
    smt: bool,
}

#[derive(Debug, Serialize)]
struct Vsock {
    vsock_id: &'static str,
    guest_cid: u32,
    uds_path: String,
}

#[derive(Debug, Serialize)]
struct Interface {
    iface_id: &'static str,
    guest_mac: &'static str,
    host_dev_name: String,
}

impl MachineFile {
    /// A machine with a read-only root filesystem. `memory_mib` is what the
    /// guest sees; `socket` is where Firecracker makes its virtual socket.
    pub(super) fn new(
        kernel: &str,
        root: &str,
        vcpus: u64,
        memory_mib: u64,
        socket: &str,
    ) -> MachineFile {
        MachineFile {
            boot_source: BootSource {
                kernel_image_path: kernel.to_owned(),
                boot_args: format!("{BOOT_ARGUMENTS} ro"),
            },
            drives: vec![Drive {
                drive_id: "rootfs".to_owned(),
                path_on_host: root.to_owned(),
                is_root_device: true,
                is_read_only: true,
            }],
            machine_config: Shape {
                vcpu_count: vcpus,
                mem_size_mib: memory_mib,
                smt: false,
            },
            vsock: Vsock {
                vsock_id: "1",
                guest_cid: GUEST_CID,
                uds_path: socket.to_owned(),
            },
            network_interfaces: Vec::new(),
        }
    }

    /// Shows the kernel's console on Firecracker's standard output.
    pub(super) fn with_console(mut self) -> MachineFile {
        let arguments = &mut self.boot_source.boot_args;
        arguments.insert_str(0, "console=ttyS0 ");
        self
    }

    /// Adds a drive; its name is that of the device in the guest, `None` when
    /// the alphabet is used up.
    pub(super) fn drive(&mut self, path: &str, read_only: bool) -> Option<String> {
        let behind = u8::try_from(self.drives.len() - 1).ok()?;
        let letter = FIRST_LETTER.checked_add(behind)?;
        if !letter.is_ascii_lowercase() {
            return None;
        }
        let name = format!("vd{}", char::from(letter));
        self.drives.push(Drive {
            drive_id: name.clone(),
            path_on_host: path.to_owned(),
            is_root_device: false,
            is_read_only: read_only,
        });
        Some(name)
    }

    /// Ties the machine's first network interface to a tap of the host.
    #[cfg(test)]
    fn with_tap(mut self, tap: &str) -> MachineFile {
        self.network_interfaces.push(Interface {
            iface_id: "eth0",
            // Every machine is alone on its tap, so all have one address.
            guest_mac: "AA:FC:00:00:00:01",
            host_dev_name: tap.to_owned(),
        });
        self
    }

    /// The bytes of the file.
    pub(super) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        self.serialize(&mut serde_json::Serializer::with_formatter(
            &mut bytes, indent,
        ))?;
        Ok(bytes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn vectors() -> serde_json::Value {
        let text = include_str!("../../../../../vectors/crn/firecracker_config.json");
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_file_is_that_of_the_vector() {
        let mut machine = MachineFile::new(
            "/opt/vmlinux.bin",
            "/opt/63f07193e6ee9d207b7d1fcf8286f9aee34e6f12f101d2ec77c1229f92964696",
            1,
            128,
            "/tmp/v.sock",
        )
        .with_tap("vmtap4");
        let code = "/opt/7eb2eca2378ea8855336ed76c8b26219f1cb90234d04441de9cf8cb1c649d003";
        assert_eq!(machine.drive(code, true).unwrap(), "vdb");
        assert_eq!(machine.drive("/opt/data.ext4", false).unwrap(), "vdc");
        let bytes = machine.to_json().unwrap();
        let written: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(written, vectors()["config"]);
        // Four spaces, as the network's other nodes write it.
        assert!(bytes.starts_with(b"{\n    \"boot-source\": {\n        \"kernel"));
    }

    #[test]
    fn the_console_is_shown_on_demand() {
        let vectors = vectors();
        let quiet = MachineFile::new("/k", "/r", 1, 128, "/s");
        assert_eq!(
            quiet.boot_source.boot_args,
            vectors["boot_args"]["quiet_ro"].as_str().unwrap()
        );
        let shown = quiet.with_console();
        assert_eq!(
            shown.boot_source.boot_args,
            vectors["boot_args"]["console_ro"].as_str().unwrap()
        );
    }

    #[test]
    fn drives_end_with_the_alphabet() {
        let mut machine = MachineFile::new("/k", "/r", 1, 128, "/s");
        let names: Vec<_> = std::iter::from_fn(|| machine.drive("/d", true)).collect();
        assert_eq!((names.len(), names.last().unwrap().as_str()), (25, "vdz"));
    }
}
