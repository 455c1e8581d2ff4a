//! Contents that come and go, by the kind of source.

use prometheus::{IntCounter, IntCounterVec};

use super::declare::Declare;

/// Contents from and for other nodes.
pub struct Contents {
    /// Contents asked for, by source and outcome.
    pub fetched: IntCounterVec,
    /// Bytes that came and were right, or may be; by source.
    pub received_bytes: IntCounterVec,
    /// Bytes that were wrong or came twice, by source.
    pub wasted_bytes: IntCounterVec,
    /// Sources that gave wrong bytes, by kind.
    pub lies: IntCounterVec,
    /// Bytes given to neighbours.
    pub given_bytes: IntCounter,
}

impl Contents {
    pub(super) fn declare(declare: &Declare<'_>) -> Result<Contents, prometheus::Error> {
        Ok(Contents {
            fetched: declare.counters(
                "beth_ccn_contents_fetched_total",
                "Contents asked of a kind of source",
                &["source", "outcome"],
            )?,
            received_bytes: declare.counters(
                "beth_ccn_content_received_bytes_total",
                "Bytes of contents from other nodes",
                &["source"],
            )?,
            wasted_bytes: declare.counters(
                "beth_ccn_content_wasted_bytes_total",
                "Bytes of contents from other nodes that were wrong or came twice",
                &["source"],
            )?,
            lies: declare.counters(
                "beth_ccn_content_lies_total",
                "Times that another node gave wrong bytes",
                &["source"],
            )?,
            given_bytes: declare.counter(
                "beth_ccn_content_given_bytes_total",
                "Bytes of contents given to neighbours in chunks",
            )?,
        })
    }
}
