//! The layers of a configuration: a table, and of each value that is no default
//! where it was set.
//!
//! ```text
//!  file ─▶ environment ─▶ flags        the last one wins
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, bail};
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::ROLES;

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nowhere.
    Default,
    /// In a file: its name and the line, or the key of upstream's file.
    File(String),
    /// In a variable of the environment.
    Environment(String),
    /// By `--set`.
    Flag,
}

/// A table and its sources. Keys are written with dots: `ccn.p2p.listen`.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    table: Table,
    sources: BTreeMap<String, Source>,
}

impl Layers {
    /// The layer of a `beth.toml`.
    pub fn of_toml(text: &str, path: &Path) -> anyhow::Result<Layers> {
        let mut layers = Layers {
            table: toml::from_str(text)?,
            sources: BTreeMap::new(),
        };
        let name = path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy();
        let spans = DeTable::parse(text)?;
        layers.note_lines(spans.get_ref(), "", &|offset| {
            let line = text[..offset.min(text.len())].matches('\n').count() + 1;
            Source::File(format!("{name}:{line}"))
        });
        Ok(layers)
    }

    /// Everything that was set.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Where this value, or something it is part of, was set.
    pub fn source(&self, key: &str) -> Source {
        let mut part = key;
        loop {
            if let Some(source) = self.sources.get(part) {
                return source.clone();
            }
            match part.rsplit_once('.') {
                Some((parent, _)) => part = parent,
                None => return Source::Default,
            }
        }
    }

    /// Sets a value. Sections on the way are made.
    pub fn set(&mut self, key: &str, value: Value, source: Source) -> anyhow::Result<()> {
        let Some((parents, last)) = key.rsplit_once('.') else {
            bail!("{key} is no key of a section, such as ccn.listen");
        };
        let mut table = &mut self.table;
        for parent in parents.split('.') {
            let entry = table
                .entry(parent.to_owned())
                .or_insert_with(|| Value::Table(Table::new()));
            match entry {
                Value::Table(inner) => table = inner,
                _ => bail!("{key} cannot be set: {parent} is no section"),
            }
        }
        table.insert(last.to_owned(), value);
        self.sources.insert(key.to_owned(), source);
        Ok(())
    }

    /// Adds what the environment says of the sections that are there: a
    /// variable never makes a role run. Answers how many counted.
    pub fn add_environment(&mut self, variables: &[(String, String)]) -> anyhow::Result<usize> {
        let mut count = 0;
        for (name, value) in variables {
            let Some(key) = key_of(name).filter(|key| self.has_section(key)) else {
                continue;
            };
            self.set(&key, value_of(value), Source::Environment(name.clone()))
                .with_context(|| format!("the environment variable {name} is wrong"))?;
            count += 1;
        }
        Ok(count)
    }

    /// Adds flags: `key=value`. Answers how many.
    pub fn add_flags(&mut self, flags: &[String]) -> anyhow::Result<usize> {
        for flag in flags {
            let Some((key, value)) = flag.split_once('=') else {
                bail!("--set {flag} has no value; write it like ccn.listen=127.0.0.1:4024");
            };
            if !self.has_section(key) {
                bail!("--set {flag} names no section of the config file; add the section there");
            }
            self.set(key, value_of(value), Source::Flag)?;
        }
        Ok(flags.len())
    }

    fn has_section(&self, key: &str) -> bool {
        let section = key.split('.').next().unwrap_or(key);
        // Only sections of roles must be written to count.
        section == "log" || self.table.contains_key(section)
    }

    fn note_lines(&mut self, table: &DeTable<'_>, above: &str, at: &dyn Fn(usize) -> Source) {
        for (name, value) in table {
            let key = match above {
                "" => name.get_ref().to_string(),
                above => format!("{above}.{}", name.get_ref()),
            };
            match value.get_ref() {
                DeValue::Table(inner) => self.note_lines(inner, &key, at),
                _ => drop(self.sources.insert(key, at(name.span().start))),
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File(place) => f.write_str(place),
            Source::Environment(name) => write!(f, "environment {name}"),
            Source::Flag => f.write_str("--set"),
        }
    }
}

/// `BETH_CCN_P2P__LISTEN` names `ccn.p2p.listen`; other variables name nothing.
fn key_of(name: &str) -> Option<String> {
    let rest = name.strip_prefix("BETH_")?.to_lowercase();
    let section = ROLES.into_iter().chain(["log"]).find(|section| {
        rest.strip_prefix(section)
            .is_some_and(|rest| rest.starts_with('_'))
    })?;
    let keys = rest[section.len() + 1..].replace("__", ".");
    Some(format!("{section}.{keys}"))
}

/// A value is TOML where it reads as TOML, else text.
fn value_of(text: &str) -> Value {
    toml::from_str::<Table>(&format!("value = {text}"))
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_where_it_was_set() {
        let text = "[ccn]\nfolder = \"/x\"\n\n[ccn.well_known_files]\naa = \"/y\"\n";
        let mut layers = Layers::of_toml(text, Path::new("/etc/beth/beth.toml")).unwrap();
        let variables = [("BETH_CCN_P2P__LISTEN".to_owned(), "x".to_owned())];
        layers.add_environment(&variables).unwrap();
        layers.add_flags(&["ccn.listen=y".to_owned()]).unwrap();
        for (key, source) in [
            ("ccn.folder", "beth.toml:2"),
            ("ccn.well_known_files.aa", "beth.toml:5"),
            ("ccn.p2p.listen", "environment BETH_CCN_P2P__LISTEN"),
            ("ccn.listen", "--set"),
            ("ccn.p2p.alive_topic", "default"),
        ] {
            assert_eq!(layers.source(key).to_string(), source, "{key}");
        }
    }

    #[test]
    fn values_are_toml_or_text() {
        for (text, value) in [
            ("5", Value::Integer(5)),
            ("true", Value::Boolean(true)),
            ("[1]", Value::Array(vec![Value::Integer(1)])),
            ("/ip4/x", Value::String("/ip4/x".into())),
            ("1\nother = 2", Value::String("1\nother = 2".into())),
        ] {
            assert_eq!(value_of(text), value);
        }
    }
}
