//! Who granted what to whom: views on `security` aggregates (core-api.md §6.3).
//!
//! ```text
//!  granted  ─▶ one aggregate ─▶ its entries by grantee
//!  received ─▶ delegations, from the grantee to owners ─▶ their aggregates ─▶ entries for the grantee
//! ```
//!
//! A page without filters reads the aggregates of that page alone. Filters are
//! answered by reading what owners wrote, of a limited number of owners.

use beth_protocol::permissions::SECURITY_KEY;
use serde_json::{Map, Value};

use crate::delegations::grants;
use crate::error::Error;
use crate::limits::DELEGATIONS_READ_MAX;
use crate::state::{State, json};

/// Which entries. A list keeps those that do not restrict that dimension, or
/// allow one of these.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct GrantFilter {
    /// The other side, exactly.
    pub party: Option<String>,
    pub types: Option<Vec<String>>,
    pub channels: Option<Vec<String>>,
    pub post_types: Option<Vec<String>>,
    pub chains: Option<Vec<String>>,
    pub aggregate_keys: Option<Vec<String>>,
}

/// The entries of one grantee or granter, without the address they name.
#[derive(Clone, Debug, PartialEq)]
pub struct GrantGroup {
    /// The other side.
    pub party: String,
    /// As written.
    pub entries: Vec<Map<String, Value>>,
}

/// A page of groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GrantPage {
    /// In order.
    pub groups: Vec<GrantGroup>,
    /// Groups of all pages.
    pub total: u64,
}

impl GrantFilter {
    fn keeps_all(&self) -> bool {
        let party = self.party.clone();
        *self
            == GrantFilter {
                party,
                ..GrantFilter::default()
            }
    }

    fn keeps(&self, entry: &Map<String, Value>) -> bool {
        [
            ("types", &self.types),
            ("channels", &self.channels),
            ("post_types", &self.post_types),
            ("chain", &self.chains),
            ("aggregate_keys", &self.aggregate_keys),
        ]
        .into_iter()
        .all(|(member, wanted)| {
            wanted
                .as_ref()
                .is_none_or(|wanted| overlaps(entry.get(member), wanted))
        })
    }
}

/// True when nothing is restricted, or one of the wanted is allowed.
fn overlaps(allowed: Option<&Value>, wanted: &[String]) -> bool {
    let is_wanted = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| wanted.iter().any(|wanted| wanted == text))
    };
    match allowed {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) if text.is_empty() => true,
        Some(Value::Array(items)) => items.is_empty() || items.iter().any(is_wanted),
        Some(other) => is_wanted(other),
    }
}

impl State<'_> {
    /// What an address granted, by grantee in the order of its list; pages are
    /// counted from 1.
    pub fn granted(
        &self,
        owner: &str,
        filter: &GrantFilter,
        (number, size): (u64, u64),
    ) -> Result<GrantPage, Error> {
        let content = self.security_of(owner)?;
        let mut groups: Vec<GrantGroup> = Vec::new();
        let mut positions = std::collections::HashMap::new();
        for (grantee, entry) in grants(&content) {
            let is_asked = filter.party.as_ref().is_none_or(|party| party == grantee);
            if !is_asked || !filter.keeps(entry) {
                continue;
            }
            let position = *positions.entry(grantee).or_insert(groups.len());
            if position == groups.len() {
                groups.push(GrantGroup {
                    party: grantee.to_owned(),
                    entries: Vec::new(),
                });
            }
            if let Some(group) = groups.get_mut(position) {
                group.entries.push(without_address(entry));
            }
        }
        let (skip, take) = range(number, size);
        Ok(GrantPage {
            total: groups.len() as u64,
            groups: groups.into_iter().skip(skip).take(take).collect(),
        })
    }

    /// What an address was granted, by owner in their order; pages are counted
    /// from 1.
    pub fn received(
        &self,
        grantee: &str,
        filter: &GrantFilter,
        (number, size): (u64, u64),
    ) -> Result<GrantPage, Error> {
        let (skip, take) = range(number, size);
        let limited = |limit: usize| i64::try_from(limit).unwrap_or(i64::MAX);
        if filter.keeps_all() && filter.party.is_none() {
            let owners = self.owners_naming(grantee, (limited(take), limited(skip)))?;
            let total = "SELECT count(*) FROM delegations WHERE grantee = ?1";
            return Ok(GrantPage {
                groups: self.groups_for(grantee, owners, filter)?,
                total: self.number(total, vec![super::plan::text(grantee)])?,
            });
        }
        let owners = match &filter.party {
            Some(owner) => vec![owner.clone()],
            None => self.owners_naming(grantee, (limited(DELEGATIONS_READ_MAX), 0))?,
        };
        let groups = self.groups_for(grantee, owners, filter)?;
        Ok(GrantPage {
            total: groups.len() as u64,
            groups: groups.into_iter().skip(skip).take(take).collect(),
        })
    }

    fn owners_naming(
        &self,
        grantee: &str,
        (limit, offset): (i64, i64),
    ) -> Result<Vec<String>, Error> {
        self.all(
            "SELECT owner FROM delegations WHERE grantee = ?1 ORDER BY owner LIMIT ?2 OFFSET ?3",
            (grantee, limit, offset),
            |row| row.get(0),
        )
    }

    fn groups_for(
        &self,
        grantee: &str,
        owners: Vec<String>,
        filter: &GrantFilter,
    ) -> Result<Vec<GrantGroup>, Error> {
        let mut groups = Vec::new();
        for owner in owners {
            let content = self.security_of(&owner)?;
            let entries: Vec<_> = grants(&content)
                .filter(|(named, entry)| *named == grantee && filter.keeps(entry))
                .map(|(_, entry)| without_address(entry))
                .collect();
            if !entries.is_empty() {
                groups.push(GrantGroup {
                    party: owner,
                    entries,
                });
            }
        }
        Ok(groups)
    }

    fn security_of(&self, owner: &str) -> Result<Value, Error> {
        let text: Option<String> = self.one(
            "SELECT content FROM aggregates WHERE owner = ?1 AND key = ?2",
            [owner, SECURITY_KEY],
            |row| row.get(0),
        )?;
        text.map_or(Ok(Value::Null), |text| json(&text))
    }
}

fn without_address(entry: &Map<String, Value>) -> Map<String, Value> {
    entry
        .iter()
        .filter(|(member, _)| *member != "address")
        .map(|(member, value)| (member.clone(), value.clone()))
        .collect()
}

/// Rows to skip and to take.
fn range(number: u64, size: u64) -> (usize, usize) {
    let skip = number.saturating_sub(1).saturating_mul(size);
    (
        usize::try_from(skip).unwrap_or(usize::MAX),
        usize::try_from(size).unwrap_or(usize::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_restricted_is_kept() {
        let wanted = ["ETH".to_owned()];
        for (allowed, is_kept) in [
            (None, true),
            (Some(json!(null)), true),
            (Some(json!([])), true),
            (Some(json!("")), true),
            (Some(json!("ETH")), true),
            (Some(json!(["SOL", "ETH"])), true),
            (Some(json!("SOL")), false),
            (Some(json!(["SOL"])), false),
            (Some(json!(7)), false),
        ] {
            assert_eq!(overlaps(allowed.as_ref(), &wanted), is_kept, "{allowed:?}");
        }
    }
}
