//! The name of a file, found while its bytes pass.

use super::chain::{ChainHasher, State};
use super::{HashKind, ItemHash};
use crate::cid::{Cid, FileCheck, FileHasher, Layout, Leaves};

/// Names bytes the way an expected hash does, so that the two can be compared.
#[derive(Clone, Debug)]
pub struct Naming(Way);

#[derive(Clone, Debug)]
enum Way {
    Sha256(ChainHasher),
    Cid(Box<FileCheck>),
    File(Box<FileHasher>),
}

/// What was found out about the parts of named bytes.
#[derive(Clone, Debug)]
pub enum Parts {
    /// The states of SHA-256 between their chunks.
    States(Vec<State>),
    /// The leaves that a CID stands for.
    Leaves(Leaves),
    /// Nothing: they do not have the expected name.
    Unknown,
}

impl Parts {
    /// The leaves, of what is named by a CID.
    pub fn leaves(&self) -> Option<&Leaves> {
        match self {
            Parts::Leaves(leaves) => Some(leaves),
            _ => None,
        }
    }
}

impl Naming {
    /// By SHA-256.
    pub fn sha256() -> Naming {
        Naming(Way::Sha256(ChainHasher::default()))
    }

    /// By the CID of a file in this layout.
    pub fn cid(layout: Layout) -> Naming {
        Naming(Way::File(Box::new(FileHasher::new(layout))))
    }

    /// The way of a hash; `None` for a CID of which nothing but the network can
    /// tell what bytes it names (another hash function).
    pub fn of(expected: &ItemHash) -> Option<Naming> {
        match expected.kind() {
            HashKind::Storage => Some(Naming::sha256()),
            HashKind::Ipfs => {
                let cid = Cid::parse(expected.as_str()).ok()?;
                Some(Naming(Way::Cid(Box::new(FileCheck::new(cid)))))
            }
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Way::Sha256(hasher) => hasher.update(bytes),
            Way::Cid(check) => check.update(bytes),
            Way::File(hasher) => hasher.update(bytes),
        }
    }

    /// The name of the bytes: the expected one when it is theirs.
    pub fn finish(self) -> ItemHash {
        self.finish_with_parts().0
    }

    /// The same, and what is known of the parts of the bytes.
    pub fn finish_with_parts(self) -> (ItemHash, Parts) {
        match self.0 {
            Way::Sha256(hasher) => {
                let (digest, states) = hasher.finish();
                (ItemHash::of_digest(digest), Parts::States(states))
            }
            Way::Cid(check) => match check.finish_with_leaves() {
                Ok((cid, leaves)) => (ItemHash(cid.to_string()), Parts::Leaves(leaves)),
                Err(other) => (ItemHash(other.to_string()), Parts::Unknown),
            },
            Way::File(hasher) => {
                let (cid, leaves) = hasher.finish_with_leaves();
                (ItemHash(cid.to_string()), Parts::Leaves(leaves))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cid::Layout;

    #[test]
    fn bytes_have_the_name_of_their_kind() {
        for bytes in [&b""[..], b"hello world", &[7; 300_000]] {
            let v0 = Cid::of_bytes(Layout::V0, bytes).to_string();
            let v1 = Cid::of_bytes(Layout::V1, bytes).to_string();
            let other = Cid::of_bytes(Layout::V0, b"other").to_string();
            let sha256 = ItemHash::of_bytes(bytes).to_string();
            for (expected, found) in [
                (&v0, &v0),
                (&v1, &v1),
                (&sha256, &sha256),
                (&other, &v0),
                (&"0".repeat(64), &sha256),
            ] {
                let mut naming = Naming::of(&ItemHash::parse(expected).unwrap()).unwrap();
                naming.update(bytes);
                let name = naming.finish();
                assert_eq!(name.as_str(), found);
                assert_eq!(ItemHash::parse(found), Ok(name));
            }
        }
    }

    #[test]
    fn a_wrong_v1_name_gets_an_item_hash_too() {
        let other = Cid::of_bytes(Layout::V1, b"other").to_string();
        let mut naming = Naming::of(&ItemHash::parse(&other).unwrap()).unwrap();
        naming.update(b"hello world");
        assert_eq!(
            naming.finish().as_str(),
            "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"
        );
        let unknown = ItemHash::parse("Qm111111111111111111111111111111111111111111").unwrap();
        assert!(Naming::of(&unknown).is_none());
    }
}
