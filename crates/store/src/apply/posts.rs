//! Posts and which amend is in force (processing.md §9).

use beth_protocol::MessageType;
use beth_protocol::digest::{Fact, Part};
use beth_protocol::judge::PostRow;

use crate::error::Error;
use crate::keys::{prefix, type_code};
use crate::state::State;
use crate::tallies::{Dimension, bucket};

impl State<'_> {
    pub(super) fn apply_post(
        &self,
        (id, item_hash): (i64, &str),
        channel: Option<&str>,
        row: &PostRow,
    ) -> Result<(), Error> {
        let channel = channel.map(|channel| self.name(channel)).transpose()?;
        let original = match &row.amends {
            Some(hash) => Some(self.message_id(hash)?.ok_or_else(|| {
                Error::Damaged(format!("the original {hash} of an amend is not there"))
            })?),
            None => None,
        };
        self.run(
            "INSERT INTO posts (id, prefix, owner, type, channel, amends, created, last_updated, ref)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8)",
            (
                id,
                prefix(item_hash),
                self.name(&row.owner)?,
                self.name(&row.post_type)?,
                channel,
                original,
                row.created.micros(),
                &row.reference,
            ),
        )?;
        match original {
            Some(original) if row.is_latest => {
                self.amend(original, Some((id, row.created.micros())))
            }
            Some(_) => Ok(()),
            None => self.show_version(Version {
                original: id,
                prefix: prefix(item_hash),
                id,
                updated: row.created.micros(),
            }),
        }
    }

    /// Makes an amend (its id and time) the latest version of an original;
    /// `None`: the original itself.
    fn amend(&self, original: i64, latest: Option<(i64, i64)>) -> Result<(), Error> {
        let Some((before, created)) = self.version_of(original)? else {
            return Ok(());
        };
        let now = Version {
            id: latest.map_or(original, |(id, _)| id),
            updated: latest.map_or(created, |(_, at)| at),
            ..before
        };
        self.hide_version(before)?;
        self.run(
            "UPDATE posts SET latest = ?2, last_updated = ?3 WHERE id = ?1",
            (original, latest.map(|(id, _)| id), now.updated),
        )?;
        self.show_version(now)?;
        let before = (before.id != original).then_some(before.id);
        if let Some(before) = before {
            // The message of a forgotten amend is deleted after its post.
            self.fact_removed(&self.latest(original, before)?);
        }
        if let Some((id, _)) = latest {
            self.fact_added(&self.latest(original, id)?);
        }
        Ok(())
    }

    /// The version of an original that is in force, and when the original was
    /// created; `None` for no original.
    fn version_of(&self, original: i64) -> Result<Option<(Version, i64)>, Error> {
        self.one(
            "SELECT prefix, coalesce(latest, id), last_updated, created FROM posts
             WHERE id = ?1 AND amends IS NULL",
            [original],
            |row| {
                let version = Version {
                    original,
                    prefix: row.get(0)?,
                    id: row.get(1)?,
                    updated: row.get(2)?,
                };
                Ok((version, row.get(3)?))
            },
        )
    }

    /// A version comes into force: its original is found by its time and tags.
    fn show_version(&self, version: Version) -> Result<(), Error> {
        self.tally_version(version, 1);
        self.run(
            "INSERT INTO post_tags (tag, last_updated, prefix, id)
             SELECT tag, ?2, ?3, ?4 FROM message_tags INDEXED BY message_tags_message WHERE id = ?1",
            version.places(),
        )?;
        Ok(())
    }

    /// A version is no longer in force; its message is still there.
    fn hide_version(&self, version: Version) -> Result<(), Error> {
        self.tally_version(version, -1);
        self.run(
            "DELETE FROM post_tags WHERE last_updated = ?2 AND prefix = ?3 AND id = ?4 AND tag IN
                 (SELECT tag FROM message_tags INDEXED BY message_tags_message WHERE id = ?1)",
            version.places(),
        )?;
        Ok(())
    }

    fn tally_version(&self, version: Version, change: i64) {
        let post = type_code(MessageType::Post);
        self.tally(Dimension::Updated, (bucket(version.updated), post), change);
    }

    /// The fact that an amend is the latest version of a post.
    pub(crate) fn latest(&self, original: i64, amend: i64) -> Result<Fact, Error> {
        let hash = |id| {
            self.hash_of(id)?
                .ok_or_else(|| Error::Damaged(format!("post {id} has no message")))
        };
        Ok(Fact::new(Part::Posts, "latest")
            .text(&hash(original)?)
            .text(&hash(amend)?))
    }

    /// Forgets a post; its message is still there. Of an amend that was the
    /// latest, the newest remaining one takes over, as it would have without it.
    pub(crate) fn forget_post(&self, item_hash: &str) -> Result<(), Error> {
        let Some(id) = self.message_id(item_hash)? else {
            return Ok(());
        };
        let row: Option<(Option<i64>, Option<i64>)> = self.one(
            "SELECT amends, latest FROM posts WHERE id = ?1",
            [id],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let Some((amends, latest)) = row else {
            return Ok(());
        };
        if let Some(latest) = latest {
            self.fact_removed(&self.latest(id, latest)?);
        }
        if let Some((version, _)) = self.version_of(id)? {
            self.hide_version(version)?;
        }
        self.run("DELETE FROM posts WHERE id = ?1", [id])?;
        let Some(original) = amends else {
            return Ok(());
        };
        let newest: Option<(i64, i64)> = self.one(
            "SELECT amend.id, amend.created FROM posts AS amend
             JOIN posts AS original ON original.id = amend.amends JOIN messages AS message ON message.id = amend.id
             WHERE amend.amends = ?1 AND amend.created > original.created
             ORDER BY amend.created DESC, message.item_hash DESC LIMIT 1",
            [original],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        self.amend(original, newest)
    }
}

/// A version of a post that is in force.
#[derive(Clone, Copy)]
struct Version {
    /// The original.
    original: i64,
    /// Of the hash of the original.
    prefix: i64,
    /// The original itself, or an amend.
    id: i64,
    /// Its time.
    updated: i64,
}

impl Version {
    /// Its message, and its place in lists.
    fn places(self) -> [i64; 4] {
        [self.id, self.updated, self.prefix, self.original]
    }
}
