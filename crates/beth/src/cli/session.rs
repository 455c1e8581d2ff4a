//! What every client verb has: a node to talk to and an account to sign with.

use std::io::Read;
use std::path::Path;

use beth_protocol::{Account, Chain, ItemHash, Message, MessageType};
use beth_sdk::{Client, development};
use serde_json::Value;

use super::failure::Failure;
use super::key;
use super::output::Output;

/// Longest text or file read as an argument, in bytes.
const ARGUMENT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The options of every client verb.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// Core node to talk to
    #[arg(
        long,
        value_name = "URL",
        env = "BETH_NODE",
        hide_env_values = true,
        default_value = "http://127.0.0.1:4024"
    )]
    pub node: String,
    /// Private key to sign with: 64 hexadecimal digits, the form of the chain's wallets, or a file that
    /// holds the key. On a local network the first development account signs when no key is given
    #[arg(
        long,
        value_name = "HEX|FILE",
        env = "BETH_KEY",
        hide_env_values = true
    )]
    pub key: Option<String>,
    /// Chain of the key, when neither it nor its file names one; ETH when left out
    #[arg(
        long,
        value_name = "CHAIN",
        env = "BETH_CHAIN",
        hide_env_values = true,
        value_parser = key::chain_argument
    )]
    pub chain: Option<Chain>,
    /// Write the result as one JSON object on the last line of standard output
    #[arg(long)]
    pub json: bool,
}

/// A verb at work.
#[derive(Clone, Debug)]
pub struct Session {
    /// Where it speaks.
    pub output: Output,
    /// The core node.
    pub client: Client,
    key: Option<String>,
    chain: Option<Chain>,
}

impl Session {
    /// Checks the options. Nothing is asked yet.
    pub fn open(common: Common, output: Output) -> Result<Session, Failure> {
        let client = Client::new(&common.node)?;
        let key = common.key.filter(|key| !key.trim().is_empty());
        Ok(Session {
            output,
            client,
            key,
            chain: common.chain,
        })
    }

    /// The account to sign with.
    pub fn account(&self) -> Result<Account, Failure> {
        if let Some(key) = &self.key {
            return key::read(key, self.chain);
        }
        if !is_local(self.client.base_url()) {
            return Err(Failure::usage(format!(
                "no key for {}: pass --key HEX|FILE or set BETH_KEY",
                self.client.base_url()
            )));
        }
        let account = development::first_account()
            .ok_or_else(|| Failure::new("no development account: pass --key"))?;
        self.output.note(&format!(
            "no key given: acting as the first development account {}",
            account.address()
        ));
        Ok(account)
    }

    /// True when the node is on this machine.
    pub fn is_local(&self) -> bool {
        is_local(self.client.base_url())
    }

    /// The address that signs, or the one named instead.
    pub fn address(&self, named: Option<&str>) -> Result<String, Failure> {
        match named {
            Some(address) => Ok(address.to_owned()),
            None => Ok(self.account()?.address().to_owned()),
        }
    }

    /// Signs a content, publishes it and waits until the node has processed it.
    pub async fn publish(
        &self,
        account: &Account,
        message_type: MessageType,
        content: &Value,
        channel: Option<&str>,
    ) -> Result<Message, Failure> {
        let message = account.sign_message(message_type, content, channel, beth_sdk::now());
        let length = message
            .item_content
            .as_deref()
            .map_or(0, |text| text.chars().count());
        let max = beth_protocol::limits::INLINE_CONTENT_CHARS_MAX;
        if length > max {
            return Err(Failure::new(format!(
                "the content has {length} characters and a message may have {max}: store it with `beth file put` and name its hash instead"
            )));
        }
        self.client.publish(&message, PUBLISH_DEADLINE).await?;
        Ok(message)
    }
}

/// Longest wait until a published message is processed.
pub const PUBLISH_DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);

/// True for URLs of this machine.
fn is_local(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', '?']).next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Text of an argument: itself, `@FILE`, or `@-` for standard input.
pub fn argument(text: &str) -> Result<String, Failure> {
    let bytes = match text.strip_prefix('@') {
        None => return Ok(text.to_owned()),
        Some("-") => {
            let mut bytes = Vec::new();
            let read = std::io::stdin()
                .lock()
                .take(ARGUMENT_BYTES_MAX)
                .read_to_end(&mut bytes);
            read.map_err(|error| Failure::new(format!("cannot read standard input: {error}")))?;
            bytes
        }
        Some(path) => read_bounded(Path::new(path))?,
    };
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{text} is no UTF-8 text")))
}

/// JSON of an argument; `name` is the argument's, for the sentence.
pub fn json_argument(name: &str, text: &str) -> Result<Value, Failure> {
    serde_json::from_str(&argument(text)?).map_err(|error| {
        Failure::usage(format!(
            "{name} is no JSON: {error}; quote it for the shell, e.g. '{{\"title\": \"hello\"}}'"
        ))
    })
}

/// An item hash of an argument.
pub fn hash_argument(text: &str) -> Result<ItemHash, String> {
    ItemHash::parse(text.trim())
        .map_err(|_| "not an item hash: 64 lowercase hexadecimal digits, or a CID".to_owned())
}

/// A file of at most 16 MiB.
pub fn read_bounded(path: &Path) -> Result<Vec<u8>, Failure> {
    let fail =
        |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", path.display()));
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .map_err(fail)?
        .take(ARGUMENT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    if bytes.len() as u64 > ARGUMENT_BYTES_MAX {
        return Err(Failure::usage(format!(
            "{} is larger than 16 MiB: store it with `beth file put`",
            path.display()
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn local_urls() {
        for local in [
            "http://127.0.0.1:4024",
            "http://localhost:1/x",
            "http://[::1]:4024",
            "http://127.9.9.9",
        ] {
            assert!(is_local(local), "{local}");
        }
        for remote in [
            "https://api.aleph.im",
            "http://10.0.0.1:4024",
            "http://localhost.example.org",
            "http://127.0.0.1.example.org",
        ] {
            assert!(!is_local(remote), "{remote}");
        }
    }

    #[test]
    fn arguments_may_be_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, "{\"a\": 1}").unwrap();
        let text = format!("@{}", path.display());
        assert_eq!(json_argument("--content", &text).unwrap()["a"], 1);
        assert!(
            json_argument("--content", "{a: 1}")
                .unwrap_err()
                .sentence
                .contains("--content is no JSON")
        );
    }
}
