//! What node and guest say to each other in version 2 of the network's own
//! protocol (compute.md §13), as bytes. Runtime images that others made speak it.
//!
//! ```text
//! guest ─▶ node  {"version": "2.0.0"}                      it listens
//! node ─▶ guest  "<length>\n" configuration ─▶ {"success"}  the program is there
//! node ─▶ guest  {"scope": …} ─▶ {"headers", "body"}        a call
//! node ─▶ guest  "halt" ─▶ STOP, STOPZ                      the end
//! ```
//!
//! The guest is hostile: everything it says is bounded before it is read.

use beth_guest::frame::{self, map, member};
use rmpv::Value;

use crate::executor::{Fault, clip};
use crate::limits;

/// Largest archive that travels inside the configuration.
pub(super) const INLINE_BYTES_MAX: u64 = 10_000_000;

/// A place where the guest mounts a drive.
#[derive(Clone, Debug)]
pub(super) struct Mount {
    pub(super) mount: String,
    /// Without `/dev/`.
    pub(super) device: String,
    pub(super) read_only: bool,
}

/// Addresses of a guest that has a network; empty ones are absent.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    /// Without a mask: the guest takes /24.
    pub(super) ipv4: Option<String>,
    pub(super) ipv4_gateway: Option<String>,
    /// With its prefix.
    pub(super) ipv6: Option<String>,
    pub(super) ipv6_gateway: Option<String>,
    pub(super) dns_servers: Vec<String>,
}

/// What a guest is told once (§13.3).
#[derive(Clone, Debug)]
pub(super) struct Configuration {
    pub(super) input_data: Option<Vec<u8>>,
    /// `asgi` or `executable`.
    pub(super) interface: &'static str,
    pub(super) vm_hash: String,
    pub(super) encoding: &'static str,
    pub(super) entrypoint: String,
    pub(super) code: Option<Vec<u8>>,
    pub(super) addresses: Addresses,
    pub(super) volumes: Vec<Mount>,
    pub(super) variables: Option<Vec<(String, String)>>,
    pub(super) authorized_keys: Option<Vec<String>>,
}

/// Which fields a guest understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// Without IPv6 and SSH keys.
    One,
    /// With them.
    Two,
}

impl Version {
    /// Of the guest's first words; empty is the first version.
    pub(super) fn of(ready: &[u8]) -> Result<Version, Fault> {
        if ready.is_empty() {
            return Ok(Version::One);
        }
        let said = frame::decode(ready)
            .map_err(|error| Fault::Died(format!("its first words make no sense: {error}")))?;
        match member(&said, "version").as_str() {
            Some("1.0.0") => Ok(Version::One),
            Some("2.0.0") => Ok(Version::Two),
            other => {
                let other = clip(other.unwrap_or("none"), 20);
                tracing::warn!(
                    version = other,
                    "an unknown guest; it is spoken to as 2.0.0"
                );
                Ok(Version::Two)
            }
        }
    }
}

impl Configuration {
    /// Its length in decimal, a line end, and the fields in the order in which
    /// the network's other nodes send them.
    pub(super) fn frame(&self, version: Version) -> Vec<u8> {
        let payload = encode(&self.value(version));
        let mut bytes = format!("{}\n", payload.len()).into_bytes();
        bytes.extend(payload);
        bytes
    }

    fn value(&self, version: Version) -> Value {
        let text = |text: &Option<String>| text.as_deref().map_or(Value::Nil, Value::from);
        let bytes = |bytes: &Option<Vec<u8>>| bytes.clone().map_or(Value::Nil, Value::Binary);
        let texts =
            |list: &[String]| Value::Array(list.iter().map(|item| item.as_str().into()).collect());
        let volumes = self.volumes.iter().map(|volume| {
            map([
                ("mount", volume.mount.as_str().into()),
                ("device", volume.device.as_str().into()),
                ("read_only", volume.read_only.into()),
            ])
        });
        let variables = self.variables.as_ref().map_or(Value::Nil, |variables| {
            let pairs = variables.iter();
            let pairs = pairs.map(|(name, value)| (name.as_str().into(), value.as_str().into()));
            Value::Map(pairs.collect())
        });
        let mut fields: Vec<(&str, Value)> = vec![
            ("input_data", bytes(&self.input_data)),
            ("interface", self.interface.into()),
            ("vm_hash", self.vm_hash.as_str().into()),
            ("encoding", self.encoding.into()),
            ("entrypoint", self.entrypoint.as_str().into()),
            ("code", bytes(&self.code)),
            ("ip", text(&self.addresses.ipv4)),
            ("route", text(&self.addresses.ipv4_gateway)),
            ("dns_servers", texts(&self.addresses.dns_servers)),
            ("volumes", Value::Array(volumes.collect())),
            ("variables", variables),
        ];
        if version == Version::Two {
            let keys = self.authorized_keys.as_deref().map_or(Value::Nil, texts);
            fields.extend([
                ("ipv6", text(&self.addresses.ipv6)),
                ("ipv6_gateway", text(&self.addresses.ipv6_gateway)),
                ("authorized_keys", keys),
            ]);
        }
        let fields = fields.into_iter().map(|(name, value)| (name.into(), value));
        Value::Map(fields.collect())
    }
}

/// What a guest answers to its configuration.
pub(super) fn configured(reply: &[u8]) -> Result<(), Fault> {
    let reply = frame::decode(reply)
        .map_err(|error| Fault::Died(format!("its answer to the configuration: {error}")))?;
    if member(&reply, "success").as_bool() == Some(true) {
        return Ok(());
    }
    let text =
        |name: &str, bytes_max| clip(member(&reply, name).as_str().unwrap_or_default(), bytes_max);
    Err(Fault::Setup {
        error: text("error", limits::ERROR_BYTES_MAX),
        traceback: text("traceback", limits::TRACEBACK_BYTES_MAX),
    })
}

/// The bytes of a value, as the frames of our own guests have them too.
pub(super) fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to a vector does not fail.
    let _ = rmpv::encode::write_value(&mut bytes, value);
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn vectors() -> serde_json::Value {
        let text = include_str!("../../../../../vectors/crn/host_guest.json");
        serde_json::from_str(text).unwrap()
    }

    fn bytes(entry: &serde_json::Value) -> Vec<u8> {
        const_hex::decode(entry["msgpack_hex"].as_str().unwrap()).unwrap()
    }

    /// A configuration as the vector tells it in words.
    fn told(entry: &serde_json::Value) -> Configuration {
        let told = &entry["decoded"];
        let text = |name: &str| told[name].as_str().map(str::to_owned);
        let binary = |name: &str| {
            let hex = told[name]["__bytes_hex__"].as_str();
            hex.map(|hex| const_hex::decode(hex).unwrap())
        };
        let texts = |name: &str| {
            let list = told[name].as_array();
            list.map(|list| {
                list.iter()
                    .map(|item| item.as_str().unwrap().into())
                    .collect()
            })
        };
        let volumes = told["volumes"].as_array().unwrap().iter();
        let variables = told["variables"].as_object();
        Configuration {
            input_data: binary("input_data"),
            interface: if told["interface"] == "asgi" {
                "asgi"
            } else {
                "executable"
            },
            vm_hash: text("vm_hash").unwrap(),
            encoding: if told["encoding"] == "zip" {
                "zip"
            } else {
                "squashfs"
            },
            entrypoint: text("entrypoint").unwrap(),
            code: binary("code"),
            addresses: Addresses {
                ipv4: text("ip"),
                ipv4_gateway: text("route"),
                ipv6: text("ipv6"),
                ipv6_gateway: text("ipv6_gateway"),
                dns_servers: texts("dns_servers").unwrap(),
            },
            volumes: volumes
                .map(|volume| Mount {
                    mount: volume["mount"].as_str().unwrap().into(),
                    device: volume["device"].as_str().unwrap().into(),
                    read_only: volume["read_only"].as_bool().unwrap(),
                })
                .collect(),
            variables: variables.map(|variables| {
                let pairs = variables.iter();
                pairs
                    .map(|(name, value)| (name.clone(), value.as_str().unwrap().into()))
                    .collect()
            }),
            authorized_keys: texts("authorized_keys"),
        }
    }

    #[test]
    fn configurations_have_the_bytes_of_the_vectors() {
        let vectors = vectors();
        for (name, version) in [
            ("config_v1", Version::One),
            ("config_v2", Version::Two),
            ("config_v2_executable_squashfs", Version::Two),
        ] {
            let frame = told(&vectors[name]).frame(version);
            let payload = bytes(&vectors[name]);
            let mut expected = format!("{}\n", payload.len()).into_bytes();
            expected.extend(payload);
            assert_eq!(frame, expected, "{name}");
        }
    }

    #[test]
    fn first_words_tell_the_version() {
        let ready = bytes(&vectors()["ready_signal_v2"]);
        assert_eq!(Version::of(&ready).unwrap(), Version::Two);
        assert_eq!(Version::of(b"").unwrap(), Version::One);
        assert!(matches!(Version::of(b"\x81"), Err(Fault::Died(_))));
    }

    #[test]
    fn answers_to_the_configuration() {
        let vectors = vectors();
        assert!(configured(&bytes(&vectors["config_reply_ok"])).is_ok());
        let Err(Fault::Setup { error, traceback }) =
            configured(&bytes(&vectors["config_reply_error"]))
        else {
            unreachable!()
        };
        assert_eq!(error, "No module named 'main'");
        assert!(traceback.starts_with("Traceback"));
        assert!(matches!(configured(b""), Err(Fault::Died(_))));
    }
}
