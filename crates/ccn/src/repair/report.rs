//! What a repair shall do, how far it is, and what it found.

use beth_store::blobs::{Extent, Proof};
use beth_store::query::kept::Kept;
use serde::{Deserialize, Serialize};

use crate::limits::REPAIR_FAULTS_SHOWN;

/// What shall be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wish {
    /// Only look.
    pub is_check: bool,
    /// Also compute the state digest again from every row.
    pub is_deep: bool,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Contents looked at.
    pub contents: u64,
    /// Of so many.
    pub contents_total: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Of so many, as noted.
    pub bytes_total: u64,
    /// Contents with something wrong.
    pub faults: u64,
    /// Of those, mended.
    pub mended: u64,
    /// The contents are done, the state is looked at.
    pub is_at_state: bool,
}

/// What is wrong with a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It is not here.
    Missing,
    /// It is not what its name says.
    Rotten,
    /// It is whole, and noted with another size or kind.
    Missized,
}

/// A content with something wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// SHA-256 or CID.
    pub hash: String,
    /// What is wrong.
    pub kind: FaultKind,
    /// The same in words.
    pub detail: String,
    /// It is right now.
    pub is_mended: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was to be done.
    pub wish: Wish,
    /// False when it was stopped before its end.
    pub is_complete: bool,
    /// Contents that were whole.
    pub whole: u64,
    /// Contents that are here and of which no byte can be compared with the
    /// name.
    pub unprovable: u64,
    /// Contents that were not here.
    pub missing: u64,
    /// Contents that were not what their names say.
    pub rotten: u64,
    /// Contents that were noted with another size.
    pub missized: u64,
    /// Of the missing, rotten and missized ones, how many are right now.
    pub mended: u64,
    /// Bytes read.
    pub bytes: u64,
    /// The first of the faults.
    pub faults: Vec<Fault>,
    /// What is wrong with the state, in sentences.
    pub state: Vec<String>,
    /// Messages in force.
    pub messages: u64,
    /// The state digest, as it is kept.
    pub digest: String,
    /// Time that it took.
    pub seconds: f64,
}

impl Report {
    /// Nothing was found yet.
    pub(super) fn of(wish: Wish) -> Report {
        Report {
            wish,
            ..Report::default()
        }
    }

    /// Contents looked at.
    pub fn contents(&self) -> u64 {
        self.whole + self.unprovable + self.missing + self.rotten
    }

    /// Contents with something wrong, now or before.
    pub fn faulty(&self) -> u64 {
        self.missing + self.rotten + self.missized
    }

    /// True when nothing was wrong and everything was looked at.
    pub fn is_whole(&self) -> bool {
        self.is_complete && self.faulty() == 0 && self.state.is_empty()
    }

    /// Counts what was found of a content; answers with what is wrong, and what
    /// it really is.
    pub(super) fn hear(&mut self, kept: &Kept, proof: Proof) -> Option<(Fault, Option<Extent>)> {
        let fault = |kind, detail: String| Fault {
            hash: kept.hash.clone(),
            kind,
            detail,
            is_mended: false,
        };
        match proof {
            Proof::Stopped => None,
            Proof::Missing => {
                self.missing += 1;
                Some((fault(FaultKind::Missing, "it is not here".into()), None))
            }
            Proof::Rotten(why) => {
                self.rotten += 1;
                Some((fault(FaultKind::Rotten, why), None))
            }
            Proof::Whole(extent) | Proof::Unprovable(extent) => {
                match proof {
                    Proof::Whole(_) => self.whole += 1,
                    _ => self.unprovable += 1,
                }
                let detail = misnoted(kept, extent)?;
                self.missized += 1;
                Some((fault(FaultKind::Missized, detail), Some(extent)))
            }
        }
    }

    /// Keeps a fault, if there is room.
    pub(super) fn keep(&mut self, fault: Fault) {
        self.mended += u64::from(fault.is_mended);
        if self.faults.len() < REPAIR_FAULTS_SHOWN {
            self.faults.push(fault);
        }
    }
}

/// What is noted of a content and is not so.
fn misnoted(kept: &Kept, extent: Extent) -> Option<String> {
    let Some((size, kind)) = &kept.noted else {
        return Some("nothing is noted of it".into());
    };
    let (real_size, real_kind) = (extent.size_bytes, extent.shape.as_str());
    let is_right = *size == real_size && kind == real_kind;
    (!is_right).then(|| {
        format!("noted as a {kind} of {size} bytes, it is a {real_kind} of {real_size} bytes")
    })
}
