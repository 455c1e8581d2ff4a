//! Statuses of a message (processing.md §2).

use serde::{Deserialize, Serialize};

/// What a node knows about an item hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Accepted for processing; not judged yet, or waiting for something.
    Pending,
    /// Judged, applied.
    Processed,
    /// Refused, with a [`Rejection`](crate::Rejection).
    Rejected,
    /// Deleted by a FORGET message.
    Forgotten,
    /// About to be removed because it is no longer paid for.
    Removing,
    /// Removed because it was no longer paid for.
    Removed,
}

impl Status {
    /// The wire spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Processed => "processed",
            Status::Rejected => "rejected",
            Status::Forgotten => "forgotten",
            Status::Removing => "removing",
            Status::Removed => "removed",
        }
    }

    /// Reads the wire spelling.
    pub fn parse(text: &str) -> Option<Status> {
        Some(match text {
            "pending" => Status::Pending,
            "processed" => Status::Processed,
            "rejected" => Status::Rejected,
            "forgotten" => Status::Forgotten,
            "removing" => Status::Removing,
            "removed" => Status::Removed,
            _ => return None,
        })
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
