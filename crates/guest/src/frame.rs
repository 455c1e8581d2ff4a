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
//! | run | node | `{scope}` (§13.4) |
//! | reply | guest | `{headers: {status, headers}, body: {body}}` or `{error, traceback}` |
//! | cancel | node | nil: nobody waits for this call any more |
//! | halt | node | nil |
//! | progress | guest | nil: the interpreter runs, the program comes next |
//! | exit | guest | `{status, error}`: the program has ended, the machine follows |

use rmpv::Value;

/// What a guest of this version says in its hello.
pub const VERSION: &str = "3.0.0";
/// Name of the virtio-serial port that carries frames.
pub const PORT: &str = "beth";
/// Name of the virtio-serial port that carries what the program prints.
pub const LOG_PORT: &str = "log";
/// Serial number of the drive with the root filesystem.
pub const ROOT_DRIVE: &str = "root";
/// Bytes before the payload.
pub const HEADER_BYTES: usize = 9;
/// Longest payload that either side accepts.
pub const MAX_PAYLOAD_BYTES: usize = 32 << 20;

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
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        use Kind::{Cancel, Config, Exit, Halt, Hello, Progress, Ready, Reply, Run};
        [
            Hello, Config, Ready, Run, Reply, Cancel, Halt, Exit, Progress,
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

/// The payload of a frame. Nesting and trailing bytes are bounded by `rmpv`.
pub fn decode(payload: &[u8]) -> Result<Value, String> {
    let mut rest = payload;
    let value = rmpv::decode::read_value_with_max_depth(&mut rest, 64)
        .map_err(|error| error.to_string())?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(format!("{} bytes behind the payload", rest.len()))
    }
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
    }
}
