//! Archives and their blocks against recorded ones, and against anything.

use beth_protocol::cid::Codec;
use beth_protocol::dag::Block;
use beth_protocol::dag::car::{CarFault, CarReader, Section};
use proptest::prelude::*;

/// The root of an archive, read in pieces of this length; and its blocks.
fn read(bytes: &[u8], piece: usize) -> Result<(String, Vec<Vec<u8>>), CarFault> {
    let (mut reader, mut root, mut blocks) = (CarReader::new(), String::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        reader.read(piece, |section| -> Result<(), CarFault> {
            match section {
                Section::Header { root: text, .. } => root = text,
                Section::Block { name, data, .. } => {
                    if !name.is_of(data) {
                        return Err(CarFault::Name(0));
                    }
                    blocks.push(data.to_vec());
                }
            }
            Ok(())
        })?;
    }
    reader.finish().map(|()| (root, blocks))
}

#[test]
fn recorded_archives() {
    let vectors = crate::vector("network/ipfs/car_vectors.json");
    for vector in vectors["valid"].as_array().unwrap() {
        let bytes = const_hex::decode(vector["car_hex"].as_str().unwrap()).unwrap();
        for piece in [1, 7, bytes.len()] {
            let (root, blocks) = read(&bytes, piece).unwrap();
            assert_eq!(root, vector["root"]);
            assert_eq!(blocks.len(), 1);
        }
        for end in 0..bytes.len() {
            let is_whole = read(&bytes[..end], 5).is_ok_and(|(_, blocks)| !blocks.is_empty());
            assert!(!is_whole, "cut at {end}");
        }
    }
    for vector in vectors["invalid_headers"].as_array().unwrap() {
        let bytes = const_hex::decode(vector["car_hex"].as_str().unwrap()).unwrap();
        let fault = read(&bytes, bytes.len().max(1)).unwrap_err();
        assert_eq!(fault.to_string(), vector["error"], "{}", vector["why"]);
    }
}

#[test]
fn files_of_the_default_layout_are_read() {
    for (bytes, data, size) in [
        ("0a0a08021204616263641804", &b"abcd"[..], 4),
        ("0a0408021800", b"", 0),
    ] {
        let bytes = const_hex::decode(bytes).unwrap();
        let block = Block::read(Codec::DagPb, &bytes).unwrap();
        let expected = Block::File {
            data,
            parts: Vec::new(),
            size_bytes: size,
        };
        assert_eq!(block, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// However an archive arrives, the same is found in it.
    #[test]
    fn pieces_do_not_matter(
        at in 0usize..117, byte in any::<u8>(), piece in 1usize..120, cut in 0usize..118,
    ) {
        let vectors = crate::vector("network/ipfs/car_vectors.json");
        let mut bytes =
            const_hex::decode(vectors["valid"][0]["car_hex"].as_str().unwrap()).unwrap();
        bytes.truncate(cut.max(1));
        if let Some(changed) = bytes.get_mut(at.min(58)) {
            *changed ^= byte;
        }
        prop_assert_eq!(read(&bytes, piece), read(&bytes, bytes.len()));
    }

    #[test]
    fn no_block_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Block::read(Codec::DagPb, &bytes);
        let _ = Block::read(Codec::DagPb, &[&[0x0a, bytes.len() as u8][..], &bytes].concat());
    }
}
