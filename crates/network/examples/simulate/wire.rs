//! Bytes of what nodes send each other.
//!
//! ```text
//!   frame ─▶ Yamux: 12 ─▶ Noise: 2 + 16 ─▶ TCP/IP: 52 a packet
//!   └──────── counted as sent ─────────┘   └ takes time on links ┘
//! ```

use super::message::{Message, MessageIx};
use super::node::Side;
use beth_network::Wanted;
use std::rc::Rc;

/// The message topic; the other one that nodes follow counts in greetings.
const TOPIC: &str = "ALEPH-TEST";
const TOPICS: [&str; 2] = ["ALIVE", TOPIC];

/// Of an author with an Ed25519 key: its id, number and signature of a message.
const AUTHOR_BYTES: usize = 38;
const NUMBER_BYTES: usize = 8;
const SIGNATURE_BYTES: usize = 64;

/// Of the multiplexer and the cipher around a frame.
const AROUND_BYTES: usize = 12 + 2 + 16;
/// Payload and heads of a packet.
pub const PACKET_BYTES: usize = 1_448;
const HEAD_BYTES: usize = 52;

/// Length and kind of a frame of a visit.
const VISIT_HEAD_BYTES: usize = 5;
/// Length of a message in one.
const VISIT_LENGTH_BYTES: usize = 4;
/// To agree on the protocol of a stream.
const AGREE_BYTES: usize = 20 + 18;

/// What one node sends another.
#[derive(Clone, Debug)]
pub enum Frame {
    /// The topics that a node follows.
    Hello,
    /// A message.
    Publication(MessageIx),
    /// Messages that there are.
    Have(Rc<[MessageIx]>),
    /// Messages that are asked for.
    Want(Rc<[MessageIx]>),
    /// A message that is not wanted any more.
    DontWant(MessageIx),
    /// You are in my mesh.
    Graft,
    /// You are not.
    Prune,
    /// Of a visit, from the side that pays or receives it.
    Visit(Side, Box<Visiting>),
}

/// What is said during a visit.
#[derive(Clone, Debug)]
pub enum Visiting {
    /// May I?
    Open,
    /// Please.
    Opened,
    /// No; or that was all.
    Close,
    /// A request of the reconciliation.
    Ask(Vec<u8>),
    /// Its reply.
    Told(Vec<u8>),
    /// These, please.
    Want(Wanted),
    /// Messages.
    Messages(Vec<MessageIx>),
    /// All that was wanted, or, what was offered is taken.
    Done,
}

impl Frame {
    /// As they count: with what is around the frame in a connection.
    pub fn bytes(&self, messages: &[Message]) -> usize {
        let id = |message: &MessageIx| field(messages[*message as usize].id.len());
        let ids = |list: &[MessageIx]| list.iter().map(id).sum::<usize>();
        let frame = match self {
            Frame::Hello => {
                let topics = TOPICS.iter().map(|topic| field(2 + field(topic.len())));
                framed(topics.sum())
            }
            Frame::Publication(message) => messages[*message as usize].frame_bytes,
            Frame::Have(list) => control(field(TOPIC.len()) + ids(list)),
            Frame::Want(list) => control(ids(list)),
            Frame::DontWant(message) => control(id(message)),
            Frame::Graft => control(field(TOPIC.len())),
            Frame::Prune => control(field(TOPIC.len()) + 2),
            Frame::Visit(_, visiting) => visiting.bytes(messages),
        };
        frame + AROUND_BYTES
    }
}

impl Visiting {
    fn bytes(&self, messages: &[Message]) -> usize {
        match self {
            Visiting::Open | Visiting::Opened => AGREE_BYTES,
            Visiting::Close => 0,
            Visiting::Ask(body) | Visiting::Told(body) => VISIT_HEAD_BYTES + body.len(),
            Visiting::Want(wanted) => {
                VISIT_HEAD_BYTES + 4 + 16 * wanted.elements.len() + 32 * wanted.ranges.len()
            }
            Visiting::Messages(list) => {
                let bytes = |message: &MessageIx| messages[*message as usize].bytes;
                let each = list.iter().map(|one| VISIT_LENGTH_BYTES + bytes(one));
                VISIT_HEAD_BYTES + each.sum::<usize>()
            }
            Visiting::Done => VISIT_HEAD_BYTES,
        }
    }
}

/// The frame of a message with so many bytes of payload.
pub fn publication(payload: usize) -> usize {
    let message = field(AUTHOR_BYTES)
        + field(payload)
        + field(NUMBER_BYTES)
        + field(TOPIC.len())
        + field(SIGNATURE_BYTES);
    framed(field(message))
}

/// Packets of so many bytes.
pub fn packets(bytes: usize) -> usize {
    bytes.div_ceil(PACKET_BYTES).max(1)
}

/// Bytes with the heads of their packets.
pub fn on_link(bytes: usize) -> usize {
    bytes + packets(bytes) * HEAD_BYTES
}

fn control(body: usize) -> usize {
    framed(field(field(body)))
}

fn framed(body: usize) -> usize {
    varint(body) + body
}

/// A field whose length is told.
fn field(bytes: usize) -> usize {
    1 + framed(bytes)
}

fn varint(value: usize) -> usize {
    (usize::BITS - value.leading_zeros()).div_ceil(7).max(1) as usize
}
