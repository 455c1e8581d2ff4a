//! Tags: names that move from file to file (processing.md §11.3).

use beth_protocol::digest::{Fact, Part};
use beth_protocol::time::Timestamp;
use beth_protocol::view::{KnownTag, View};

use crate::error::Error;
use crate::state::State;

impl State<'_> {
    /// Moves a tag to a file unless it moved later already; of two files at the
    /// same time it names the one with the greater hash.
    pub(crate) fn write_tag(
        &self,
        tag: &str,
        owner: &str,
        file_hash: &str,
        at: Timestamp,
    ) -> Result<(), Error> {
        let known = self.known_tag(tag)?;
        let is_outdone =
            |known: &KnownTag| (known.last_updated, known.file_hash.as_str()) >= (at, file_hash);
        if known.as_ref().is_some_and(is_outdone) {
            return Ok(());
        }
        self.run(
            "INSERT INTO file_tags (tag, owner, file_hash, last_updated) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (tag) DO UPDATE SET owner = ?2, file_hash = ?3, last_updated = ?4",
            (tag, owner, file_hash, at.micros()),
        )?;
        if let Some(known) = known {
            self.tag_changed(tag, &known, Self::fact_removed);
        }
        let now = KnownTag {
            owner: owner.to_owned(),
            file_hash: file_hash.to_owned(),
            last_updated: at,
        };
        self.tag_changed(tag, &now, Self::fact_added);
        Ok(())
    }

    /// Takes a tag away.
    pub(crate) fn delete_tag(&self, tag: &str) -> Result<(), Error> {
        if let Some(known) = self.known_tag(tag)? {
            self.run("DELETE FROM file_tags WHERE tag = ?1", [tag])?;
            self.tag_changed(tag, &known, Self::fact_removed);
        }
        Ok(())
    }

    fn known_tag(&self, tag: &str) -> Result<Option<KnownTag>, Error> {
        self.tag(tag)
            .map_err(|error| Error::Damaged(error.to_string()))
    }

    fn tag_changed(&self, tag: &str, row: &KnownTag, change: fn(&Self, &Fact)) {
        if let Some(fact) = points_to(tag, row) {
            change(self, &fact);
        }
    }
}

/// The fact that a tag names a file; none for what the operator declared here.
pub(crate) fn points_to(tag: &str, row: &KnownTag) -> Option<Fact> {
    (!row.owner.is_empty()).then(|| {
        Fact::new(Part::Files, "tag")
            .text(tag)
            .text(&row.owner)
            .text(&row.file_hash)
            .number(row.last_updated.micros())
    })
}
