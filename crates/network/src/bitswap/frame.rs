//! Messages of bitswap 1.2 and older.
//!
//! ```text
//!   Message   1 wantlist │ 2 blocks* │ 3 payload* │ 4 presences* │ 5 pending bytes
//!   wantlist  1 entries* │ 2 full
//!   entry     1 CID │ 2 priority │ 3 cancel │ 4 kind (0 block, 1 have) │ 5 send "don't have"
//!   payload   1 prefix of the CID │ 2 bytes
//!   presence  1 CID │ 2 kind (0 have, 1 don't have)
//! ```
//!
//! `blocks` is what 1.0 sends instead of `payload`. Unknown fields are skipped,
//! as are items beyond what a message may have.

use super::proto::{Fields, Nonsense, Value, put_bytes, put_number};
use crate::limits::{EXCHANGE_CID_BYTES, EXCHANGE_ITEMS};

/// One message, either way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// The wants are all that the sender has.
    pub(super) full: bool,
    pub(super) wants: Vec<Want>,
    pub(super) blocks: Vec<Block>,
    pub(super) presences: Vec<Presence>,
    pub(super) pending_bytes: u64,
}

/// What is asked about a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Is it there?
    Have,
    /// Its bytes.
    #[default]
    Block,
}

/// An entry of a wantlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) cid: Vec<u8>,
    /// Greater comes first.
    pub(super) priority: i32,
    /// The want is over.
    pub(super) cancel: bool,
    pub(super) kind: Kind,
    /// Absence is to be told.
    pub(super) tell_absence: bool,
}

/// A block and how its CID begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// Empty in version 1.0.
    pub(super) prefix: Vec<u8>,
    pub(super) bytes: Vec<u8>,
}

/// Whether a block is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Presence {
    pub(super) cid: Vec<u8>,
    pub(super) here: bool,
}

impl Message {
    /// Reads one.
    pub(super) fn decode(bytes: &[u8]) -> Result<Message, Nonsense> {
        let mut message = Message::default();
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(list)) => message.read_wants(list)?,
                (2, Value::Bytes(bytes)) if message.blocks.len() < EXCHANGE_ITEMS => {
                    message.blocks.push(Block {
                        prefix: Vec::new(),
                        bytes: bytes.to_vec(),
                    });
                }
                (3, Value::Bytes(block)) if message.blocks.len() < EXCHANGE_ITEMS => {
                    message.blocks.push(read_block(block)?);
                }
                (4, Value::Bytes(presence)) if message.presences.len() < EXCHANGE_ITEMS => {
                    message.presences.push(read_presence(presence)?);
                }
                (5, Value::Number(bytes)) => message.pending_bytes = bytes,
                _ => {}
            }
        }
        Ok(message)
    }

    fn read_wants(&mut self, list: &[u8]) -> Result<(), Nonsense> {
        for field in Fields(list) {
            match field? {
                (1, Value::Bytes(entry)) if self.wants.len() < EXCHANGE_ITEMS => {
                    self.wants.push(read_want(entry)?);
                }
                (2, Value::Number(full)) => self.full = full != 0,
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes one.
    pub(super) fn encode(&self) -> Vec<u8> {
        let bytes: usize = self.blocks.iter().map(|block| block.bytes.len() + 32).sum();
        let mut out = Vec::with_capacity(bytes + 64 * (self.wants.len() + self.presences.len()));
        let mut part = Vec::new();
        if self.full || !self.wants.is_empty() {
            let mut list = Vec::new();
            for want in &self.wants {
                part.clear();
                put_bytes(&mut part, 1, &want.cid);
                put_number(&mut part, 2, i64::from(want.priority) as u64);
                put_number(&mut part, 3, want.cancel.into());
                put_number(&mut part, 4, (want.kind == Kind::Have).into());
                put_number(&mut part, 5, want.tell_absence.into());
                put_bytes(&mut list, 1, &part);
            }
            put_number(&mut list, 2, self.full.into());
            put_bytes(&mut out, 1, &list);
        }
        for block in &self.blocks {
            if block.prefix.is_empty() {
                put_bytes(&mut out, 2, &block.bytes);
                continue;
            }
            part.clear();
            put_bytes(&mut part, 1, &block.prefix);
            put_bytes(&mut part, 2, &block.bytes);
            put_bytes(&mut out, 3, &part);
        }
        for presence in &self.presences {
            part.clear();
            put_bytes(&mut part, 1, &presence.cid);
            put_number(&mut part, 2, (!presence.here).into());
            put_bytes(&mut out, 4, &part);
        }
        put_number(&mut out, 5, self.pending_bytes);
        out
    }

    /// True when it says nothing.
    pub(super) fn is_empty(&self) -> bool {
        !self.full && self.wants.is_empty() && self.blocks.is_empty() && self.presences.is_empty()
    }
}

fn read_want(bytes: &[u8]) -> Result<Want, Nonsense> {
    let mut want = Want::default();
    for field in Fields(bytes) {
        match field? {
            (1, Value::Bytes(cid)) => want.cid = read_cid(cid)?,
            (2, Value::Number(priority)) => want.priority = priority as i32,
            (3, Value::Number(cancel)) => want.cancel = cancel != 0,
            (4, Value::Number(1)) => want.kind = Kind::Have,
            (5, Value::Number(tell)) => want.tell_absence = tell != 0,
            _ => {}
        }
    }
    Ok(want)
}

fn read_block(bytes: &[u8]) -> Result<Block, Nonsense> {
    let mut block = Block::default();
    for field in Fields(bytes) {
        match field? {
            (1, Value::Bytes(prefix)) => block.prefix = read_cid(prefix)?,
            (2, Value::Bytes(bytes)) => block.bytes = bytes.to_vec(),
            _ => {}
        }
    }
    Ok(block)
}

fn read_presence(bytes: &[u8]) -> Result<Presence, Nonsense> {
    let mut presence = Presence {
        cid: Vec::new(),
        here: true,
    };
    for field in Fields(bytes) {
        match field? {
            (1, Value::Bytes(cid)) => presence.cid = read_cid(cid)?,
            (2, Value::Number(kind)) => presence.here = kind == 0,
            _ => {}
        }
    }
    Ok(presence)
}

fn read_cid(bytes: &[u8]) -> Result<Vec<u8>, Nonsense> {
    if bytes.len() > EXCHANGE_CID_BYTES {
        return Err(Nonsense);
    }
    Ok(bytes.to_vec())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sample() -> Message {
        Message {
            full: true,
            wants: vec![
                Want {
                    cid: vec![1, 0x55],
                    priority: -1,
                    cancel: false,
                    kind: Kind::Have,
                    tell_absence: true,
                },
                Want {
                    cid: vec![2],
                    priority: i32::MAX,
                    cancel: true,
                    ..Want::default()
                },
            ],
            blocks: vec![
                Block {
                    prefix: vec![1, 0x55, 0x12, 0x20],
                    bytes: vec![7; 300],
                },
                Block {
                    prefix: Vec::new(),
                    bytes: vec![8],
                },
            ],
            presences: vec![
                Presence {
                    cid: vec![3],
                    here: true,
                },
                Presence {
                    cid: vec![4],
                    here: false,
                },
            ],
            pending_bytes: 70_000,
        }
    }

    #[test]
    fn messages_round_trip() {
        let mut message = sample();
        let read = Message::decode(&message.encode()).unwrap();
        // Those of the first version are a field of their own.
        assert_eq!(read, message);
        message = Message::default();
        assert!(message.is_empty() && message.encode().is_empty());
    }

    #[test]
    fn bytes_on_the_wire() {
        let message = Message {
            wants: vec![Want {
                cid: vec![0xaa, 0xbb],
                priority: 1,
                cancel: false,
                kind: Kind::Have,
                tell_absence: true,
            }],
            presences: vec![Presence {
                cid: vec![0xcc],
                here: false,
            }],
            ..Message::default()
        };
        let wire = [
            0x0a, 0x0c, 0x0a, 0x0a, 0x0a, 0x02, 0xaa, 0xbb, 0x10, 0x01, 0x20, 0x01, 0x28, 0x01,
            0x22, 0x05, 0x0a, 0x01, 0xcc, 0x10, 0x01,
        ];
        assert_eq!(message.encode(), wire);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [&b"garbage that is long"[..], &[0xff; 40], &[0x0a, 0x7f, 1]] {
            assert_eq!(Message::decode(bad), Err(Nonsense));
        }
        let mut wire = sample().encode();
        for cut in 1..wire.len() {
            // Never a panic, whatever is missing.
            let _ = Message::decode(&wire[..cut]);
        }
        for at in 0..wire.len() {
            wire[at] ^= 0x55;
            let _ = Message::decode(&wire);
        }
    }

    #[test]
    fn many_items_are_cut() {
        let message = Message {
            wants: vec![Want::default(); EXCHANGE_ITEMS + 10],
            ..Message::default()
        };
        let read = Message::decode(&message.encode()).unwrap();
        assert_eq!(read.wants.len(), EXCHANGE_ITEMS);
    }

    proptest::proptest! {
        /// Peers send what they like: it is read, or refused, and what is read is
        /// written as something that reads the same.
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            if let Ok(message) = Message::decode(&bytes) {
                let again = Message::decode(&message.encode());
                proptest::prop_assert!(again.is_ok_and(|again| again == message));
            }
        }

        /// The same with bytes that are nearly right.
        #[test]
        fn a_frame_with_other_bytes_in_it(
            changes in proptest::collection::vec((0..400_usize, proptest::num::u8::ANY), 1..6)
        ) {
            let mut bytes = sample().encode();
            for (place, byte) in changes {
                let place = place % bytes.len();
                bytes[place] = byte;
            }
            if let Ok(message) = Message::decode(&bytes) {
                let again = Message::decode(&message.encode());
                proptest::prop_assert!(again.is_ok_and(|again| again == message));
            }
        }
    }
}
