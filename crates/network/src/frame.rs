//! The length of a publication on the wire, known before it is signed.
//!
//! ```text
//!   varint │ RPC{ 2: Message{ 1 from, 2 data, 3 seqno, 4 topic, 5 signature, 6 key? } }
//! ```

use libp2p::identity::{Keypair, SigningError};

use crate::limits::FRAME_BYTES;

/// What one signer adds to every message of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    from_bytes: usize,
    signature_bytes: usize,
    key_bytes: Option<usize>,
}

/// The largest encoded message whose frame still has [`FRAME_BYTES`]: one tag
/// and twice a length of three bytes around it.
pub(crate) const MESSAGE_BYTES: usize = FRAME_BYTES - 7;

/// A public key up to this length is part of the peer id and is not repeated.
const INLINE_KEY_BYTES: usize = 42;

const SEQNO_BYTES: usize = 8;

impl Envelope {
    /// Measures a signer.
    pub(crate) fn of(keypair: &Keypair) -> Result<Envelope, SigningError> {
        let public = keypair.public();
        let key_bytes = public.encode_protobuf().len();
        Ok(Envelope {
            from_bytes: public.to_peer_id().to_bytes().len(),
            signature_bytes: keypair.sign(b"")?.len(),
            key_bytes: (key_bytes > INLINE_KEY_BYTES).then_some(key_bytes),
        })
    }

    /// The bytes on the wire, length prefix included.
    pub(crate) fn frame_bytes(&self, topic: &str, data: &[u8]) -> usize {
        let message = field(self.from_bytes)
            + field(data.len())
            + field(SEQNO_BYTES)
            + field(topic.len())
            + field(self.signature_bytes)
            + self.key_bytes.map_or(0, field);
        let rpc = field(message);
        varint(rpc) + rpc
    }
}

/// A length-delimited field whose number is below 16.
fn field(bytes: usize) -> usize {
    1 + varint(bytes) + bytes
}

fn varint(value: usize) -> usize {
    let bits = usize::BITS - value.leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn varints() {
        for (value, bytes) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3)] {
            assert_eq!(varint(value), bytes, "{value}");
        }
        assert_eq!(
            varint(field(MESSAGE_BYTES)) + field(MESSAGE_BYTES),
            FRAME_BYTES
        );
    }

    #[test]
    fn upstream_frame() {
        let sample: Value = serde_json::from_str(include_str!(
            "../../../vectors/network/p2p/gossipsub_rpc_sample.json"
        ))
        .unwrap();
        let envelope = Envelope {
            from_bytes: 34,
            signature_bytes: sample["signature_hex"].as_str().unwrap().len() / 2,
            key_bytes: Some(299),
        };
        let data = sample["data_utf8"].as_str().unwrap().as_bytes();
        let frame = sample["rpc_publish_frame_hex"].as_str().unwrap();
        assert_eq!(envelope.frame_bytes("ALIVE", data), frame.len() / 2);
    }
}
