//! The NoCloud seed: what the guest is told at its first start (compute.md §16.2).
//!
//! ```text
//! message, number, link ─▶ user-data, meta-data, network-config ─▶ ISO "cidata"
//! ```
//!
//! The texts are YAML in the very form that upstream's library writes: long
//! plain scalars are folded after 80 columns, everything odd is quoted. Keys come
//! from tenants, so nothing in them may end the scalar they are in.

use std::fmt::Write;

use super::iso;
use super::link::Addresses;

const FOLD_COLUMN: usize = 80;

/// What a guest is told.
#[derive(Clone, Debug)]
pub struct Seed<'a> {
    /// Number of the instance on this node: another number is another identity.
    pub vm_id: u32,
    /// Host name: the base-32 label of the item hash.
    pub label: &'a str,
    /// Keys that may log in.
    pub authorized_keys: &'a [String],
    /// Whether the guest shall install its agent.
    pub guest_agent: bool,
    /// Commands before everything else, for machines of a special kind.
    pub boot_commands: &'a [&'a [&'a str]],
    /// The network; `None`: nothing is said about it.
    pub addresses: Option<&'a Addresses>,
}

impl Seed<'_> {
    /// The image of the seed.
    pub fn image(&self) -> Vec<u8> {
        let (user, meta) = (self.user_data(), self.meta_data());
        let network = self.addresses.map(network_config);
        let mut files = vec![
            ("meta-data", meta.as_bytes()),
            ("user-data", user.as_bytes()),
        ];
        if let Some(network) = &network {
            files.push(("network-config", network.as_bytes()));
        }
        iso::image("cidata", &files)
    }

    /// `user-data`.
    pub fn user_data(&self) -> String {
        let mut text = format!(
            "#cloud-config\nhostname: {}\ndisable_root: false\nssh_pwauth: false\n",
            self.label
        );
        if self.authorized_keys.is_empty() {
            text.push_str("ssh_authorized_keys: []\n");
        } else {
            text.push_str("ssh_authorized_keys:\n");
            for key in self.authorized_keys {
                let _ = writeln!(text, "- {}", scalar(key, 2, 2));
            }
        }
        text.push_str("resize_rootfs: true\npackage_update: true\n");
        if !self.boot_commands.is_empty() {
            text.push_str("bootcmd:\n");
            for command in self.boot_commands {
                for (index, word) in command.iter().enumerate() {
                    let lead = if index == 0 { "- - " } else { "  - " };
                    let _ = writeln!(text, "{lead}{}", scalar(word, 4, 4));
                }
            }
        }
        if self.guest_agent {
            text.push_str("packages:\n- qemu-guest-agent\nruncmd:\n");
            text.push_str("- systemctl start qemu-guest-agent.service\n");
        }
        text
    }

    /// `meta-data`.
    pub fn meta_data(&self) -> String {
        format!(
            "{{\"instance-id\": \"iid-instance-{}\", \"local-hostname\": \"{}\"}}",
            self.vm_id, self.label
        )
    }
}

/// `network-config`, version 2.
pub fn network_config(network: &Addresses) -> String {
    let mut text =
        String::from("ethernets:\n  eth0:\n    match:\n      driver: virtio_net\n    addresses:\n");
    for address in &network.addresses {
        let _ = writeln!(text, "    - {address}");
    }
    for (name, gateway) in [("4", &network.gateway4), ("6", &network.gateway6)] {
        if let Some(gateway) = gateway {
            let _ = writeln!(text, "    gateway{name}: {gateway}");
        }
    }
    if !network.nameservers.is_empty() {
        text.push_str("    nameservers:\n      addresses:\n");
        for server in &network.nameservers {
            let _ = writeln!(text, "      - {server}");
        }
    }
    text.push_str("version: 2\n");
    text
}

/// A YAML scalar that begins in `column`: plain where that is safe, else
/// double-quoted. Plain ones are folded like PyYAML does: at the first space
/// behind column 80.
fn scalar(text: &str, column: usize, indent: usize) -> String {
    if !is_plain(text) {
        return serde_json::Value::from(text).to_string();
    }
    let mut folded = String::with_capacity(text.len() + 8);
    let mut at = column;
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            if at > FOLD_COLUMN {
                folded.push('\n');
                folded.extend(std::iter::repeat_n(' ', indent));
                at = indent;
            } else {
                folded.push(' ');
                at += 1;
            }
        }
        folded.push_str(word);
        at += word.chars().count();
    }
    folded
}

/// Whether YAML reads it back as the same string without quotes. Narrower than
/// the standard on purpose: quoting is never wrong.
fn is_plain(text: &str) -> bool {
    let starts_well = text
        .chars()
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic());
    let is_word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
    );
    let printable = text
        .chars()
        .all(|character| (' '..='~').contains(&character));
    (starts_well || is_flag(text))
        && !is_word
        && printable
        && !text.ends_with([' ', ':'])
        && !text.contains("  ")
        && !text.contains(": ")
        && !text.contains(" #")
}

/// `-i`, `/etc/…`: safe although they do not begin with a letter.
fn is_flag(text: &str) -> bool {
    text.starts_with('/')
        || (text.starts_with('-')
            && text[1..]
                .chars()
                .next()
                .is_some_and(|second| second.is_ascii_alphabetic()))
}

/// Commands of instances with a graphics card: it needs another kernel line.
pub const GPU_COMMANDS: &[&[&str]] = &[
    &[
        "sed",
        "-i",
        r#"s/^GRUB_CMDLINE_LINUX_DEFAULT="\(.*\)"/GRUB_CMDLINE_LINUX_DEFAULT="\1 pci=realloc=off pci=noaer"/"#,
        "/etc/default/grub",
    ],
    &[
        "sh",
        "-c",
        "command -v update-grub >/dev/null 2>&1 && update-grub || true",
    ],
    &[
        "sh",
        "-c",
        "command -v grub2-mkconfig >/dev/null 2>&1 && grub2-mkconfig -o /boot/grub2/grub.cfg || true",
    ],
];

/// Commands of confidential instances: the encrypted root grows with its disk.
pub const CONFIDENTIAL_COMMANDS: &[&[&str]] = &[
    &["sh", "-c", "growpart /dev/vda 2 || true"],
    &["sh", "-c", "cryptsetup resize cr_root || true"],
    &["sh", "-c", "resize2fs /dev/mapper/cr_root || true"],
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn seeds_are_the_recorded_bytes() {
        let text = include_str!("../../../../vectors/crn/cloud_init.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        let network = Addresses {
            addresses: vec![
                "172.16.6.2/24".into(),
                "2a01:4f8:171:787:3:8920:215b:2e91/124".into(),
            ],
            gateway4: Some("172.16.6.1".into()),
            gateway6: Some("2a01:4f8:171:787:3:8920:215b:2e90".into()),
            nameservers: vec!["1.1.1.1".into(), "2606:4700:4700::1111".into()],
        };
        let keys = vec![
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEKEYEXAMPLEKEYEXAMPLEKEYEXAMPLEKEYEXAM user@example"
                .to_owned(),
        ];
        let seed = Seed {
            vm_id: 6,
            label: "reqccwzosyne2tczvdhlfab26u7zcuyp6u6wobbhhk2nhaf4mrda",
            authorized_keys: &keys,
            guest_agent: true,
            boot_commands: &[],
            addresses: Some(&network),
        };
        let with = |edit: fn(&mut Seed<'_>)| {
            let mut seed = seed.clone();
            edit(&mut seed);
            seed.user_data()
        };
        for (name, found) in [
            ("user_data_default", seed.user_data()),
            (
                "user_data_no_guest_agent",
                with(|seed| seed.guest_agent = false),
            ),
            ("user_data_no_keys", with(|seed| seed.authorized_keys = &[])),
            (
                "user_data_gpu",
                with(|seed| seed.boot_commands = GPU_COMMANDS),
            ),
            (
                "user_data_confidential",
                with(|seed| seed.boot_commands = CONFIDENTIAL_COMMANDS),
            ),
            ("meta_data_vm6", seed.meta_data()),
            ("network_config_vm6", network_config(&network)),
        ] {
            assert_eq!(found, vectors[name].as_str().unwrap(), "{name}");
        }
    }

    #[test]
    fn keys_cannot_leave_their_place() {
        for (key, expected) in [
            ("a\nruncmd: [evil]", r#""a\nruncmd: [evil]""#),
            ("ssh-rsa AAA: b", r#""ssh-rsa AAA: b""#),
            ("ssh-rsa AAA #b", r#""ssh-rsa AAA #b""#),
            ("- x", r#""- x""#),
            ("yes", r#""yes""#),
            ("", r#""""#),
            ("ssh-rsa AAA b", "ssh-rsa AAA b"),
        ] {
            assert_eq!(scalar(key, 2, 2), expected);
        }
    }
}
