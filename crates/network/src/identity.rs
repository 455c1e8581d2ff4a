//! The key that a node is known by.
//!
//! Two kinds are read, both from an unencrypted PKCS#8 DER file: RSA, which
//! upstream generates and whose peer id operators have written on chain, and
//! Ed25519, which new nodes get (network.md §2.2).
//!
//! ```text
//!   load_or_create ─┬─ file ────▶ parse ─┬─ rsaEncryption ─▶ Qm…
//!                   └─ no file ─▶ generate (0600, atomic) ── Ed25519 ─▶ 12D3Koo…
//! ```

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use libp2p::identity::Keypair;

use crate::limits::IDENTITY_FILE_BYTES;

/// A node's key pair.
#[derive(Clone)]
pub struct Identity {
    keypair: Keypair,
}

/// A node's key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read.
    #[error("cannot read the node key {}: {source}. Check the path and its permissions", path.display())]
    Read {
        /// Of the key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A new key cannot be kept.
    #[error("cannot write a new node key to {}: {source}. Check that the folder exists, is writable and has room", path.display())]
    Write {
        /// Of the key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// The file holds no usable key.
    #[error(
        "the node key {} cannot be used: {reason}. Restore it from a backup, or move it away to \
         get a new key and a new peer id",
        path.display()
    )]
    Malformed {
        /// Of the key file.
        path: PathBuf,
        /// What is wrong with the bytes.
        reason: String,
    },
}

/// PKCS#8 of an Ed25519 key up to its 32 bytes of seed (RFC 8410).
const ED25519_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

const SEED_BYTES: usize = 32;

impl Identity {
    /// A new Ed25519 key, kept nowhere.
    pub fn generate() -> Identity {
        Identity {
            keypair: Keypair::generate_ed25519(),
        }
    }

    /// Reads the key file. Blocks.
    pub fn load(path: &Path) -> Result<Identity, IdentityError> {
        let der = read(path).map_err(|source| IdentityError::Read {
            path: path.to_owned(),
            source,
        })?;
        Identity::from_der(der).map_err(|reason| IdentityError::Malformed {
            path: path.to_owned(),
            reason,
        })
    }

    /// Reads the key file, or writes a new Ed25519 key to it (mode 0600) when
    /// it does not exist. Blocks.
    pub fn load_or_create(path: &Path) -> Result<Identity, IdentityError> {
        match Identity::load(path) {
            Err(IdentityError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Identity::create(path)
            }
            other => other,
        }
    }

    /// The peer id: `Qm…` for RSA, `12D3Koo…` for Ed25519.
    pub fn peer_id(&self) -> String {
        self.keypair.public().to_peer_id().to_string()
    }

    pub(crate) fn keypair(&self) -> &Keypair {
        &self.keypair
    }

    fn create(path: &Path) -> Result<Identity, IdentityError> {
        let identity = Identity::generate();
        let kept = identity.to_der().and_then(|der| write_once(path, &der));
        match kept {
            Ok(()) => Ok(identity),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Identity::load(path),
            Err(source) => Err(IdentityError::Write {
                path: path.to_owned(),
                source,
            }),
        }
    }

    fn from_der(mut der: Vec<u8>) -> Result<Identity, String> {
        if der.is_empty() {
            return Err("the file is empty".to_owned());
        }
        if der.starts_with(b"-----BEGIN") {
            return Err("it is PEM text where DER is expected (convert it with \
                        `openssl pkcs8 -topk8 -nocrypt -outform DER`)"
                .to_owned());
        }
        let keypair = match ed25519_seed(&der) {
            Some(seed) => Keypair::ed25519_from_bytes(seed),
            None => Keypair::rsa_from_pkcs8(&mut der),
        };
        keypair.map(|keypair| Identity { keypair }).map_err(|_| {
            "it is not an unencrypted PKCS#8 DER key of type Ed25519 or RSA \
             (2048 to 4096 bits)"
                .to_owned()
        })
    }

    fn to_der(&self) -> io::Result<Vec<u8>> {
        let keypair = self
            .keypair
            .clone()
            .try_into_ed25519()
            .map_err(io::Error::other)?;
        let mut der = ED25519_HEAD.to_vec();
        der.extend_from_slice(keypair.secret().as_ref());
        Ok(der)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Identity").field(&self.peer_id()).finish()
    }
}

/// The seed of an Ed25519 key in either version of PKCS#8: version 1 differs
/// in the two length bytes and appends attributes or the public key.
fn ed25519_seed(der: &[u8]) -> Option<[u8; SEED_BYTES]> {
    let (head, rest) = der.split_at_checked(ED25519_HEAD.len())?;
    let known = head[0] == ED25519_HEAD[0]
        && usize::from(head[1]) == der.len() - 2
        && head[2..4] == ED25519_HEAD[2..4]
        && head[4] <= 1
        && head[5..] == ED25519_HEAD[5..];
    if !known {
        return None;
    }
    rest.first_chunk().copied()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    file.take(IDENTITY_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file that never exists half-written nor replaces another.
fn write_once(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.tmp", std::process::id()));
    let draft = PathBuf::from(draft);
    let written = write_synced(&draft, bytes).and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    written?;
    fs::File::open(folder)?.sync_all()
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde_json::Value;

    fn vector(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn upstream_signature() {
        let keys = vector(include_str!(
            "../../../vectors/network/p2p/peer_id_vectors.json"
        ));
        let key = &keys["keys"]["client-test-key-1"]["private_key_pkcs8_der_base64"];
        let identity = Identity::from_der(STANDARD.decode(key.as_str().unwrap()).unwrap()).unwrap();
        let sample = vector(include_str!(
            "../../../vectors/network/p2p/gossipsub_rpc_sample.json"
        ));
        let unsigned = const_hex::decode(sample["message_unsigned_hex"].as_str().unwrap()).unwrap();
        let mut signed = sample["signature_input_prefix"]
            .as_str()
            .unwrap()
            .as_bytes()
            .to_vec();
        signed.extend(unsigned);
        let signature = identity.keypair().sign(&signed).unwrap();
        assert_eq!(
            const_hex::encode(signature),
            sample["signature_hex"].as_str().unwrap()
        );
        assert_eq!(identity.peer_id(), sample["signer"].as_str().unwrap());
    }

    #[test]
    fn ed25519_both_versions() {
        let identity = Identity::generate();
        let first = identity.to_der().unwrap();
        let mut second = first.clone();
        second.extend([0x81, 0x21, 0x00]);
        second.extend([7; 32]);
        second[1] = u8::try_from(second.len() - 2).unwrap();
        second[4] = 1;
        for der in [first, second] {
            let read = Identity::from_der(der).unwrap();
            assert_eq!(read.peer_id(), identity.peer_id());
        }
    }

    #[test]
    fn malformed() {
        let good = Identity::generate().to_der().unwrap();
        for length in 0..good.len() {
            assert!(
                Identity::from_der(good[..length].to_vec()).is_err(),
                "{length}"
            );
        }
    }
}
