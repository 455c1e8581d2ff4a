//! The command line of an instance (compute.md §16.3).
//!
//! ```text
//! vda root disk ─▶ parent    vdb seed    vdc… volumes     one network card
//! serial console, monitor, guest agent: Unix sockets, in a folder with a short name
//! ```
//!
//! Every image is opened with its format and its backing file spelled out, so
//! nothing that an image says about other files is believed. Images are locked:
//! two QEMUs never write to one disk. The machine starts paused; the node
//! connects to its sockets before the first instruction.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::hardware::Card;
use super::link::Link;
use super::qcow2::Format;
use super::sev::Launch;

/// Longer socket paths are refused by the system.
pub(super) const SOCKET_PATH_BYTES_MAX: usize = 107;

/// A disk of a guest.
#[derive(Clone, Debug)]
pub struct Drive {
    /// Name of its node in QEMU.
    pub name: String,
    /// The image.
    pub path: PathBuf,
    /// How it is opened.
    pub format: Format,
    /// The image behind it.
    pub backing: Option<(PathBuf, Format)>,
    /// Whether the guest may only read it.
    pub read_only: bool,
}

/// A machine to start.
#[derive(Clone, Debug)]
pub struct Machine<'a> {
    /// Folder of its sockets.
    pub sockets: &'a Path,
    /// Where QEMU's own words go.
    pub log: &'a Path,
    /// Whether the host's processor runs it; else it is emulated.
    pub kvm: bool,
    /// Processors.
    pub vcpus: u64,
    /// Memory in MiB, all of it.
    pub memory_mib: u64,
    /// Disks in the order in which the guest sees them.
    pub drives: &'a [Drive],
    /// The network.
    pub link: &'a Link,
    /// The tap of the link, opened: QEMU needs no rights for it then.
    pub tap: Option<&'a OwnedFd>,
    /// Name of the process, for lists.
    pub name: &'a str,
    /// Identity of the machine, for software in the guest.
    pub uuid: &'a str,
    /// Its graphics cards.
    pub cards: &'a [Card],
    /// How its memory is hidden from this node, if it is.
    pub hidden: Option<&'a Launch>,
}

/// The monitor's socket.
pub fn monitor(folder: &Path) -> PathBuf {
    folder.join("qmp.sock")
}

/// The serial console's socket.
pub fn serial(folder: &Path) -> PathBuf {
    folder.join("serial.sock")
}

/// The guest agent's socket.
pub fn agent(folder: &Path) -> PathBuf {
    folder.join("agent.sock")
}

/// The arguments.
pub fn arguments(machine: &Machine<'_>) -> Vec<OsString> {
    let mut list: Vec<OsString> = Vec::new();
    let mut add = |option: &str, value: String| list.extend([option.into(), value.into()]);
    let is_plain = machine.cards.is_empty() && machine.hidden.is_none();
    let (accelerator, processor) = match machine.kvm {
        true if is_plain => ("kvm", "host,migratable=on"),
        // Addresses that cards and hidden memory can have on every processor.
        true => ("kvm", "host,host-phys-bits-limit=0x28"),
        false => ("tcg,thread=multi,tb-size=256", "max"),
    };
    add(
        "-name",
        format!("guest={},process={}", machine.name, machine.name),
    );
    add("-uuid", machine.uuid.to_owned());
    hide(machine.hidden, &mut add);
    add("-accel", accelerator.into());
    add("-cpu", processor.into());
    add("-smp", machine.vcpus.to_string());
    add("-m", format!("{}M", machine.memory_mib));
    add("-boot", "order=c,reboot-timeout=1".into());
    add(
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny".into(),
    );
    sockets(machine.sockets, &mut add);
    for drive in machine.drives {
        add("-blockdev", blockdev(drive).to_string());
        let read_only = if drive.read_only { "" } else { ",discard=on" };
        add(
            "-device",
            format!("virtio-blk-pci,drive={}{read_only}", drive.name),
        );
    }
    network(machine, &mut add);
    add("-device", "virtio-rng-pci".into());
    for card in machine.cards {
        let display = if card.is_display { ",x-vga=on" } else { "" };
        add(
            "-device",
            format!("vfio-pci,host={},rombar=0{display}", card.place),
        );
    }
    // Memory that a card writes to, or that is hidden, cannot be given back.
    if is_plain {
        add(
            "-device",
            "virtio-balloon-pci,free-page-reporting=on".into(),
        );
    }
    for flag in ["-nodefaults", "-no-user-config", "-S"] {
        list.push(flag.into());
    }
    if machine.hidden.is_some() {
        list.push("-no-reboot".into());
    }
    list.extend(["-display".into(), "none".into()]);
    list
}

/// The board, and what hides the memory on it.
fn hide(hidden: Option<&Launch>, add: &mut impl FnMut(&str, String)) {
    let Some(launch) = hidden else {
        return add("-machine", "q35".into());
    };
    let firmware = json!({
        "driver": "raw", "node-name": "firmware", "read-only": true,
        "file": {
            "driver": "file", "filename": launch.firmware.to_string_lossy(), "read-only": true,
        },
    });
    add("-blockdev", firmware.to_string());
    add("-object", launch.object());
    add(
        "-machine",
        "q35,pflash0=firmware,confidential-guest-support=sev0".into(),
    );
}

fn sockets(folder: &Path, add: &mut impl FnMut(&str, String)) {
    let chardev = |id: &str, path: PathBuf| {
        let path = path.to_string_lossy().replace(',', ",,");
        format!("socket,id={id},path={path},server=on,wait=off")
    };
    add("-chardev", chardev("monitor", monitor(folder)));
    add("-mon", "chardev=monitor,mode=control".into());
    add("-chardev", chardev("console", serial(folder)));
    add("-serial", "chardev:console".into());
    add("-device", "virtio-serial-pci".into());
    add("-chardev", chardev("agent", agent(folder)));
    add(
        "-device",
        "virtserialport,chardev=agent,name=org.qemu.guest_agent.0".into(),
    );
}

fn network(machine: &Machine<'_>, add: &mut impl FnMut(&str, String)) {
    let mac = match machine.link {
        Link::None => return,
        Link::User { forwards } => {
            let mut value = "user,id=net".to_owned();
            for forward in forwards {
                for (on, protocol) in [(forward.tcp, "tcp"), (forward.udp, "udp")] {
                    if on {
                        let (address, port) = (forward.host.ip(), forward.host.port());
                        value.push_str(&format!(
                            ",hostfwd={protocol}:{address}:{port}-:{}",
                            forward.guest_port
                        ));
                    }
                }
            }
            add("-netdev", value);
            String::new()
        }
        Link::Tap(tap) => {
            let (name, mac) = (&tap.name, &tap.mac);
            let opened = match machine.tap {
                Some(descriptor) => format!("fd={}", descriptor.as_raw_fd()),
                None => format!("ifname={name},script=no,downscript=no"),
            };
            add("-netdev", format!("tap,id=net,{opened}"));
            format!(",mac={mac}")
        }
    };
    add(
        "-device",
        format!("virtio-net-pci,netdev=net,romfile={mac}"),
    );
}

/// The graph of a disk, whole: nothing is left for QEMU to find out.
fn blockdev(drive: &Drive) -> Value {
    let file = |path: &Path, read_only: bool| {
        json!({
            "driver": "file", "filename": path.to_string_lossy(),
            "read-only": read_only, "discard": "unmap", "locking": "on",
        })
    };
    let mut node = json!({
        "driver": drive.format.name(), "node-name": drive.name, "read-only": drive.read_only,
        "discard": "unmap", "file": file(&drive.path, drive.read_only),
    });
    if drive.format == Format::Qcow2 {
        node["backing"] = match &drive.backing {
            None => Value::Null,
            Some((path, Format::Raw)) => {
                json!({"driver": "raw", "read-only": true, "file": file(path, true)})
            }
            Some((path, Format::Qcow2)) => json!({
                "driver": "qcow2", "read-only": true, "file": file(path, true), "backing": null,
            }),
        };
    }
    node
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::instance::link::{Addresses, Forward, Tap};
    use crate::workloads::Networking;

    fn drives() -> Vec<Drive> {
        let drive = |name: &str, file: &str, format, read_only| Drive {
            name: name.into(),
            path: Path::new("/v").join(file),
            format,
            backing: None,
            read_only,
        };
        let mut root = drive("root", "rootfs.qcow2", Format::Qcow2, false);
        root.backing = Some(("/p/parent".into(), Format::Qcow2));
        vec![
            root,
            drive("seed", "seed.iso", Format::Raw, true),
            drive("volume0", "data.ext4", Format::Raw, false),
        ]
    }

    fn line(kvm: bool, link: &Link) -> Vec<String> {
        special_line(kvm, link, &[], None)
    }

    fn special_line(
        kvm: bool,
        link: &Link,
        cards: &[Card],
        hidden: Option<&Launch>,
    ) -> Vec<String> {
        let machine = Machine {
            sockets: Path::new("/run/a,b"),
            log: Path::new("/log"),
            kvm,
            vcpus: 1,
            memory_mib: 2048,
            drives: &drives(),
            link,
            tap: None,
            name: "beth-6",
            uuid: "00000000-0000-4000-8000-000000000006",
            cards,
            hidden,
        };
        arguments(&machine)
            .into_iter()
            .map(|argument| argument.into_string().unwrap())
            .collect()
    }

    /// Values of an option.
    fn values<'a>(line: &'a [String], option: &str) -> Vec<&'a str> {
        line.windows(2)
            .filter(|pair| pair[0] == option)
            .map(|pair| pair[1].as_str())
            .collect()
    }

    /// The recorded command line and ours describe the same machine, apart from
    /// what the register of faults tells to mend: all the memory, explicit
    /// formats, locked images.
    #[test]
    fn the_machine_is_the_recorded_one() {
        let theirs = recorded("plain_2048MiB_1vcpu");
        let tap = Link::Tap(Box::new(Tap {
            name: "vmtap6".into(),
            mac: "52:54:00:00:00:06".into(),
            addresses: Addresses::default(),
            shown: Networking {
                ipv4_network: String::new(),
                host_ipv4: String::new(),
                ipv6_network: String::new(),
                ipv6_ip: String::new(),
                ipv4_ip: String::new(),
                mapped_ports: Default::default(),
            },
            forwards: Vec::new(),
        }));
        let ours = line(true, &tap);
        assert_eq!(values(&ours, "-smp"), values(&theirs, "-smp"));
        assert_eq!(values(&ours, "-boot"), values(&theirs, "-boot"));
        assert_eq!(values(&ours, "-display"), values(&theirs, "-display"));
        assert_eq!(values(&ours, "-cpu"), values(&theirs, "-cpu"));
        assert!(values(&theirs, "-netdev")[0].ends_with("ifname=vmtap6,script=no,downscript=no"));
        assert!(values(&ours, "-netdev")[0].ends_with("ifname=vmtap6,script=no,downscript=no"));
        let balloon = "virtio-balloon-pci,free-page-reporting=on";
        assert!(values(&ours, "-device").contains(&balloon));
        assert!(values(&theirs, "-device").contains(&balloon));
        let port = "name=org.qemu.guest_agent.0";
        for side in [&ours, &theirs] {
            assert!(
                values(side, "-device")
                    .iter()
                    .any(|value| value.ends_with(port))
            );
        }
        assert!(theirs.contains(&"-nodefaults".to_owned()));
        assert!(ours.contains(&"-nodefaults".to_owned()));
        let disks = values(&theirs, "-drive");
        let nodes: Vec<Value> = values(&ours, "-blockdev")
            .iter()
            .map(|node| serde_json::from_str(node).unwrap())
            .collect();
        assert_eq!(disks.len(), nodes.len());
        for (disk, node) in disks.iter().zip(&nodes) {
            assert_eq!(
                disk.contains("readonly=on"),
                node["read-only"] == true,
                "{disk}"
            );
        }
        assert_eq!(values(&theirs, "-m"), ["1953"]);
        assert_eq!(values(&ours, "-m"), ["2048M"]);
    }

    fn recorded(name: &str) -> Vec<String> {
        let text = include_str!("../../../../vectors/crn/qemu_argv.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        serde_json::from_value(vectors["argv"][name].clone()).unwrap()
    }

    #[test]
    fn cards_are_passed_as_recorded() {
        let card = |place: &str, is_display| Card {
            place: place.into(),
            is_display,
        };
        let cards = [card("02:00.0", false), card("03:00.0", true)];
        let (theirs, ours) = (
            recorded("two_gpus"),
            special_line(true, &Link::None, &cards, None),
        );
        let passed = |line: &[String]| -> Vec<String> {
            let devices = values(line, "-device").into_iter();
            let cards = devices.filter(|device| device.starts_with("vfio-pci"));
            cards.map(str::to_owned).collect()
        };
        assert_eq!(passed(&ours).len(), 2);
        assert_eq!(passed(&ours), passed(&theirs));
        for option in ["-machine", "-cpu"] {
            assert_eq!(values(&ours, option), values(&theirs, option), "{option}");
        }
        for line in [&ours, &theirs] {
            assert!(!line.iter().any(|word| word.contains("balloon")));
        }
    }

    #[test]
    fn hidden_machines_are_begun_as_recorded() {
        let theirs = recorded("confidential_sev");
        let recorded = values(&theirs, "-object")[0].to_owned();
        let told = |name: &str| {
            let mut members = recorded
                .split(',')
                .filter_map(|member| member.split_once('='));
            let value = members.find(|(key, _)| *key == name).unwrap().1;
            value.to_owned()
        };
        let launch = Launch {
            geometry: crate::instance::sev::Geometry {
                encryption_bit: told("cbitpos").parse().unwrap(),
                reduced_bits: told("reduced-phys-bits").parse().unwrap(),
            },
            policy: 1,
            firmware: "/p/firmware".into(),
            session: told("session-file").into(),
            godh: told("dh-cert-file").into(),
        };
        let ours = special_line(true, &Link::None, &[], Some(&launch));
        assert_eq!(values(&ours, "-object"), [recorded]);
        let machine = values(&ours, "-machine")[0];
        assert!(machine.ends_with(values(&theirs, "-machine")[0].trim_start_matches("q35")));
        assert_eq!(values(&ours, "-cpu"), values(&theirs, "-cpu"));
        for line in [&ours, &theirs] {
            assert!(line.contains(&"-S".to_owned()));
            assert!(
                line.iter()
                    .any(|word| word.trim_start_matches('-') == "no-reboot")
            );
            assert!(!line.iter().any(|word| word.contains("balloon")));
        }
        let firmware: Value = serde_json::from_str(values(&ours, "-blockdev")[0]).unwrap();
        assert_eq!(firmware["node-name"], "firmware");
        assert_eq!(firmware["read-only"], true);
    }

    #[test]
    fn nothing_is_left_for_qemu_to_find_out() {
        let link = Link::User {
            forwards: vec![Forward {
                host: "127.0.0.1:24000".parse().unwrap(),
                guest_port: 22,
                tcp: true,
                udp: false,
            }],
        };
        let ours = line(false, &link);
        assert_eq!(values(&ours, "-cpu"), ["max"]);
        assert_eq!(
            values(&ours, "-netdev"),
            ["user,id=net,hostfwd=tcp:127.0.0.1:24000-:22"]
        );
        assert!(values(&ours, "-chardev")[0].contains("path=/run/a,,b/qmp.sock"));
        let root: Value = serde_json::from_str(values(&ours, "-blockdev")[0]).unwrap();
        assert_eq!(root["backing"]["driver"], "qcow2");
        assert_eq!(root["backing"]["read-only"], true);
        assert_eq!(root["backing"]["backing"], Value::Null);
        assert!(root["backing"].as_object().unwrap().contains_key("backing"));
        assert!(
            line(false, &Link::None)
                .iter()
                .all(|word| word != "-netdev")
        );
    }
}
