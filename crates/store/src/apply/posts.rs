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
            None => {
                self.tally_update(row.created.micros(), 1);
                Ok(())
            }
        }
    }

    /// Makes an amend (its id and time) the latest version of an original;
    /// `None`: the original itself.
    fn amend(&self, original: i64, latest: Option<(i64, i64)>) -> Result<(), Error> {
        let before: Option<(Option<i64>, i64, i64)> = self.one(
            "SELECT latest, last_updated, created FROM posts WHERE id = ?1",
            [original],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        let Some((before, updated, created)) = before else {
            return Ok(());
        };
        self.tally_update(updated, -1);
        self.tally_update(latest.map_or(created, |(_, at)| at), 1);
        self.run(
            "UPDATE posts SET latest = ?2, last_updated = coalesce(?3, created) WHERE id = ?1",
            (original, latest.map(|(id, _)| id), latest.map(|(_, at)| at)),
        )?;
        if let Some(before) = before {
            // The message of a forgotten amend is deleted after its post.
            self.fact_removed(&self.latest(original, before)?);
        }
        if let Some((id, _)) = latest {
            self.fact_added(&self.latest(original, id)?);
        }
        Ok(())
    }

    /// The latest version of a post is of this time, or was (-1).
    fn tally_update(&self, micros: i64, change: i64) {
        let post = type_code(MessageType::Post);
        self.tally(Dimension::Updated, (bucket(micros), post), change);
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
        let row: Option<(Option<i64>, Option<i64>, i64)> = self.one(
            "SELECT amends, latest, last_updated FROM posts WHERE id = ?1",
            [id],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        let Some((amends, latest, updated)) = row else {
            return Ok(());
        };
        if let Some(latest) = latest {
            self.fact_removed(&self.latest(id, latest)?);
        }
        self.run("DELETE FROM posts WHERE id = ?1", [id])?;
        let Some(original) = amends else {
            self.tally_update(updated, -1);
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
