//! The only place that changes the host's network: taps and addresses through
//! `ip`, rules through `nft`, switches through `/proc/sys/net`.
//!
//! Programs get argument vectors or scripts on their standard input, never a
//! shell. Taps carry the mark of the folder they belong to as alias; others are
//! not touched.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use beth_protocol::ItemHash;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::config::is_interface_name;
use super::error::{LanError, unusable};
use crate::limits;

/// Number of CAP_NET_ADMIN.
const NET_ADMIN: u32 = 12;

/// Prefix of the alias of our taps.
const MARK: &str = "beth:";

/// The programs that change the host.
#[derive(Clone, Debug)]
pub(super) struct Host {
    ip: PathBuf,
    nft: PathBuf,
    mark: String,
}

/// A tap that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Ours.
    Us,
    /// Of a node with another folder.
    OtherNode,
    /// Of something else.
    Stranger,
}

impl Host {
    /// Finds the programs and asks whether this process may use them; else the
    /// sentence that says what is missing.
    pub(super) fn find(folder: &Path) -> Result<Host, String> {
        let mark = ItemHash::of_bytes(folder.as_os_str().as_encoded_bytes());
        let mark = format!("{MARK}{}", mark.as_str().get(..16).unwrap_or_default());
        let ip = program("ip").ok_or("`ip` is not installed: apt-get install iproute2")?;
        let nft = program("nft").ok_or("`nft` is not installed: apt-get install nftables")?;
        match may_administer() {
            true => Ok(Host { ip, nft, mark }),
            false => Err("this process may not change the network: run it as root, or give it the capability CAP_NET_ADMIN".into()),
        }
    }

    /// Runs a script of the packet filter as one transaction.
    pub(super) async fn filter(&self, script: &str) -> Result<(), LanError> {
        let arguments = ["-f", "-"];
        run(&self.nft, &arguments, script).await.map(drop)
    }

    /// Runs lines of `ip`; `force` goes on after a line that fails.
    pub(super) async fn batch(&self, lines: &str, force: Force) -> Result<(), LanError> {
        let arguments: &[&str] = match force {
            Force::Yes => &["-force", "-batch", "-"],
            Force::No => &["-batch", "-"],
        };
        match run(&self.ip, arguments, lines).await {
            Err(LanError::Command { .. }) if force == Force::Yes => Ok(()),
            other => other.map(drop),
        }
    }

    /// The taps of this host, ours and others', by number.
    pub(super) async fn taps(&self) -> Result<BTreeMap<u32, Owner>, LanError> {
        let links = self.query(&["-j", "link", "show"]).await?;
        let mut taps = BTreeMap::new();
        for link in links.as_array().into_iter().flatten() {
            let text = |name: &str| link.get(name).and_then(Value::as_str);
            let number = text("ifname").and_then(|name| name.strip_prefix("vmtap"));
            let Some(number) = number.and_then(|number| number.parse().ok()) else {
                continue;
            };
            let owner = match text("ifalias") {
                Some(mark) if mark == self.mark => Owner::Us,
                Some(mark) if mark.starts_with(MARK) => Owner::OtherNode,
                _ => Owner::Stranger,
            };
            taps.insert(number, owner);
        }
        Ok(taps)
    }

    /// The mark of our taps.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// The interface of the default route.
    pub(super) async fn default_interface(&self) -> Result<Option<String>, LanError> {
        for family in ["-4", "-6"] {
            let routes = self
                .query(&["-j", family, "route", "show", "default"])
                .await?;
            let name = routes
                .as_array()
                .into_iter()
                .flatten()
                .find_map(|route| route.get("dev").and_then(Value::as_str));
            if let Some(name) = name.filter(|name| is_interface_name(name)) {
                return Ok(Some(name.to_owned()));
            }
        }
        Ok(None)
    }

    /// The first IPv4 address of an interface.
    pub(super) async fn ipv4_of(&self, interface: &str) -> Result<Option<Ipv4Addr>, LanError> {
        let arguments = ["-j", "-4", "address", "show", "dev", interface];
        let links = self.query(&arguments).await?;
        let address = links
            .get(0)
            .and_then(|link| link.pointer("/addr_info/0/local"))
            .and_then(Value::as_str);
        Ok(address.and_then(|address| address.parse().ok()))
    }

    /// The addresses that are answered for on an interface.
    pub(super) async fn proxied(&self, interface: &str) -> Result<Vec<IpAddr>, LanError> {
        let arguments = ["-6", "neighbour", "show", "proxy", "dev", interface];
        let text = run(&self.ip, &arguments, "").await?;
        let first = |line: &str| line.split_whitespace().next()?.parse().ok();
        Ok(text.lines().filter_map(first).collect())
    }

    /// The chains of our table.
    pub(super) async fn chains(&self) -> Result<Vec<String>, LanError> {
        let listing = self.chain_listing().await?;
        let ours = listing.iter().filter(|chain| {
            word(chain, "family") == "inet" && word(chain, "table") == super::rules::TABLE
        });
        Ok(ours.map(|chain| word(chain, "name").to_owned()).collect())
    }

    /// Chains of others which drop what no rule of theirs lets pass.
    pub(super) async fn closed_chains(&self) -> Result<Vec<String>, LanError> {
        let listing = self.chain_listing().await?;
        let closed = listing
            .iter()
            .filter(|chain| word(chain, "hook") == "forward" && word(chain, "policy") == "drop");
        let named = closed.map(|chain| {
            let of = |name| word(chain, name);
            format!("{} {} {}", of("family"), of("table"), of("name"))
        });
        Ok(named.collect())
    }

    async fn chain_listing(&self) -> Result<Vec<Value>, LanError> {
        let text = run(&self.nft, &["-j", "list", "chains"], "").await?;
        let listing: Value = serde_json::from_str(&text).map_err(unusable)?;
        let objects = listing.get("nftables").and_then(Value::as_array);
        let chains = objects.into_iter().flatten();
        Ok(chains
            .filter_map(|object| object.get("chain").cloned())
            .collect())
    }

    async fn query(&self, arguments: &[&str]) -> Result<Value, LanError> {
        let text = run(&self.ip, arguments, "").await?;
        match text.trim() {
            "" => Ok(Value::Array(Vec::new())),
            text => serde_json::from_str(text).map_err(unusable),
        }
    }
}

/// Whether lines after one that fails are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Force {
    Yes,
    No,
}

/// Sets a switch of the kernel; `name` with slashes, below `/proc/sys/net`.
pub(super) fn switch(name: &str, value: &str) -> Result<(), LanError> {
    if switched(name).as_deref() == Some(value) {
        return Ok(());
    }
    let path = Path::new("/proc/sys/net").join(name);
    std::fs::write(&path, value).map_err(|error| LanError::Switch {
        path,
        value: value.into(),
        reason: error.to_string(),
    })
}

/// How a switch of the kernel is set; `None` when there is none.
pub(super) fn switched(name: &str) -> Option<String> {
    let text = std::fs::read_to_string(Path::new("/proc/sys/net").join(name)).ok()?;
    Some(text.trim().to_owned())
}

/// Name servers of the host that guests can use: those on its loopback
/// interface are left out.
pub(super) fn resolvers() -> Vec<IpAddr> {
    let files = ["/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"];
    let texts = files
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok());
    texts
        .map(|text| resolvers_of(&text))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

fn resolvers_of(text: &str) -> Vec<IpAddr> {
    let server = |line: &str| line.trim().strip_prefix("nameserver")?.trim().parse().ok();
    text.lines()
        .filter_map(server)
        .filter(|address: &IpAddr| !address.is_loopback() && !address.is_unspecified())
        .take(limits::NAME_SERVERS_MAX)
        .collect()
}

fn word<'a>(chain: &'a Value, name: &str) -> &'a str {
    chain.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn program(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

fn may_administer() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> NET_ADMIN & 1 == 1)
}

async fn run(program: &Path, arguments: &[&str], input: &str) -> Result<String, LanError> {
    let wrong = |reason: String| LanError::Command {
        program: program.to_owned(),
        arguments: arguments.join(" "),
        reason: reason
            .trim()
            .chars()
            .take(limits::ERROR_BYTES_MAX)
            .collect(),
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| wrong(error.to_string()))?;
    let stdin = child.stdin.take();
    let whole = async {
        if let Some(mut stdin) = stdin {
            // A program that ends before it read everything says why below.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(limits::HOST_COMMAND_DEADLINE, whole)
        .await
        .map_err(|_| {
            wrong(format!(
                "no end within {} seconds",
                limits::HOST_COMMAND_DEADLINE.as_secs()
            ))
        })?
        .map_err(|error| wrong(error.to_string()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(wrong(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_that_guests_can_use() {
        for (text, expected) in [
            ("", vec![]),
            ("nameserver 127.0.0.53\nsearch x", vec![]),
            (
                "# c\nnameserver 10.0.0.2\n nameserver\t2606:4700:4700::1111\nnameserver ::1\nnameserver fe80::1%eth0\n",
                vec!["10.0.0.2", "2606:4700:4700::1111"],
            ),
        ] {
            let found: Vec<String> = resolvers_of(text).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
