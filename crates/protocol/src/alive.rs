//! What a node says of itself from time to time: where it can be reached
//! (network.md §3.2).
//!
//! ```text
//!  {"address": "/ip4/…/p2p/Qm…", "interests": null, "peer_type": "P2P", "version": "0.10.3"}
//! ```
//!
//! The bytes of a node are always the same, and the network passes the same
//! bytes on only once in half an hour; so written differently they would not be
//! better, but more.

mod place;

pub use place::{Host, Place, Reach, peer_id_in};

use serde_json::Value;

/// Longest payload that is read, in bytes.
pub const ALIVE_BYTES_MAX: usize = 4_096;
/// Longest address that is believed, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 512;

/// What kind of address is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerType {
    /// A multiaddress of the gossip.
    P2p,
    /// Base URL of an API.
    Http,
    /// A multiaddress of an IPFS node.
    Ipfs,
}

impl PeerType {
    /// Every kind.
    pub const ALL: [PeerType; 3] = [PeerType::P2p, PeerType::Http, PeerType::Ipfs];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            PeerType::P2p => "P2P",
            PeerType::Http => "HTTP",
            PeerType::Ipfs => "IPFS",
        }
    }

    /// Reads it.
    pub fn parse(text: &str) -> Option<PeerType> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// An alive message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alive {
    /// A multiaddress, or a base URL without a slash at the end.
    pub address: String,
    /// Which of them.
    pub peer_type: PeerType,
    /// Version of the software, for people.
    pub version: String,
}

/// Why a text is no alive message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no alive message: {0}")]
pub struct NotAlive(&'static str);

impl Alive {
    /// The text to publish, byte for byte as released nodes write it.
    pub fn to_text(&self) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        format!(
            r#"{{"address": {}, "interests": null, "peer_type": {}, "version": {}}}"#,
            quoted(&self.address),
            quoted(self.peer_type.as_str()),
            quoted(&self.version),
        )
    }

    /// Reads any JSON text with these keys; a version may be missing.
    pub fn parse(text: &str) -> Result<Alive, NotAlive> {
        if text.len() > ALIVE_BYTES_MAX {
            return Err(NotAlive("it is too long"));
        }
        let value: Value = crate::json::parse_written(text).map_err(|_| NotAlive("no JSON"))?;
        let peer_type = value["peer_type"].as_str().and_then(PeerType::parse);
        let address = value["address"].as_str();
        Ok(Alive {
            address: address
                .filter(|address| address.len() <= ADDRESS_BYTES_MAX)
                .ok_or(NotAlive("its address is no text, or too long"))?
                .to_owned(),
            peer_type: peer_type.ok_or(NotAlive("its peer_type is none of P2P, HTTP, IPFS"))?,
            version: value["version"].as_str().unwrap_or_default().to_owned(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SAMPLES: &str = include_str!("../../../vectors/network/p2p/alive_messages.json");

    #[test]
    fn samples_are_written_byte_for_byte() {
        let samples: Value = serde_json::from_str(SAMPLES).unwrap();
        let samples = samples["messages"].as_array().unwrap();
        let kinds = [PeerType::P2p, PeerType::Http, PeerType::Ipfs];
        assert_eq!(samples.len(), kinds.len());
        for (sample, kind) in samples.iter().zip(kinds) {
            let sample = sample.as_str().unwrap();
            let read = Alive::parse(sample).unwrap();
            assert_eq!((read.peer_type, read.version.as_str()), (kind, "0.10.3"));
            assert_eq!(read.to_text(), sample);
        }
    }

    #[test]
    fn any_json_of_this_shape_is_read() {
        let compact =
            r#"{"peer_type":"HTTP","address":"http:\/\/192.0.2.1:1","interests":["x"],"more":1}"#;
        let read = Alive::parse(compact).unwrap();
        assert_eq!(read.address, "http://192.0.2.1:1");
        assert_eq!(read.version, "");
        for wrong in [
            "",
            "null",
            "[]",
            r#"{"address":null,"interests":null,"peer_type":"IPFS","version":"0.10.3"}"#,
            r#"{"address":"http://192.0.2.1:1","peer_type":"http"}"#,
            r#"{"address":"http://192.0.2.1:1"}"#,
            &format!(r#"{{"address":"{}","peer_type":"HTTP"}}"#, "a".repeat(600)),
            &format!(
                r#"{{"address":"a","peer_type":"HTTP","x":"{}"}}"#,
                "a".repeat(5000)
            ),
        ] {
            assert!(Alive::parse(wrong).is_err(), "{wrong}");
        }
    }
}
