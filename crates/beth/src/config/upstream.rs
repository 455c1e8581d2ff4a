//! The `config.yml` of a node of upstream, read unchanged (core-api.md §13.1).
//!
//! ```text
//!  config.yml ─▶ (section, key, value) ─▶ SAME      ─▶ a key of ours
//!                                     └─▶ NEEDLESS  ─▶ a note why it has no effect
//!                                     └─▶ neither   ─▶ nothing: upstream ignores what it does not know
//! ```
//!
//! Values may be written in any type that converts, as upstream allows: `'5000'`
//! for 5000, `'no'` for false. What does not convert is an error with its key.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value as Json;
use toml::Value;

use super::layers::{Layers, Source};

/// How a value of upstream becomes one of ours.
#[derive(Clone, Copy)]
enum As {
    Text,
    List,
    Integer,
    Flag,
    /// Hours into seconds.
    Hours,
    /// Months into days.
    Months,
    /// A port of every address.
    Listen,
    /// A TCP port of gossip on every address.
    Multiaddress,
}

/// Keys that mean the same, and ours.
const SAME: &[(&str, As, &str)] = &[
    (
        "aleph.reference_node_url",
        As::Text,
        "ccn.reference_node_url",
    ),
    ("aleph.queue_topic", As::Text, "ccn.p2p.message_topic"),
    ("aleph.auth.public_key", As::Text, "ccn.auth.public_key"),
    (
        "aleph.auth.max_token_age",
        As::Integer,
        "ccn.auth.max_token_age_seconds",
    ),
    (
        "aleph.corechannel.address",
        As::Text,
        "ccn.rules.corechannel_address",
    ),
    (
        "aleph.balances.addresses",
        As::List,
        "ccn.rules.balances_addresses",
    ),
    (
        "aleph.credit_balances.addresses",
        As::List,
        "ccn.rules.credits_addresses",
    ),
    (
        "aleph.credit_balances.channels",
        As::List,
        "ccn.rules.credits_channels",
    ),
    (
        "aleph.scoring.addresses",
        As::List,
        "ccn.rules.scoring_addresses",
    ),
    (
        "aleph.scoring.channel",
        As::Text,
        "ccn.rules.scoring_channel",
    ),
    (
        "aleph.scoring.retention_months",
        As::Months,
        "ccn.jobs.measurement_days",
    ),
    (
        "aleph.jobs.cron.period",
        As::Hours,
        "ccn.jobs.period_seconds",
    ),
    ("p2p.http_port", As::Listen, "ccn.listen"),
    ("p2p.port", As::Multiaddress, "ccn.p2p.listen"),
    ("p2p.alive_topic", As::Text, "ccn.p2p.alive_topic"),
    ("p2p.peers", As::List, "ccn.p2p.bootstrap"),
    (
        "p2p.reconnect_delay",
        As::Integer,
        "ccn.p2p.reconnect_delay_seconds",
    ),
    (
        "p2p.max_peer_age",
        As::Integer,
        "ccn.p2p.max_peer_age_seconds",
    ),
    (
        "aleph.corechannel.cache_ttl",
        As::Integer,
        "ccn.p2p.registry_seconds",
    ),
    ("storage.folder", As::Text, "ccn.folder"),
    (
        "storage.garbage_collector_period",
        As::Hours,
        "ccn.jobs.garbage_collector_seconds",
    ),
    (
        "storage.max_file_size",
        As::Integer,
        "ccn.storage.max_file_size",
    ),
    (
        "storage.max_unauthenticated_upload_file_size",
        As::Integer,
        "ccn.storage.max_unauthenticated_upload_file_size",
    ),
    (
        "websocket.heartbeat",
        As::Integer,
        "ccn.websocket.heartbeat_seconds",
    ),
    (
        "websocket.max_message_connections",
        As::Integer,
        "ccn.websocket.max_message_connections",
    ),
    (
        "websocket.max_status_connections",
        As::Integer,
        "ccn.websocket.max_status_connections",
    ),
    ("ipfs.enabled", As::Flag, "ccn.ipfs.enabled"),
    (
        "ipfs.max_upload_file_size",
        As::Integer,
        "ccn.ipfs.max_upload_file_size",
    ),
    (
        "ipfs.max_unauthenticated_upload_file_size",
        As::Integer,
        "ccn.ipfs.max_unauthenticated_upload_file_size",
    ),
    (
        "ipfs.max_upload_car_size",
        As::Integer,
        "ccn.ipfs.max_upload_car_size",
    ),
    ("ipfs.host", As::Text, "ccn.ipfs.host"),
    ("ipfs.port", As::Integer, "ccn.ipfs.port"),
    ("ipfs.scheme", As::Text, "ccn.ipfs.scheme"),
    ("ipfs.peers", As::List, "ccn.ipfs.peers"),
];

/// What has no counterpart here, and why. A name without a dot is a section.
const NEEDLESS: &[(&str, &str)] = &[
    ("postgres", "state is kept in SQLite in `ccn.folder`"),
    ("rabbitmq", "there is one process and no message broker"),
    ("redis", "there is one process and no cache server"),
    ("ipfs", "this node has an IPFS peer inside"),
    ("sentry", "failures are in the log and in the metrics"),
    ("perf", "counts are kept, not cached"),
    ("ethereum", "chains are not read yet"),
    ("bsc", "chains are not read yet"),
    ("tezos", "chains are not read yet"),
    ("nuls2", "chains are not read yet"),
    ("aleph.indexer_url", "chains are not read yet"),
    (
        "logging",
        "the environment variable BETH_LOG sets what is logged",
    ),
    ("p2p.control_port", "gossip is part of this process"),
    ("p2p.daemon_host", "gossip is part of this process"),
    ("p2p.mq_host", "gossip is part of this process"),
    ("p2p.topics", "the topics are those of messages and of life"),
    ("p2p.clients", "other nodes are asked over gossip and HTTP"),
    ("storage.store_files", "files are always kept"),
    ("aleph.jobs", "queues are bounded by ccn/src/limits.rs"),
    ("aleph.cache", "counts are kept, not cached"),
];

/// Keys a core node needs and upstream has a default for.
const FOLDER: &str = "/var/lib/pyaleph";
/// Variable of the environment that moves upstream's API.
const API_PORT: &str = "CCN_CONFIG_API_PORT";

/// The layer of such a file, and notes about what of it has no effect.
pub fn read(
    text: &str,
    path: &Path,
    variables: &[(String, String)],
) -> anyhow::Result<(Layers, Vec<String>)> {
    let document: Json = serde_saphyr::from_str(text).context("this is no YAML")?;
    let mut values = BTreeMap::new();
    match document {
        Json::Object(_) => flatten("", &document, &mut values),
        Json::Null => {}
        _ => bail!("a configuration is a mapping of sections, see the documentation of the node"),
    }
    check_clients(&values)?;
    let name = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy();
    let mut layers = Layers::default();
    layers.set("ccn.folder", FOLDER.into(), Source::Default)?;
    for (key, form, ours) in SAME {
        let Some(value) = values.get(*key).filter(|value| !value.is_null()) else {
            continue;
        };
        let converted = form
            .convert(value)
            .with_context(|| format!("{key}: {value} cannot be understood"))?;
        layers.set(ours, converted, Source::File(format!("{name}: {key}")))?;
    }
    if let Some((_, port)) = variables.iter().find(|(name, _)| name == API_PORT) {
        let listen = As::Listen
            .convert(&Json::String(port.clone()))
            .with_context(|| format!("the environment variable {API_PORT} is no port"))?;
        layers.set("ccn.listen", listen, Source::Environment(API_PORT.into()))?;
    }
    // Where upstream keeps the key of a node.
    let key = path
        .parent()
        .map(|folder| folder.join("keys/node-secret.pkcs8.der"));
    if let Some(key) = key.filter(|key| key.is_file()) {
        let source = Source::File("keys/node-secret.pkcs8.der".into());
        layers.set("ccn.p2p.identity", key.display().to_string().into(), source)?;
    }
    Ok((layers, notes(&values)))
}

/// Why keys of this file have no effect, a sentence for each reason.
fn notes(values: &BTreeMap<String, Json>) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for key in values.keys() {
        let is_ours = SAME.iter().any(|(same, ..)| same == key);
        let reason = NEEDLESS.iter().find(|(needless, _)| {
            key.strip_prefix(needless)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        let Some((_, reason)) = reason.filter(|_| !is_ours) else {
            continue;
        };
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, keys)) => keys.push(key),
            None => reasons.push((reason, vec![key])),
        }
    }
    let sentence = |(reason, keys): (&str, Vec<&str>)| {
        format!("without effect: {} ({reason})", keys.join(", "))
    };
    reasons.into_iter().map(sentence).collect()
}

/// Upstream refuses this one too.
fn check_clients(values: &BTreeMap<String, Json>) -> anyhow::Result<()> {
    let asks = values
        .get("p2p.clients")
        .and_then(Json::as_array)
        .is_some_and(|clients| clients.iter().any(|client| client == "protocol"));
    if asks {
        bail!("p2p.clients: `protocol` no longer exists; write [http]");
    }
    Ok(())
}

fn flatten(above: &str, value: &Json, into: &mut BTreeMap<String, Json>) {
    match value {
        Json::Object(members) => {
            for (name, value) in members {
                let key = if above.is_empty() {
                    name.clone()
                } else {
                    format!("{above}.{name}")
                };
                flatten(&key, value, into);
            }
        }
        plain => drop(into.insert(above.to_owned(), plain.clone())),
    }
}

impl As {
    fn convert(self, value: &Json) -> anyhow::Result<Value> {
        Ok(match self {
            As::Text => Value::String(written(value)?),
            As::List => {
                let items = value.as_array().context("a list is needed")?;
                let items = items.iter().map(|item| Ok(Value::String(written(item)?)));
                Value::Array(items.collect::<anyhow::Result<_>>()?)
            }
            As::Integer => {
                let text = written(value)?;
                Value::Integer(text.trim().parse().context("a whole number is needed")?)
            }
            As::Flag => match written(value)?.to_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Value::Boolean(true),
                "false" | "no" | "off" | "0" => Value::Boolean(false),
                _ => bail!("true or false is needed"),
            },
            As::Hours => {
                let hours: f64 = written(value)?.trim().parse().context("hours are needed")?;
                let seconds = (hours * 3_600.0).round();
                if !(0.0..=1e12).contains(&seconds) {
                    bail!("hours are needed");
                }
                Value::Integer(seconds as i64)
            }
            As::Months => {
                let months: u32 = written(value)?
                    .trim()
                    .parse()
                    .context("months are needed")?;
                Value::Integer(i64::from(months) * 365 / 12)
            }
            As::Listen => Value::String(format!("0.0.0.0:{}", port(value)?)),
            As::Multiaddress => Value::String(format!("/ip4/0.0.0.0/tcp/{}", port(value)?)),
        })
    }
}

fn port(value: &Json) -> anyhow::Result<u16> {
    written(value)?
        .trim()
        .parse()
        .context("a port from 0 to 65535 is needed")
}

/// A plain value as text.
fn written(value: &Json) -> anyhow::Result<String> {
    match value {
        Json::String(text) => Ok(text.clone()),
        Json::Number(_) | Json::Bool(_) => Ok(value.to_string()),
        _ => bail!("a plain value is needed"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::read as load;
    use super::*;

    /// In the manner of a deployed node, with obsolete sections.
    const DEPLOYED: &str = "
nuls2:
  chain_id: 1
  enabled: false
ethereum:
  enabled: True
  api_url: https://eth.example/key
  start_height: 11474360
mongodb:
  uri: mongodb://localhost
postgres:
  host: postgres
  port: '5432'
storage:
  folder: /data/aleph
  max_file_size: '5000'
  garbage_collector_period: 0.5
ipfs:
  enabled: 'no'
  host: ipfs
aleph:
  queue_topic: ALEPH-TEST
  balances:
    addresses: ['0xA', '0xB']
p2p:
  port: 5025
  http_port: '5024'
  daemon_host: p2p-service
  peers:
    - /dns/api2.example/tcp/4025/p2p/QmA
";

    #[test]
    fn a_deployed_file_is_understood() {
        let path = Path::new("config.yml");
        let loaded = load(DEPLOYED, path, &[], &[]).unwrap();
        let ccn = loaded.config.ccn.unwrap();
        assert_eq!(ccn.listen.to_string(), "0.0.0.0:5024");
        assert_eq!(ccn.folder, Path::new("/data/aleph"));
        assert_eq!(ccn.p2p.listen, "/ip4/0.0.0.0/tcp/5025");
        assert_eq!(ccn.p2p.bootstrap, ["/dns/api2.example/tcp/4025/p2p/QmA"]);
        assert_eq!(ccn.rules.balances_addresses, ["0xA", "0xB"]);
        assert_eq!(ccn.storage.max_file_size, 5_000);
        assert!(!ccn.ipfs.enabled);
        assert_eq!(ccn.jobs.garbage_collector_seconds, 1_800);
        let source = loaded.layers.source("ccn.listen").to_string();
        assert_eq!(source, "config.yml: p2p.http_port");
        let notes = loaded.notes.join("\n");
        assert!(notes.contains("postgres.host, postgres.port"), "{notes}");
        assert!(!notes.contains("mongodb"), "{notes}");
        let moved = [(API_PORT.to_owned(), "7".to_owned())];
        let loaded = load(DEPLOYED, path, &moved, &["ccn.p2p.alive_topic=x".into()]).unwrap();
        let ccn = loaded.config.ccn.unwrap();
        assert_eq!((ccn.listen.port(), ccn.p2p.alive_topic.as_str()), (7, "x"));
    }

    #[test]
    fn an_empty_file_takes_upstreams_defaults() {
        let loaded = load("", Path::new("config.yaml"), &[], &[]).unwrap();
        assert_eq!(loaded.config.ccn.unwrap().folder, Path::new(FOLDER));
    }

    #[test]
    fn what_does_not_convert_is_an_error_with_its_key() {
        for (text, word) in [
            ("p2p: {port: abc}", "p2p.port"),
            ("p2p: {peers: x}", "p2p.peers"),
            ("storage: {max_file_size: [1]}", "storage.max_file_size"),
            (
                "aleph: {jobs: {cron: {period: -1}}}",
                "aleph.jobs.cron.period",
            ),
            ("p2p: {clients: [protocol]}", "p2p.clients"),
            ("- a list", "mapping"),
            ("a: [", "YAML"),
        ] {
            let error = load(text, Path::new("config.yml"), &[], &[]).unwrap_err();
            assert!(format!("{error:#}").contains(word), "{error:#}");
        }
    }
}
