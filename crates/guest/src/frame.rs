//! Frames: how node and guest talk over one byte stream.
//!
//! ```text
//! ┌────────────────┬──────────────┬──────┬─────────────────────┐
//! │ length u32 BE  │ call u32 BE  │ kind │ payload: MessagePack│
//! └────────────────┴──────────────┴──────┴─────────────────────┘
//!    of the payload   0 = no call
//! ```
//!
//! | kind | from | payload |
//! |---|---|---|
//! | hello | guest | `{version, uptime_ms, started_ms}` |
//! | config | node | the fields of compute.md §13.3, files replaced by drive names |
//! | ready | guest | `{success: true, phases}` or `{success: false, kind, error, traceback}` |
//! | run | node | `{scope}` (§13.4); `scope.body` begins the body, `scope.more_body` says that chunks follow |
//! | reply | guest | `{headers: {status, headers}, body: {body, more_body}}`, `{accept: {subprotocol, headers}}` or `{error, traceback}` |
//! | chunk | both | binary: a piece of the body; of a WebSocket one message, text or binary |
//! | end | both | nil: the body is complete; guest: `{error, traceback}`: it broke off; WebSocket: `{code, reason}` |
//! | credit | both | unsigned: so much of what came was taken |
//! | cancel | node | nil: nobody waits for this call any more |
//! | halt | node | nil |
//! | progress | guest | nil: the interpreter runs, the program comes next |
//! | wake | node | `{unix_ns, seed}`: time has passed; `seed` for a clone: be another |
//! | wake | guest | what ready says, once a clone is another |
//! | exit | guest | `{status, error}`: the program has ended, the machine follows |
//! | ask | guest, port "api" | `{method, target, body}` |
//! | answer | node, port "api" | `{status, type, body, head}`; `head`: without its body |
//!
//! Bodies that do not fit into run or reply follow in chunks, both ways at once.
//! For each call and direction there is a window: whoever sends may begin a
//! chunk while it has any credit left, and a chunk costs its bytes and
//! [`CHUNK_COST`]. Who takes gives credit back, so a slow taker halts its own
//! call and no other, and neither side keeps more than a window and a chunk.

use rmpv::Value;

/// What a guest of this version says in its hello.
pub const VERSION: &str = "3.0.0";
/// Name of the virtio-serial port that carries frames.
pub const PORT: &str = "beth";
/// Name of the virtio-serial port that carries what the program prints.
pub const LOG_PORT: &str = "log";
/// Name of the virtio-serial port of the guest API.
pub const API_PORT: &str = "api";
/// Serial number of the drive with the root filesystem.
pub const ROOT_DRIVE: &str = "root";
/// Bytes before the payload.
pub const HEADER_BYTES: usize = 9;
/// Longest payload that either side accepts: the largest configuration of a
/// program, 4 MiB, and what surrounds it.
pub const MAX_PAYLOAD_BYTES: usize = 6 << 20;
/// Credit of either side of a call at its beginning.
pub const WINDOW_BYTES: usize = 256 << 10;
/// What a chunk costs besides its bytes.
pub const CHUNK_COST: usize = 64;
/// Longest chunk of a body, and the longest body inside run or reply.
pub const MAX_CHUNK_BYTES: usize = 64 << 10;
/// Longest message of a WebSocket, which is one chunk.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// Most elements of a payload. Each becomes dozens of bytes of memory, however
/// short it is in the frame.
pub const MAX_ELEMENTS: usize = 20_000;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The guest is there.
    Hello = 1,
    /// What to run.
    Config = 2,
    /// It runs, or why not.
    Ready = 3,
    /// One call.
    Run = 4,
    /// Its answer.
    Reply = 5,
    /// Nobody waits for the call any more.
    Cancel = 6,
    /// End the program.
    Halt = 7,
    /// The program has ended.
    Exit = 8,
    /// The interpreter runs, the program comes next.
    Progress = 9,
    /// Time has passed.
    Wake = 10,
    /// A piece of a body.
    Chunk = 11,
    /// A body is complete, or broke off.
    End = 12,
    /// Pieces were taken.
    Credit = 13,
    /// A request of the guest API.
    Ask = 14,
    /// What the node answers.
    Answer = 15,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        use Kind::{
            Answer, Ask, Cancel, Chunk, Config, Credit, End, Exit, Halt, Hello, Progress, Ready,
            Reply, Run, Wake,
        };
        [
            Hello, Config, Ready, Run, Reply, Cancel, Halt, Exit, Progress, Wake, Chunk, End,
            Credit, Ask, Answer,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of payload that follow.
    pub length: usize,
    /// Which call; 0 for none.
    pub call: u32,
    /// What it is.
    pub kind: Kind,
}

impl Header {
    /// Reads a header; the error says what is wrong with it.
    pub fn parse(bytes: [u8; HEADER_BYTES]) -> Result<Header, String> {
        let [a, b, c, d, e, f, g, h, kind] = bytes;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > MAX_PAYLOAD_BYTES {
            return Err(format!(
                "a frame of {length} bytes; at most {MAX_PAYLOAD_BYTES} are allowed"
            ));
        }
        let kind = Kind::of(kind).ok_or_else(|| format!("a frame of unknown kind {kind}"))?;
        Ok(Header {
            length,
            call: u32::from_be_bytes([e, f, g, h]),
            kind,
        })
    }
}

/// The bytes of a frame.
pub fn encode(kind: Kind, call: u32, payload: &Value) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    // Writing to a vector does not fail.
    let _ = rmpv::encode::write_value(&mut bytes, payload);
    let length = (bytes.len() - HEADER_BYTES) as u32;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes[4..8].copy_from_slice(&call.to_be_bytes());
    bytes[8] = kind as u8;
    bytes
}

/// The payload of a frame. Elements are counted before anything is built;
/// nesting and trailing bytes are bounded by `rmpv`.
pub fn decode(payload: &[u8]) -> Result<Value, String> {
    if !has_few_elements(payload) {
        return Err(format!("a payload of more than {MAX_ELEMENTS} elements"));
    }
    let mut rest = payload;
    let value = rmpv::decode::read_value_with_max_depth(&mut rest, 64)
        .map_err(|error| error.to_string())?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(format!("{} bytes behind the payload", rest.len()))
    }
}

/// True for at most [`MAX_ELEMENTS`]; whether they fit together is for the
/// decoder to say.
fn has_few_elements(payload: &[u8]) -> bool {
    let mut at = 0;
    for _ in 0..=MAX_ELEMENTS {
        let Some(&marker) = payload.get(at) else {
            return true;
        };
        let length = |bytes: usize| {
            let digits = payload.get(at + 1..at + 1 + bytes).unwrap_or_default();
            let length = digits
                .iter()
                .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            bytes + length
        };
        let behind = match marker {
            0xa0..=0xbf => usize::from(marker & 0x1f),
            0xc4 | 0xd9 => length(1),
            0xc5 | 0xda => length(2),
            0xc6 | 0xdb => length(4),
            0xc7 => length(1) + 1,
            0xc8 => length(2) + 1,
            0xc9 => length(4) + 1,
            0xcc | 0xd0 => 1,
            0xcd | 0xd1 | 0xd4 | 0xdc | 0xde => 2,
            0xd5 => 3,
            0xca | 0xce | 0xd2 | 0xdd | 0xdf => 4,
            0xd6 => 5,
            0xcb | 0xcf | 0xd3 => 8,
            0xd7 => 9,
            0xd8 => 17,
            _ => 0,
        };
        at = at.saturating_add(1 + behind);
    }
    false
}

/// A member of a map, `Nil` when absent.
pub fn member<'a>(map: &'a Value, name: &str) -> &'a Value {
    let entries = map.as_map().map_or(&[][..], Vec::as_slice);
    entries
        .iter()
        .find(|(key, _)| key.as_str() == Some(name))
        .map_or(&Value::Nil, |(_, value)| value)
}

/// A map with text keys.
pub fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(
        entries
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn frames_are_read_as_they_were_written() {
        let payload = map([("version", VERSION.into()), ("uptime_ms", 1200.into())]);
        let bytes = encode(Kind::Hello, 7, &payload);
        let (head, rest) = bytes.split_at(HEADER_BYTES);
        let header = Header::parse(head.try_into().unwrap()).unwrap();
        assert_eq!(
            header,
            Header {
                length: rest.len(),
                call: 7,
                kind: Kind::Hello
            }
        );
        assert_eq!(decode(rest).unwrap(), payload);
        assert_eq!(member(&payload, "version").as_str(), Some("3.0.0"));
        assert_eq!(member(&payload, "absent"), &Value::Nil);
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        let mut huge = [0; HEADER_BYTES];
        huge[0] = 0xff;
        assert!(Header::parse(huge).unwrap_err().contains("at most"));
        assert!(
            Header::parse([0; HEADER_BYTES])
                .unwrap_err()
                .contains("unknown kind 0")
        );
        assert!(decode(&[0x81]).is_err());
        assert!(
            decode(&[0xc0, 0xc0])
                .unwrap_err()
                .contains("1 bytes behind")
        );
        assert!(decode(&vec![0x91; 10_000]).is_err(), "nested too deep");
        assert!(
            decode(&vec![0xc0; MAX_ELEMENTS + 1])
                .unwrap_err()
                .contains("elements")
        );
    }

    #[test]
    fn elements_are_counted_however_they_are_written() {
        let of_every_length = [0, 20, 200, 70_000].map(|length| {
            let text = "x".repeat(length);
            Value::Array(vec![
                text.as_str().into(),
                Value::Binary(text.clone().into_bytes()),
                Value::Ext(1, text.into_bytes()),
            ])
        });
        let numbers = [1u64, 1 << 7, 1 << 15, 1 << 31, 1 << 63].map(Value::from);
        let negative = [-1i64, -100, -1 << 14, -1 << 30, -1 << 62].map(Value::from);
        let rest = [1, 2, 4, 8, 16].map(|length| Value::Ext(2, vec![0; length]));
        let mut all = vec![Value::F32(1.5), Value::F64(1.5), true.into(), Value::Nil];
        for values in [&of_every_length[..], &numbers, &negative, &rest] {
            all.extend_from_slice(values);
        }
        // One, and twelve more within the arrays of texts.
        let count = 1 + all.len() + 12;
        let filled = |nils| {
            let mut values = all.clone();
            values.resize(all.len() + nils, Value::Nil);
            encode(Kind::Reply, 1, &Value::Array(values))
        };
        let (most, more) = (
            filled(MAX_ELEMENTS - count),
            filled(MAX_ELEMENTS - count + 1),
        );
        assert!(decode(&most[HEADER_BYTES..]).is_ok());
        assert!(decode(&more[HEADER_BYTES..]).is_err());
    }
}
