//! Whether the state fits together: messages pin what they need, rows name rows
//! that exist, the pages of the database are whole, and, when asked, the digest
//! is that of the rows.

use std::sync::Arc;

use beth_store::Error;
use tokio_util::sync::CancellationToken;

use super::{Repair, RepairError, Report};
use crate::limits::{REPAIR_FAULTS_SHOWN, REPAIR_MESSAGES, REPAIR_READ_MAX};

impl Repair {
    /// Adds what is wrong with the state to a report.
    pub(super) async fn look_at_state(
        self: &Arc<Self>,
        report: &mut Report,
        cancel: &CancellationToken,
    ) -> Result<(), RepairError> {
        let is_deep = report.wish.is_deep;
        let kept = self.read(|state| state.digest()).await?;
        (report.messages, report.digest) = (kept.messages, kept.whole);
        let cancel = cancel.clone();
        report.state = self
            .blocking(move |repair| repair.state_faults(is_deep, &cancel))
            .await?;
        Ok(())
    }

    fn state_faults(
        &self,
        is_deep: bool,
        cancel: &CancellationToken,
    ) -> Result<Vec<String>, Error> {
        let mut faults = self.bare_messages(cancel)?;
        if cancel.is_cancelled() {
            return Ok(faults);
        }
        let rows = self.readers.read_within(REPAIR_READ_MAX, |state| {
            let mut found = state.broken_pages(REPAIR_FAULTS_SHOWN)?;
            let dangling = state.dangling_rows()?.into_iter();
            found.extend(dangling.map(|(tables, count)| format!("{tables}: {count} rows dangle")));
            Ok::<_, Error>(found)
        });
        faults.extend(rows?.into_iter().map(|fault| {
            format!("the database is damaged ({fault}): import its messages into a new folder")
        }));
        if is_deep && !cancel.is_cancelled() {
            let digests = self.readers.read_within(REPAIR_READ_MAX, |state| {
                Ok::<_, Error>((state.digest()?, state.recompute_digest()?))
            });
            let (kept, computed) = digests?;
            let parts = kept.parts.iter().zip(&computed.parts);
            let wrong = parts.filter(|(kept, computed)| kept != computed);
            faults.extend(wrong.map(|((part, _), _)| {
                format!("the digest of the {part:?} is not that of the rows: an effect was applied by half")
            }));
        }
        Ok(faults)
    }

    /// Messages in force that pin nothing and should.
    fn bare_messages(&self, cancel: &CancellationToken) -> Result<Vec<String>, Error> {
        let (mut bare, mut count, mut after) = (Vec::new(), 0, 0);
        while !cancel.is_cancelled() {
            let look = self
                .readers
                .read(|state| state.bare_messages(after, REPAIR_MESSAGES))?;
            count += look.messages.len();
            let room = REPAIR_FAULTS_SHOWN.saturating_sub(bare.len());
            bare.extend(
                look.messages
                    .into_iter()
                    .take(room)
                    .map(|hash| format!("the message {hash} is in force and keeps no content")),
            );
            match look.next {
                Some(next) => after = next,
                None => break,
            }
        }
        if count > bare.len() {
            bare.push(format!("and {} more such messages", count - bare.len()));
        }
        Ok(bare)
    }
}
