//! A configuration as people and scripts read it: every value that counts, what
//! it means and where it was set.
//!
//! What keys mean is written in one place, the reference file
//! `deploy/beth.toml`, which holds every key with its default:
//!
//! ```text
//!  # What the key means.          ─▶ the comment of `ccn.listen`
//!  listen = "0.0.0.0:4024"
//!  # A key without a default.
//!  #identity = "…"
//! ```

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use toml::{Table, Value};

use super::Loaded;

/// The reference file.
pub const REFERENCE: &str = include_str!("../../../../deploy/beth.toml");

/// As a file that says the same, with comments.
pub fn text(loaded: &Loaded) -> anyhow::Result<String> {
    let comments = comments();
    let mut text = String::new();
    sections(
        &Table::try_from(&loaded.config)?,
        "",
        &mut |heading, lines| {
            if lines.is_empty() {
                return;
            }
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&format!("[{heading}]\n"));
            for (key, value) in lines {
                let full = format!("{heading}.{key}");
                for line in comments.get(full.as_str()).into_iter().flatten() {
                    text.push_str(&format!("{line}\n"));
                }
                let source = loaded.layers.source(&full);
                text.push_str(&format!("{} = {value}  # {source}\n", bare(key)));
            }
        },
    );
    Ok(text)
}

/// As a list of keys, values and sources.
pub fn json(loaded: &Loaded) -> anyhow::Result<Json> {
    let mut values = Vec::new();
    sections(
        &Table::try_from(&loaded.config)?,
        "",
        &mut |heading, lines| {
            for (key, value) in lines {
                let key = format!("{heading}.{key}");
                let source = loaded.layers.source(&key).to_string();
                values.push(json!({"key": key, "value": value, "source": source}));
            }
        },
    );
    Ok(json!({"values": values, "notes": loaded.notes}))
}

/// Calls `each` with the name of every table and its plain values, outer tables
/// first.
fn sections<'a>(
    table: &'a Table,
    name: &str,
    each: &mut impl FnMut(&str, Vec<(&'a str, &'a Value)>),
) {
    let plain = table
        .iter()
        .filter(|(_, value)| !value.is_table())
        .map(|(key, value)| (key.as_str(), value));
    each(name, plain.collect());
    for (key, value) in table {
        if let Value::Table(inner) = value {
            let name = match name {
                "" => bare(key),
                name => format!("{name}.{}", bare(key)),
            };
            sections(inner, &name, each);
        }
    }
}

/// A key as TOML writes it.
fn bare(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if !key.is_empty() && key.chars().all(plain) {
        key.to_owned()
    } else {
        Value::String(key.to_owned()).to_string()
    }
}

/// The comment lines of each key of the reference.
fn comments() -> HashMap<String, Vec<&'static str>> {
    let mut found = HashMap::new();
    let (mut section, mut above) = (String::new(), Vec::new());
    for line in REFERENCE.lines() {
        let active = uncommented(line).unwrap_or(line);
        if let Some(name) = active.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
            above.clear();
        } else if line.starts_with("# ") {
            above.push(line);
        } else if let Some((key, _)) = active.split_once(" = ") {
            found.insert(format!("{section}.{key}"), std::mem::take(&mut above));
        } else {
            above.clear();
        }
    }
    found
}

/// `#key = value` and `#[section]`: what is not set unless somebody wants it.
fn uncommented(line: &str) -> Option<&str> {
    line.strip_prefix('#')
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Config, LogConfig, read};
    use super::*;
    use beth_ccn::CcnConfig;
    use beth_crn::config::CrnConfig;
    use std::path::Path;

    fn keys(table: &Table) -> Vec<String> {
        let mut keys = Vec::new();
        sections(table, "", &mut |heading, lines| {
            keys.extend(lines.iter().map(|(key, _)| format!("{heading}.{key}")));
        });
        keys
    }

    #[test]
    fn the_reference_holds_every_key_with_its_default() {
        let defaults = Config {
            log: LogConfig::default(),
            ccn: Some(CcnConfig::in_folder("/var/lib/beth")),
            scheduler: None,
            crn: Some(CrnConfig {
                folder: "/var/lib/beth-crn".into(),
                ..CrnConfig::default()
            }),
        };
        let defaults = Table::try_from(&defaults).unwrap();
        let reference: Table = toml::from_str(REFERENCE).unwrap();
        for key in keys(&defaults) {
            let path = key.split('.');
            let value = |table: &Table| {
                let mut parts = path.clone();
                let first = table.get(parts.next()?)?.clone();
                parts.try_fold(first, |value, part| value.get(part).cloned())
            };
            assert_eq!(
                value(&reference),
                value(&defaults),
                "{key} in deploy/beth.toml"
            );
        }
    }

    #[test]
    fn what_the_reference_leaves_out_can_be_set() {
        let all: Vec<&str> = REFERENCE
            .lines()
            .map(|line| uncommented(line).unwrap_or(line))
            .collect();
        let config: Config = toml::from_str(&all.join("\n")).unwrap();
        assert!(config.scheduler.is_some() && config.ccn.unwrap().p2p.identity.is_some());
    }

    #[test]
    fn every_key_of_the_reference_is_explained() {
        let comments = comments();
        for key in keys(&toml::from_str(REFERENCE).unwrap()) {
            assert!(comments.get(&key).is_some_and(|c| !c.is_empty()), "{key}");
        }
    }

    #[test]
    fn what_is_shown_reads_as_the_same() {
        let file = "[ccn]\nfolder = \"/x\"\n[ccn.well_known_files]\n\"a b\" = \"/y\"\n";
        let read = |text: &str| read(text, Path::new("beth.toml"), &[], &[]).unwrap();
        let loaded = read(file);
        let shown = text(&loaded).unwrap();
        let again = read(&shown);
        assert_eq!(again.config.ccn, loaded.config.ccn);
        assert!(
            shown.contains("folder = \"/x\"  # beth.toml:2\n"),
            "{shown}"
        );
        assert!(
            shown.contains("listen = \"0.0.0.0:4024\"  # default\n"),
            "{shown}"
        );
        let values = json(&loaded).unwrap();
        let values = values["values"].as_array().unwrap();
        assert!(values.iter().any(|value| value["key"] == "ccn.folder"));
    }
}
