//! Keys of programs, made from one secret of the node.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use beth_protocol::{Account, Chain, ItemHash};
use rustix::rand::{GetRandomFlags, getrandom};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The node's secret.
pub(super) struct Secret([u8; 32]);

impl Secret {
    /// Reads it, or makes one that only the owner of the file can read.
    pub(super) fn open(path: &Path) -> io::Result<Secret> {
        match std::fs::read(path) {
            Ok(bytes) => {
                let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, "not 32 bytes");
                return bytes.try_into().map(Secret).map_err(wrong);
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) => {}
        }
        let mut bytes = [0; 32];
        getrandom(&mut bytes, GetRandomFlags::empty())?;
        let draft = path.with_extension("draft");
        let mut options = std::fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&draft)?.write_all(&bytes)?;
        std::fs::rename(&draft, path)?;
        Ok(Secret(bytes))
    }

    /// The account of a program.
    pub(super) fn of(&self, program: &ItemHash) -> Account {
        for counter in 0u32.. {
            let mut hash = Sha256::new();
            hash.update(self.0);
            hash.update(program.as_str());
            hash.update(counter.to_be_bytes());
            // All but a few numbers near 2^256 are keys.
            if let Ok(account) = Account::from_bytes(Chain::Eth, hash.finalize().into()) {
                return account;
            }
        }
        unreachable!("one of so many numbers is a key")
    }

    /// A message with sender, chain and signature, if it speaks for the program.
    pub(super) fn sign(&self, program: &ItemHash, body: &[u8]) -> Result<Value, String> {
        let mut message: Value =
            serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))?;
        let content = match &message["item_content"] {
            Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
            other => other.clone(),
        };
        if content["address"] != program.as_str() {
            return Err("item_content.address is not the item hash of this program".to_owned());
        }
        let account = self.of(program);
        let part = |name: &str| {
            let text = message[name].as_str().filter(|text| !text.contains('\n'));
            text.ok_or_else(|| format!("the message has no {name}"))
        };
        let buffer = [account.chain().to_string(), account.address().to_owned()];
        let buffer = format!(
            "{}\n{}\n{}",
            buffer.join("\n"),
            part("type")?,
            part("item_hash")?
        );
        let signature = account.sign_text(buffer.as_bytes());
        message["chain"] = account.chain().to_string().into();
        message["sender"] = account.address().into();
        message["signature"] = signature.into();
        Ok(message)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn programs_have_keys_of_their_own_that_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let [one, two] = [b"one", b"two"].map(|name| ItemHash::of_bytes(name));
        let secret = Secret::open(&path).unwrap();
        let address = secret.of(&one).address().to_owned();
        assert_ne!(address, secret.of(&two).address());
        assert_eq!(address, Secret::open(&path).unwrap().of(&one).address());
        let content = json!({"address": one.as_str()}).to_string();
        let message = json!({"type": "POST", "item_hash": "x", "item_content": content});
        let body = message.to_string();
        let signed = secret.sign(&one, body.as_bytes()).unwrap();
        assert_eq!(signed["sender"], address.as_str());
        assert!(signed["signature"].as_str().unwrap().starts_with("0x"));
        assert!(
            secret.sign(&two, body.as_bytes()).is_err(),
            "another's name"
        );
        assert!(secret.sign(&one, b"[]").is_err());
    }
}
