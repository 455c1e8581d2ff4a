//! Contents that are read again, and what was wrong with them.

use prometheus::{IntCounter, IntCounterVec};

use super::declare::Declare;

/// Repairs, and the slow reading of everything.
pub struct Repair {
    /// Contents compared with their names, by what they were.
    pub proven: IntCounterVec,
    /// Bytes read.
    pub bytes: IntCounter,
    /// Faults, by whether they were mended.
    pub mended: IntCounterVec,
}

impl Repair {
    pub(super) fn declare(declare: &Declare<'_>) -> Result<Repair, prometheus::Error> {
        let repair = Repair {
            proven: declare.counters(
                "beth_ccn_contents_proven_total",
                "Contents read again and compared with their names",
                &["found"],
            )?,
            bytes: declare.counter(
                "beth_ccn_contents_proven_bytes_total",
                "Bytes of contents read again",
            )?,
            mended: declare.counters(
                "beth_ccn_contents_mended_total",
                "Contents with something wrong, by whether it was mended",
                &["outcome"],
            )?,
        };
        // A fault shall be seen as a step from 0.
        for found in ["whole", "unprovable", "missing", "rotten"] {
            repair.proven.with_label_values(&[found]).inc_by(0);
        }
        for outcome in ["mended", "left"] {
            repair.mended.with_label_values(&[outcome]).inc_by(0);
        }
        Ok(repair)
    }
}
