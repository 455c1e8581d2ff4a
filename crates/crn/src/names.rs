//! Domain names that lead to guests, in the HAProxy of this host
//! (compute.md §24).
//!
//! ```text
//! name service ─▶ names of guests here ─┬─▶ map files: HAProxy reads them when it begins
//!                                       └─▶ its socket: what it has changes at once
//! ```
//!
//! The service is asked when a guest comes or goes, when an owner's names change,
//! and now and then. While it does not answer the names stay as they are. Nothing
//! reaches a file or the socket but host names and IPv4 addresses.

mod proxy;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use beth_protocol::ItemHash;
use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use crate::limits;

/// Map files, and the backends that use them.
const MAPS: [(&str, &str); 3] = [
    ("bk_http", "http_domains.map"),
    ("bk_ssl", "https_domains.map"),
    ("bk_ssh", "ssh_domains.map"),
];
/// Periods differ by up to this part, so that nodes do not ask together.
const SPREAD: f64 = 0.15;

/// What operators decide about domain names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NamesConfig {
    /// The admin socket of the host's HAProxy. Unset: no names lead to guests.
    pub haproxy_socket: Option<PathBuf>,
    /// Folder of its map files.
    pub map_folder: PathBuf,
    /// Who tells which names lead to guests of this node.
    pub service_url: String,
    /// How often it is asked, in seconds.
    pub period_seconds: u64,
}

impl Default for NamesConfig {
    fn default() -> NamesConfig {
        NamesConfig {
            haproxy_socket: None,
            map_folder: "/etc/haproxy".into(),
            service_url: "https://api.dns.public.aleph.sh/instances/list".into(),
            period_seconds: 600,
        }
    }
}

/// The names of a node's guests; all clones are one.
#[derive(Clone, Debug)]
pub struct Names(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    socket: PathBuf,
    folder: PathBuf,
    url: String,
    period: Duration,
    client: Client,
    changed: Notify,
    turn: Mutex<()>,
}

/// What the service tells of a name.
#[derive(Clone, Debug, Deserialize)]
struct Entry {
    name: String,
    item_hash: String,
    ipv4: Option<Ipv4>,
}

#[derive(Clone, Debug, Deserialize)]
struct Ipv4 {
    local: Option<String>,
}

/// Host names and where they lead, in the order of the service.
type Routes = Vec<(String, Ipv4Addr)>;

impl Names {
    /// Of the node of that name; `None` without a proxy, or for a node without a
    /// name of its own.
    pub fn new(config: &NamesConfig, domain_name: &str, client: Client) -> Option<Names> {
        if matches!(domain_name, "" | "localhost" | "vm.example.org") {
            return None;
        }
        Some(Names(Arc::new(Inner {
            socket: config.haproxy_socket.clone()?,
            folder: config.map_folder.clone(),
            url: format!("{}?crn={domain_name}", config.service_url),
            period: Duration::from_secs(config.period_seconds.max(1)),
            client,
            changed: Notify::new(),
            turn: Mutex::default(),
        })))
    }

    /// A guest came or went: the service is asked soon.
    pub fn guests_changed(&self) {
        self.0.changed.notify_one();
    }

    /// Asks now and then, and when guests change, until it is cancelled.
    pub async fn run(self, is_here: impl Fn(&ItemHash) -> bool, cancel: CancellationToken) {
        // The first time at any moment of a period.
        let mut wait = self.0.period.mul_f64(chance());
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.0.changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            let part = 1.0 + SPREAD * (2.0 * chance() - 1.0);
            wait = self.0.period.mul_f64(part);
            tokio::select! {
                () = cancel.cancelled() => return,
                done = self.refresh(&is_here) => if let Err(reason) = done {
                    tracing::warn!("domain names stay as they are: {reason}");
                }
            }
        }
    }

    /// Asks the service, and has files and proxy follow. The error is a sentence.
    pub async fn refresh(&self, is_here: &impl Fn(&ItemHash) -> bool) -> Result<(), String> {
        let _turn = self.0.turn.lock().await;
        let entries = tokio::time::timeout(limits::NAMES_DEADLINE, self.ask()).await;
        let entries = entries.map_err(|_| format!("{} does not answer", self.0.url))??;
        let routes = routes(&entries, is_here);
        let mut faults = Vec::new();
        for (_, name) in MAPS {
            if let Err(fault) = self.renew(name, &routes).await {
                faults.push(format!("{name}: {fault}"));
            }
        }
        match faults.is_empty() {
            true => Ok(()),
            false => Err(faults.join("; ")),
        }
    }

    /// What the proxy has: backend to name to address; `None` when it does not
    /// answer.
    pub async fn mappings(&self) -> Option<Value> {
        let mut all = Map::new();
        for (backend, name) in MAPS {
            let shown = proxy::shown(&self.0.socket, &self.0.folder.join(name)).await;
            let shown = shown.ok()?.into_iter();
            let shown: Map<String, Value> = shown.map(|(name, at)| (name, at.into())).collect();
            all.insert(backend.to_owned(), shown.into());
        }
        Some(all.into())
    }

    async fn ask(&self) -> Result<Vec<Entry>, String> {
        let wrong = |error: reqwest::Error| format!("the name service: {}", error.without_url());
        let response = self.0.client.get(&self.0.url).send().await;
        let response = response.and_then(reqwest::Response::error_for_status);
        let mut response = response.map_err(wrong)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(wrong)? {
            body.extend_from_slice(&chunk);
            if body.len() > limits::NAMES_BYTES_MAX {
                return Err("the name service tells too much".to_owned());
            }
        }
        let list: Vec<Value> = serde_json::from_slice(&body)
            .map_err(|error| format!("the name service tells no list: {error}"))?;
        // One that nobody understands does not take the others with it.
        let entries = list.into_iter();
        Ok(entries
            .filter_map(|entry| serde_json::from_value(entry).ok())
            .collect())
    }

    /// One map: its file, and the proxy when the file or what it has differs.
    async fn renew(&self, name: &str, routes: &Routes) -> Result<(), String> {
        let path = self.0.folder.join(name);
        let text = map_file(routes);
        let written = tokio::fs::read_to_string(&path).await.unwrap_or_default();
        if written != text {
            let path = path.clone();
            let write = move || replace(&path, &text);
            let done = tokio::task::spawn_blocking(write).await;
            done.map_err(|error| error.to_string())?
                .map_err(|error| error.to_string())?;
        } else if let Ok(shown) = proxy::shown(&self.0.socket, &path).await
            && shown == sorted(routes)
        {
            return Ok(());
        }
        for command in commands(&path, routes) {
            proxy::tell(&self.0.socket, &command).await?;
        }
        Ok(())
    }
}

/// Any number from 0 to 1.
fn chance() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}

/// Routes of guests that are here, in the order of the service.
fn routes(entries: &[Entry], is_here: &impl Fn(&ItemHash) -> bool) -> Routes {
    let here = entries.iter().filter(|entry| {
        let item_hash = ItemHash::parse(&entry.item_hash);
        item_hash.is_ok_and(|item_hash| is_here(&item_hash)) && is_host_name(&entry.name)
    });
    let routes = here.filter_map(|entry| {
        let local = entry.ipv4.as_ref()?.local.as_deref()?;
        Some((entry.name.clone(), guest(local)?))
    });
    routes.take(limits::NAMES_MAX).collect()
}

/// The guest of a network whose first address, with its mask, is told.
fn guest(local: &str) -> Option<Ipv4Addr> {
    let (address, _) = local.split_once('/').unwrap_or((local, ""));
    let address: Ipv4Addr = address.parse().ok()?;
    Some(match address.octets() {
        [a, b, c, 1] => Ipv4Addr::new(a, b, c, 2),
        _ => address,
    })
}

fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let fits = (1..=63).contains(&label.len());
        fits && (label.bytes()).all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn sorted(routes: &Routes) -> Vec<(String, String)> {
    let mut sorted: Vec<_> = (routes.iter())
        .map(|(name, at)| (name.clone(), at.to_string()))
        .collect();
    sorted.sort();
    sorted
}

fn map_file(routes: &Routes) -> String {
    let lines = sorted(routes).into_iter();
    lines.map(|(name, at)| format!("{name} {at}\n")).collect()
}

fn commands(path: &Path, routes: &Routes) -> Vec<String> {
    let file = path.display();
    let mut commands = vec![format!("clear map {file}")];
    commands.extend((routes.iter()).map(|(name, at)| format!("add map {file} {name} {at}")));
    commands
}

/// Whole or as before, readable for the proxy.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut part = tempfile::Builder::new()
        .prefix(".names")
        .tempfile_in(folder)?;
    std::io::Write::write_all(&mut part, text.as_bytes())?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    part.as_file().set_permissions(readable)?;
    part.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn vector() -> Value {
        serde_json::from_str(include_str!("../../../vectors/crn/haproxy.json")).unwrap()
    }

    #[test]
    fn names_of_guests_here_are_the_recorded_ones() {
        let vector = vector();
        let entries: Vec<Entry> = serde_json::from_value(vector["dns_list"].clone()).unwrap();
        let here = |hash: &ItemHash| vector["local_vms"][0] == hash.as_str();
        let routes = routes(&entries, &here);
        assert_eq!(map_file(&routes), vector["map_file"]);
        assert_eq!(
            serde_json::json!(commands(Path::new("<file>"), &routes)),
            vector["runtime_commands_in_order"]
        );
    }

    #[test]
    fn nothing_but_names_and_addresses_passes() {
        let entry = |name: &str, local: &str| Entry {
            name: name.into(),
            item_hash: ItemHash::of_bytes(b"guest").to_string(),
            ipv4: Some(Ipv4 {
                local: Some(local.into()),
            }),
        };
        let all = |_: &ItemHash| true;
        for (name, local) in [
            ("a.org\nclear map x", "172.16.6.1/32"),
            ("a.org;help", "172.16.6.1/32"),
            ("a b.org", "172.16.6.1/32"),
            ("", "172.16.6.1/32"),
            ("a..org", "172.16.6.1/32"),
            ("a.org", "172.16.6.1; quit"),
            ("a.org", ""),
        ] {
            assert!(
                routes(&[entry(name, local)], &all).is_empty(),
                "{name:?} {local:?}"
            );
        }
        let kept = routes(&[entry("a-1.example.org", "172.16.6.77/24")], &all);
        assert_eq!(kept[0].1, Ipv4Addr::new(172, 16, 6, 77));
    }
}
