//! Who is named by whose `security` aggregate, found from the one who is named
//! (core-api.md §6.3).
//!
//! ```text
//!  aggregate "security" changes ─▶ grantees before, grantees now ─▶ only the difference is written
//! ```
//!
//! What the rights are stays in the aggregate; the table only says where to
//! look.

use std::collections::BTreeSet;

use beth_protocol::permissions::SECURITY_KEY;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::state::State;

impl State<'_> {
    /// Follows an aggregate that has this content now; null when it is gone.
    pub(crate) fn keep_delegations(
        &self,
        (owner, key): (&str, &str),
        content: &Value,
    ) -> Result<(), Error> {
        if key != SECURITY_KEY {
            return Ok(());
        }
        let before: BTreeSet<String> = self
            .all(
                "SELECT grantee FROM delegations INDEXED BY delegations_owner WHERE owner = ?1",
                [owner],
                |row| row.get(0),
            )?
            .into_iter()
            .collect();
        let now: BTreeSet<&str> = grants(content).map(|(grantee, _)| grantee).collect();
        for grantee in &before {
            if !now.contains(grantee.as_str()) {
                self.run(
                    "DELETE FROM delegations WHERE grantee = ?1 AND owner = ?2",
                    [grantee.as_str(), owner],
                )?;
            }
        }
        for grantee in now {
            if !before.contains(grantee) {
                self.run(
                    "INSERT INTO delegations (grantee, owner) VALUES (?1, ?2)",
                    [grantee, owner],
                )?;
            }
        }
        Ok(())
    }
}

/// The entries of a `security` aggregate, each with the address it names.
pub(crate) fn grants(content: &Value) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
    let entries = content.get("authorizations").and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(|entry| {
        let entry = entry.as_object()?;
        Some((entry.get("address")?.as_str()?, entry))
    })
}
