//! What a process is told: one `beth.toml`, one section a role.
//!
//! ```text
//!  [ccn]        a core node      (beth ccn)
//!  [scheduler]  placement        (beth ccn, beside the core node)
//!  [crn]        a compute node   (beth crn)
//!  [log]        what is logged, and how
//!
//!  --set ccn.listen=127.0.0.1:5024      wins over
//!  BETH_CCN_LISTEN=127.0.0.1:5024       ─▶ ccn.listen
//!  BETH_CCN_P2P__LISTEN=…               ─▶ ccn.p2p.listen    wins over
//!  beth.toml, or upstream's config.yml  (see [`upstream`])   wins over
//!  defaults                             (deploy/beth.toml shows them all)
//! ```
//!
//! Unknown sections and keys of `beth.toml` are errors. `beth config` prints what
//! comes out and where each value is from.

pub mod layers;
pub mod shown;
mod upstream;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use beth_ccn::CcnConfig;
use beth_crn::config::CrnConfig;
use serde::{Deserialize, Serialize};

use layers::Layers;

/// The sections of roles: one that is there runs.
pub const ROLES: [&str; 3] = ["ccn", "crn", "scheduler"];

/// What a process is told.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is logged, and how.
    #[serde(default)]
    pub log: LogConfig,
    /// A core node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ccn: Option<CcnConfig>,
    /// Placement, beside the core node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<beth_scheduler::Config>,
    /// A compute node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crn: Option<CrnConfig>,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// How lines are written.
    pub format: LogFormat,
    /// A level, and levels of parts: `info,libp2p_swarm=warn`.
    pub level: String,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: an object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            format: LogFormat::default(),
            level: "info,libp2p_swarm=warn,libp2p_gossipsub=error".into(),
        }
    }
}

/// Where a process is told it.
#[derive(Clone, Debug, clap::Args)]
pub struct Told {
    /// Config file: beth.toml, or the config.yml of a node of upstream
    #[arg(long = "config", value_name = "FILE")]
    pub file: PathBuf,
    /// A value that wins over file and environment, such as ccn.listen=127.0.0.1:4024
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// A configuration, and how it came to be.
#[derive(Debug)]
pub struct Loaded {
    /// What counts.
    pub config: Config,
    /// Which values are not defaults, and why.
    pub layers: Layers,
    /// What of the file has no effect, in sentences.
    pub notes: Vec<String>,
}

impl Told {
    /// Reads the file, the environment of this process and the flags.
    pub fn load(&self) -> anyhow::Result<Loaded> {
        let variables: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        self.load_with(&variables)
    }

    fn load_with(&self, variables: &[(String, String)]) -> anyhow::Result<Loaded> {
        let path = &self.file;
        let text = std::fs::read_to_string(path).with_context(|| {
            format!(
                "cannot read the config file {}; check its path and permissions",
                path.display()
            )
        })?;
        read(&text, path, variables, &self.set)
            .with_context(|| format!("the config file {} is wrong", path.display()))
    }
}

impl Loaded {
    /// Says in the log what of the file has no effect.
    pub fn log_notes(&self) {
        for note in &self.notes {
            tracing::warn!("{note}");
        }
    }
}

impl Config {
    /// The text of a file that says the same.
    pub fn to_toml(&self) -> anyhow::Result<String> {
        Ok(toml::to_string(self)?)
    }
}

fn read(
    text: &str,
    path: &Path,
    variables: &[(String, String)],
    set: &[String],
) -> anyhow::Result<Loaded> {
    let mut notes = Vec::new();
    let mut layers = if is_upstream(path) {
        let (layers, ignored) = upstream::read(text, path, variables)?;
        notes = ignored;
        layers
    } else {
        Layers::of_toml(text, path)?
    };
    let alone = layers.add_environment(variables)? + layers.add_flags(set)? == 0;
    let config = if alone && !is_upstream(path) {
        // Parsed from the text itself, an error shows its line.
        toml::from_str(text)?
    } else {
        layers.table().clone().try_into()?
    };
    Ok(Loaded {
        config,
        layers,
        notes,
    })
}

/// Upstream's files are YAML.
fn is_upstream(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    matches!(extension, Some("yml" | "yaml"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FILE: &str = "[ccn]\nfolder = \"/tmp/x\"\n[ccn.p2p]\nlisten = \"/ip4/127.0.0.1/tcp/1\"\n";

    fn parse(text: &str, variables: &[(&str, &str)], set: &[&str]) -> anyhow::Result<Config> {
        let variables: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let set: Vec<String> = set.iter().map(|&text| text.to_owned()).collect();
        read(text, Path::new("beth.toml"), &variables, &set).map(|loaded| loaded.config)
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let variables = [
            ("BETH_CCN_LISTEN", "127.0.0.1:5"),
            ("BETH_CCN_P2P__LISTEN", "/ip4/127.0.0.1/tcp/2"),
            ("BETH_CCN_CONTENT_PEERS", "[\"http://a\"]"),
            ("BETH_LOG", "debug"),
            ("BETH_LOG_FORMAT", "json"),
            ("BETH_CRN_REUSE_SECONDS", "1"),
        ];
        let config = parse(FILE, &variables, &["ccn.listen=127.0.0.1:6"]).unwrap();
        let ccn = config.ccn.unwrap();
        assert_eq!(ccn.listen.port(), 6);
        assert_eq!(config.log.format, LogFormat::Json);
        assert_eq!(
            (ccn.p2p.listen.as_str(), ccn.content_peers.as_slice()),
            ("/ip4/127.0.0.1/tcp/2", &["http://a".to_owned()][..])
        );
        assert!(config.crn.is_none(), "a variable never makes a role run");
        let default = parse(FILE, &[], &[]).unwrap();
        assert_eq!(default.ccn.unwrap().listen.port(), 4024);
    }

    #[test]
    fn unknown_keys_are_errors_with_their_name() {
        for text in [
            "[cnn]\n",
            "[ccn]\nfolder = \"x\"\nlisten_on = 3\n",
            "[crn]\nreuse_second = 3\n",
        ] {
            let error = format!("{:#}", parse(text, &[], &[]).unwrap_err());
            assert!(error.contains("unknown field"), "{error}");
        }
        assert!(parse(FILE, &[("BETH_CCN_LISTN", "x")], &[]).is_err());
        for flag in ["ccn.listn=x", "listen=x", "ccn.listen", "crn.listen=x"] {
            assert!(parse(FILE, &[], &[flag]).is_err(), "{flag}");
        }
    }
}
