//! The messages of a node as lines of JSON, in the order in which it heard of
//! them: what [`import`](crate::import) reads. Contents outside of messages and
//! files are not in it, and neither is what was forgotten.
//!
//! The node may run meanwhile.

use std::io::Write;

use beth_protocol::time::Timestamp;
use beth_store::Readers;
use beth_store::query::{Order, Place, Span, Window};

use crate::config::CcnConfig;
use crate::error::Error;
use crate::limits::EXPORT_PAGE;

/// Why messages could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The state could not be read.
    #[error(transparent)]
    Node(#[from] Error),
    /// The lines could not be written.
    #[error(transparent)]
    Write(#[from] std::io::Error),
}

/// Writes every message; answers with their number.
pub fn write(config: &CcnConfig, out: &mut impl Write) -> Result<u64, Failure> {
    let path = config.database_path();
    if !path.is_file() {
        let text = format!(
            "there is no state in {}; is `folder` right, and has the node run?",
            config.folder.display()
        );
        return Err(Error::Config(text).into());
    }
    let readers = Readers::open(&path, 1).map_err(Error::from)?;
    let (mut count, mut last) = (0, None);
    loop {
        let window = Window::After {
            key: last.take(),
            size: EXPORT_PAGE,
        };
        let page = readers.read(|state| {
            let found = state.message_hashes(None, Span::default(), Order::Ascending, &window)?;
            let mut page = Vec::with_capacity(found.rows.len());
            for (hash, _, at) in found.rows {
                // Forgotten between the two reads.
                if let Some(stored) = state.stored_message(&hash)? {
                    page.push(stored.message);
                }
                last = Some(place(hash, at));
            }
            Ok::<_, beth_store::Error>(page)
        });
        let page = page.map_err(Error::from)?;
        for message in &page {
            serde_json::to_writer(&mut *out, message).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
        }
        count += page.len() as u64;
        if last.is_none() {
            out.flush()?;
            return Ok(count);
        }
    }
}

fn place(hash: String, time: Timestamp) -> Place {
    Place { hash, time }
}
