//! What `beth up` says when the network is ready: one line of JSON for scripts,
//! a banner for people. The line is also kept as `network.json`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use beth_protocol::ItemHash;
use beth_sdk::development;
use serde::Serialize;

use super::folder::write_whole;
use super::layout::Layout;

/// A running network. The names of the members are a contract.
#[derive(Debug, Serialize)]
pub struct Network {
    core_nodes: Vec<CoreNode>,
    compute_nodes: Vec<ComputeNode>,
    accounts: Vec<FundedAccount>,
    images: BTreeMap<&'static str, ItemHash>,
    pid: u32,
}

#[derive(Debug, Serialize)]
struct CoreNode {
    url: String,
    peer_id: String,
}

#[derive(Debug, Serialize)]
struct ComputeNode {
    url: String,
    node_hash: String,
}

#[derive(Debug, Serialize)]
struct FundedAccount {
    address: String,
    private_key: String,
    chain: String,
}

impl Network {
    /// The network of a layout, with the process of the caller.
    pub fn new(layout: &Layout, peer_ids: &[String], image: Option<&ItemHash>) -> Network {
        let core = layout.core.iter().zip(peer_ids);
        let accounts = development::accounts().into_iter().zip(development::KEYS);
        Network {
            core_nodes: core
                .map(|(core, peer_id)| CoreNode {
                    url: core.place.url(),
                    peer_id: peer_id.clone(),
                })
                .collect(),
            compute_nodes: layout
                .compute
                .iter()
                .map(|compute| ComputeNode {
                    url: compute.place.url(),
                    node_hash: compute.hash.to_string(),
                })
                .collect(),
            accounts: accounts
                .map(|(account, key)| FundedAccount {
                    address: account.address().to_owned(),
                    private_key: format!("0x{key}"),
                    chain: account.chain().to_string(),
                })
                .collect(),
            images: image
                .map(|hash| ("debian12", hash.clone()))
                .into_iter()
                .collect(),
            pid: std::process::id(),
        }
    }

    /// Keeps the line in the network's folder.
    pub fn write(&self, dir: &Path) -> anyhow::Result<()> {
        write_whole(&dir.join("network.json"), self.to_line()?.as_bytes())
    }

    /// One line of JSON.
    pub fn to_line(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// For people.
    pub fn to_banner(&self, layout: &Layout, took: Duration, has_guest: bool) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.banner(&mut text, layout, took, has_guest);
        text
    }

    fn banner(
        &self,
        out: &mut String,
        layout: &Layout,
        took: Duration,
        has_guest: bool,
    ) -> std::fmt::Result {
        writeln!(
            out,
            "\nA local Aleph network is ready ({:.1} s).\n",
            took.as_secs_f64()
        )?;
        for (index, core) in self.core_nodes.iter().enumerate() {
            let role = if index == 0 { "   (and placement)" } else { "" };
            writeln!(out, "  core node {}      {}{role}", index + 1, core.url)?;
        }
        for (index, compute) in self.compute_nodes.iter().enumerate() {
            writeln!(out, "  compute node {}   {}", index + 1, compute.url)?;
        }
        for (name, item_hash) in &self.images {
            writeln!(
                out,
                "  image {name}   {item_hash}   (root disk of instances)"
            )?;
        }
        writeln!(
            out,
            "\nAccounts, each with 1 000 000 ALEPH. These keys are public: never use them elsewhere.\n"
        )?;
        for (index, account) in self.accounts.iter().enumerate() {
            writeln!(
                out,
                "  ({index}) {}  {}",
                account.address, account.private_key
            )?;
        }
        let node = match self.core_nodes.first() {
            Some(core) if core.url != "http://127.0.0.1:4024" => format!(" --node {}", core.url),
            _ => String::new(),
        };
        let beth = program();
        writeln!(out, "\nTry, in another terminal:\n")?;
        if has_guest {
            writeln!(out, "  {beth} program deploy examples/fastapi{node}")?;
        }
        writeln!(out, "  {beth} program deploy examples/wasm-hello{node}")?;
        writeln!(
            out,
            "  {beth} post create --type note --content '{{\"title\":\"hello\"}}'{node}"
        )?;
        writeln!(out, "  {beth} message watch{node}\n")?;
        if !has_guest {
            writeln!(
                out,
                "Python functions need guest images: run `make guest`, then start again. Wasm functions work without.\n"
            )?;
        }
        writeln!(
            out,
            "State and logs: {}   Ctrl-C stops, --fresh begins anew.",
            layout.dir.display()
        )
    }
}

/// This program as its user called it, from the working folder.
fn program() -> String {
    let called = std::env::args().next().unwrap_or_else(|| "beth".to_owned());
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| {
        Some(
            Path::new(&called)
                .strip_prefix(here)
                .ok()?
                .display()
                .to_string(),
        )
    });
    below.unwrap_or(called)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::up::layout::Ports;

    #[test]
    fn the_line_keeps_the_contract() {
        let layout = Layout::new(Path::new("/x"), Ports::from_base(4020, 2, 1).unwrap());
        let network = Network::new(&layout, &["p1".into(), "p2".into()], None);
        let line = network.to_line().unwrap();
        assert!(!line.contains('\n'));
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            json["core_nodes"][1],
            serde_json::json!({"url": "http://127.0.0.1:4034", "peer_id": "p2"})
        );
        assert_eq!(json["compute_nodes"][0]["url"], "http://127.0.0.1:4020");
        assert_eq!(json["accounts"].as_array().unwrap().len(), 10);
        assert_eq!(
            json["accounts"][0],
            serde_json::json!({
                "address": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "chain": "ETH",
                "private_key": "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
            })
        );
        assert_eq!(json["pid"], std::process::id());
    }

    #[test]
    fn the_banner_shows_every_key_and_what_is_missing() {
        let layout = Layout::new(Path::new("/x"), Ports::from_base(5020, 1, 1).unwrap());
        let banner = Network::new(&layout, &["p1".into()], None).to_banner(
            &layout,
            Duration::from_millis(1_234),
            false,
        );
        assert!(development::KEYS.iter().all(|key| banner.contains(key)));
        assert!(
            banner.contains("make guest")
                && banner.contains("--node http://127.0.0.1:5024")
                && banner.contains("(1.2 s)")
        );
    }
}
