//! The config file: one `beth.toml`, one section a role.
//!
//! ```text
//!  [ccn]        a core node      (beth ccn)
//!  [scheduler]  placement        (beth ccn, beside the core node)
//!  [crn]        a compute node   (beth crn)
//!
//!  environment  BETH_CCN_LISTEN=127.0.0.1:5024   ─▶ ccn.listen
//!               BETH_CCN_P2P__LISTEN=…           ─▶ ccn.p2p.listen
//! ```
//!
//! A variable of the environment wins over the file, the file over the default.
//! Unknown sections and keys are errors.

use std::path::Path;

use anyhow::{Context, bail};
use beth_ccn::CcnConfig;
use beth_crn::config::CrnConfig;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

const SECTIONS: [&str; 3] = ["ccn", "crn", "scheduler"];

/// What a process is told.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
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

impl Config {
    /// Reads a file and the environment of this process.
    pub fn load(path: &Path) -> anyhow::Result<Config> {
        let text = std::fs::read_to_string(path).with_context(|| {
            format!(
                "cannot read the config file {}; check its path and permissions",
                path.display()
            )
        })?;
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Config::parse(&text, variables)
            .with_context(|| format!("the config file {} is wrong", path.display()))
    }

    /// Reads a text; `variables` win over it.
    pub fn parse(
        text: &str,
        variables: impl Iterator<Item = (String, String)>,
    ) -> anyhow::Result<Config> {
        let overrides: Vec<(Vec<String>, String)> = variables
            .filter_map(|(name, value)| Some((key_of(&name)?, value)))
            .collect();
        if overrides.is_empty() {
            // Parsed from the text itself, an error shows its line.
            return Ok(toml::from_str(text)?);
        }
        let mut table: Table = toml::from_str(text)?;
        for (path, value) in overrides {
            set(&mut table, &path, &value)?;
        }
        Ok(table.try_into()?)
    }

    /// The text of a file that says the same.
    pub fn to_toml(&self) -> anyhow::Result<String> {
        Ok(toml::to_string(self)?)
    }
}

/// `BETH_CCN_P2P__LISTEN` names `ccn.p2p.listen`; other variables name nothing.
fn key_of(name: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix("BETH_")?.to_lowercase();
    let section = SECTIONS.into_iter().find(|section| {
        rest.strip_prefix(section)
            .is_some_and(|rest| rest.starts_with('_'))
    })?;
    let keys = rest[section.len() + 1..].split("__").map(str::to_owned);
    Some(std::iter::once(section.to_owned()).chain(keys).collect())
}

/// A value is TOML where it reads as TOML, else text.
fn set(table: &mut Table, path: &[String], value: &str) -> anyhow::Result<()> {
    let Some((last, parents)) = path.split_last() else {
        return Ok(());
    };
    let mut table = table;
    for (depth, key) in parents.iter().enumerate() {
        if depth == 0 && !table.contains_key(key) {
            // A variable never makes a role run.
            return Ok(());
        }
        let entry = table
            .entry(key.clone())
            .or_insert_with(|| Value::Table(Table::new()));
        match entry {
            Value::Table(inner) => table = inner,
            _ => bail!(
                "the environment sets {}, but {key} is no section",
                path.join(".")
            ),
        }
    }
    let parsed = toml::from_str::<Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut table| table.remove("value"));
    table.insert(
        last.clone(),
        parsed.unwrap_or_else(|| Value::String(value.to_owned())),
    );
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FILE: &str = "[ccn]\nfolder = \"/tmp/x\"\n[ccn.p2p]\nlisten = \"/ip4/127.0.0.1/tcp/1\"\n";

    fn parse(text: &str, variables: &[(&str, &str)]) -> anyhow::Result<Config> {
        Config::parse(
            text,
            variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn the_environment_wins() {
        let variables = [
            ("BETH_CCN_LISTEN", "127.0.0.1:5"),
            ("BETH_CCN_P2P__LISTEN", "/ip4/127.0.0.1/tcp/2"),
            ("BETH_CCN_CONTENT_PEERS", "[\"http://a\"]"),
            ("BETH_LOG", "debug"),
            ("BETH_CRN_REUSE_SECONDS", "1"),
        ];
        let config = parse(FILE, &variables).unwrap();
        let ccn = config.ccn.unwrap();
        assert_eq!(ccn.listen.port(), 5);
        assert_eq!(
            (ccn.p2p.listen.as_str(), ccn.content_peers.as_slice()),
            ("/ip4/127.0.0.1/tcp/2", &["http://a".to_owned()][..])
        );
        assert!(config.crn.is_none());
        assert_eq!(parse(FILE, &[]).unwrap().ccn.unwrap().listen.port(), 4024);
    }

    #[test]
    fn unknown_keys_are_errors_with_their_name() {
        for text in [
            "[cnn]\n",
            "[ccn]\nfolder = \"x\"\nlisten_on = 3\n",
            "[crn]\nreuse_second = 3\n",
        ] {
            let error = format!("{:#}", parse(text, &[]).unwrap_err());
            assert!(error.contains("unknown field"), "{error}");
        }
        assert!(parse(FILE, &[("BETH_CCN_LISTN", "x")]).is_err());
    }
}
