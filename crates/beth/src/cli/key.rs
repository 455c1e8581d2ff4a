//! Private keys: on the command line, and in files that name their chain.
//!
//! ```text
//!   64 hexadecimal digits          of the chain named by --chain, else ETH
//!   edsk…, spsk…, p2sk…, [1,2,…]   what wallets of that chain export
//!   TEZOS:edsk…                    a chain and a key: what `beth account create` writes
//! ```

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use beth_protocol::account::KeyError;
use beth_protocol::{Account, Chain};

use super::failure::Failure;
use super::session::read_bounded;

/// An account from a key given as text or as the path of a file with such a
/// text or with 32 bytes.
pub fn read(text: &str, chain: Option<Chain>) -> Result<Account, Failure> {
    Ok(Written::read(text, chain)?.account)
}

/// A chain of an argument, in any case.
pub fn chain_argument(text: &str) -> Result<Chain, String> {
    Chain::parse(&text.trim().to_ascii_uppercase()).ok_or_else(|| {
        let known: Vec<&str> = Chain::ALL.iter().map(|chain| chain.as_str()).collect();
        format!("no chain has this name; there are {}", known.join(", "))
    })
}

/// An account and the text of its key, chain included.
pub struct Written {
    /// Who signs with it.
    pub account: Account,
    text: String,
}

impl Written {
    /// A key nobody had before.
    pub fn random(chain: Chain) -> Result<Written, Failure> {
        let fail = |error| Failure::new(format!("this system gives no random numbers: {error}"));
        let mut source = File::open("/dev/urandom").map_err(fail)?;
        loop {
            let mut bytes = [0; 32];
            source.read_exact(&mut bytes).map_err(fail)?;
            match Written::of(chain, &const_hex::encode(bytes)) {
                // Four in a billion billion billion billion.
                Err(KeyError::OutOfRange) => {}
                known => return known.map_err(|error| Failure::usage(error.to_string())),
            }
        }
    }

    /// A key that exists, from a text or a file.
    pub fn read(text: &str, chain: Option<Chain>) -> Result<Written, Failure> {
        let fault = match Written::parse(text, chain)? {
            Ok(known) => return Ok(known),
            Err(fault) => fault,
        };
        let path = Path::new(text);
        if !path.exists() {
            return Err(Failure::usage(format!(
                "the key is neither a private key nor an existing file: {fault}{}",
                if text.len() > 48 {
                    "; check its length and digits"
                } else {
                    "; check the path"
                }
            )));
        }
        let bytes = read_bounded(path)?;
        let inside = match std::str::from_utf8(&bytes) {
            Ok(text) if text.trim().len() > 32 => text.trim().to_owned(),
            _ => const_hex::encode(&bytes),
        };
        Written::parse(&inside, chain)?
            .map_err(|fault| Failure::usage(format!("the file {text} holds no key: {fault}")))
    }

    fn parse(text: &str, chain: Option<Chain>) -> Result<Result<Written, KeyError>, Failure> {
        let text = text.trim();
        let named = text
            .split_once(':')
            .and_then(|(name, key)| Some((Chain::parse(name)?, key)));
        let (chain, key) = match (named, chain) {
            (Some((named, _)), Some(asked)) if named != asked => {
                return Err(Failure::usage(format!(
                    "the key is of chain {named}, not {asked}: leave out --chain or change it"
                )));
            }
            (Some(named), _) => named,
            (None, chain) => (chain.unwrap_or(Chain::Eth), text),
        };
        Ok(Written::of(chain, key))
    }

    fn of(chain: Chain, key: &str) -> Result<Written, KeyError> {
        Ok(Written {
            account: Account::parse(chain, key)?,
            text: format!("{chain}:{key}\n"),
        })
    }

    /// Writes the key to a new file that only this user may read.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options
            .open(path)
            .and_then(|mut file| {
                file.write_all(self.text.as_bytes())?;
                file.sync_all()
            })
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => Failure::usage(format!(
                    "{} exists already and is left as it is: choose another file",
                    path.display()
                )),
                _ => Failure::new(format!("cannot write {}: {error}", path.display())),
            })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use beth_sdk::development;

    #[test]
    fn keys_have_three_forms() {
        let folder = tempfile::tempdir().unwrap();
        let digits = development::KEYS[0];
        let text = folder.path().join("text");
        std::fs::write(&text, format!("0x{digits}\n")).unwrap();
        let raw = folder.path().join("raw");
        std::fs::write(&raw, const_hex::decode(digits).unwrap()).unwrap();
        for key in [digits, text.to_str().unwrap(), raw.to_str().unwrap()] {
            assert_eq!(
                read(key, None).unwrap().address(),
                "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
            );
        }
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "").unwrap();
        for bad in [
            "nowhere",
            &digits[1..],
            empty.to_str().unwrap(),
            folder.path().to_str().unwrap(),
        ] {
            let failure = read(bad, None).unwrap_err();
            assert_eq!(failure.code, super::super::failure::USAGE);
            assert!(
                !failure.sentence.contains(&digits[1..]),
                "a key must never be shown"
            );
        }
    }

    #[test]
    fn every_chain_has_keys_that_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        for &chain in Chain::ALL {
            let path = folder.path().join(chain.as_str());
            let Ok(written) = Written::random(chain) else {
                assert!(matches!(chain, Chain::Aurora | Chain::Stt), "{chain}");
                continue;
            };
            written.save(&path).unwrap();
            let again = read(path.to_str().unwrap(), None).unwrap();
            assert_eq!(again.chain(), chain);
            assert_eq!(again.address(), written.account.address());
            assert_eq!(written.save(&path).unwrap_err().code, 2);
        }
    }

    #[test]
    fn the_chain_is_named_once() {
        let digits = development::KEYS[0];
        let account = read(digits, Some(Chain::Csdk)).unwrap();
        assert!(account.address().starts_with("cosmos1"));
        let named = format!("CSDK:{digits}");
        for chain in [None, Some(Chain::Csdk)] {
            assert_eq!(read(&named, chain).unwrap().address(), account.address());
        }
        let failure = read(&named, Some(Chain::Sol)).unwrap_err();
        assert!(failure.sentence.contains("chain CSDK, not SOL"));
        assert_eq!(chain_argument("tezos"), Ok(Chain::Tezos));
        assert!(chain_argument("cardano").unwrap_err().contains("TEZOS"));
    }
}
