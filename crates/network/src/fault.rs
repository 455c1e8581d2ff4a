//! What a peer can do wrong, and how much each costs it.
//!
//! ```text
//!   content, bitswap, sync ──demote(peer, fault)──▶ standing: points, fading
//!                                                      │
//!                                                      ▼
//!                    gossip's score of the peer − points ≤ −100: cut off
//! ```

/// What a peer did that an honest one does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The whole that it sent is not what was asked for by hash.
    WrongContent,
    /// A part that it sent does not prove to be of what was asked for.
    WrongChunk,
    /// A frame that says nothing, or something that makes no sense now.
    Garbage,
    /// A frame beyond the limit of its protocol.
    Oversized,
    /// More requests or messages than anybody needs.
    Flood,
    /// A message that is malformed or whose signature is wrong.
    InvalidMessage,
    /// It said that it had something, and had not.
    BrokenPromise,
    /// It took the request and never answered.
    Silence,
}

impl Fault {
    /// What it costs: a peer with 100 points is cut off. Half of the points
    /// are forgotten every ten minutes.
    pub fn points(self) -> f64 {
        match self {
            Fault::WrongContent | Fault::WrongChunk => 34.0,
            Fault::Oversized | Fault::Flood => 25.0,
            Fault::Garbage => 20.0,
            Fault::InvalidMessage => 10.0,
            Fault::BrokenPromise => 5.0,
            // May be an accident of the network.
            Fault::Silence => 1.0,
        }
    }

    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::WrongContent => "wrong_content",
            Fault::WrongChunk => "wrong_chunk",
            Fault::Garbage => "garbage",
            Fault::Oversized => "oversized",
            Fault::Flood => "flood",
            Fault::InvalidMessage => "invalid_message",
            Fault::BrokenPromise => "broken_promise",
            Fault::Silence => "silence",
        }
    }
}
