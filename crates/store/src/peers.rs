//! Where other nodes say that they can be reached: one address a node and kind.
//!
//! Rows outlive their node; whoever reads says how old they may be. Who may
//! have a row, and what an address must look like, is judged before.

use beth_protocol::alive::PeerType;
use beth_protocol::time::Timestamp;

use crate::error::Error;
use crate::limits::PEERS_MAX;
use crate::state::State;

/// What a node last said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPeer {
    /// Who said it; also of addresses that name nobody.
    pub peer_id: String,
    /// What kind of address.
    pub peer_type: PeerType,
    /// A multiaddress or a base URL.
    pub address: String,
    /// The carrier it was heard on: `P2P` or `IPFS`.
    pub source: String,
    /// When it was last heard.
    pub last_seen: Timestamp,
}

impl State<'_> {
    /// Writes what a node says of itself, in the place of what it said before.
    pub fn meet_peer(&self, peer: &StoredPeer) -> Result<(), Error> {
        self.run(
            "INSERT INTO peers (peer_id, peer_type, address, source, last_seen) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (peer_id, peer_type) DO UPDATE SET address = ?3, source = ?4, last_seen = ?5",
            (
                &peer.peer_id,
                peer.peer_type.as_str(),
                &peer.address,
                &peer.source,
                peer.last_seen.micros(),
            ),
        )?;
        let rows = self.number("SELECT count(*) FROM peers", Vec::new())?;
        if rows > PEERS_MAX {
            self.run(
                "DELETE FROM peers WHERE (peer_id, peer_type) IN
                    (SELECT peer_id, peer_type FROM peers ORDER BY last_seen LIMIT ?1)",
                [i64::try_from(rows - PEERS_MAX).unwrap_or(i64::MAX)],
            )?;
        }
        Ok(())
    }

    /// Those of a kind that were heard since a time, the latest first.
    pub fn peers(&self, kind: PeerType, since: Timestamp) -> Result<Vec<StoredPeer>, Error> {
        self.all(
            "SELECT peer_id, address, source, last_seen FROM peers
             WHERE peer_type = ?1 AND last_seen >= ?2 ORDER BY last_seen DESC, peer_id",
            (kind.as_str(), since.micros()),
            |row| {
                Ok(StoredPeer {
                    peer_id: row.get(0)?,
                    peer_type: kind,
                    address: row.get(1)?,
                    source: row.get(2)?,
                    last_seen: Timestamp::from_micros(row.get(3)?),
                })
            },
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Store;

    fn peer(peer_id: &str, address: &str, seconds: i64) -> StoredPeer {
        StoredPeer {
            peer_id: peer_id.to_owned(),
            peer_type: PeerType::Http,
            address: address.to_owned(),
            source: "P2P".to_owned(),
            last_seen: Timestamp::from_seconds(seconds),
        }
    }

    #[test]
    fn the_latest_word_of_a_node_counts_and_ages() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("state.sqlite")).unwrap();
        let said = [
            peer("a", "http://a", 10),
            peer("b", "http://b", 20),
            peer("a", "http://c", 30),
            StoredPeer {
                peer_type: PeerType::P2p,
                ..peer("a", "/ip4", 5)
            },
        ];
        let write = |state: &State<'_>| said.iter().try_for_each(|peer| state.meet_peer(peer));
        store.writer.transaction(write).unwrap();
        let read = |kind, seconds| {
            let since = Timestamp::from_seconds(seconds);
            let peers = store.readers.read(|state| state.peers(kind, since));
            peers.unwrap()
        };
        assert_eq!(read(PeerType::Http, 0), [said[2].clone(), said[1].clone()]);
        assert_eq!(read(PeerType::Http, 30), [said[2].clone()]);
        assert_eq!(read(PeerType::P2p, 0), [said[3].clone()]);
        assert_eq!(read(PeerType::Ipfs, 0), []);
        let totals = store.readers.read(|state| state.totals()).unwrap();
        assert_eq!(totals.peers, 3);
    }

    #[test]
    fn the_table_has_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("state.sqlite")).unwrap();
        let most = i64::try_from(PEERS_MAX).unwrap();
        let write = |state: &State<'_>| {
            (0..most + 3).try_for_each(|at| state.meet_peer(&peer(&at.to_string(), "http://a", at)))
        };
        store.writer.transaction(write).unwrap();
        let since = Timestamp::from_seconds(0);
        let kept = store
            .readers
            .read(|state| state.peers(PeerType::Http, since));
        let kept = kept.unwrap();
        assert_eq!(kept.len() as i64, most);
        assert_eq!(kept.last().unwrap().last_seen, Timestamp::from_seconds(3));
    }
}
