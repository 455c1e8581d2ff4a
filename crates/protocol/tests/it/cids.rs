//! Names of files against recorded ones.

use beth_protocol::cid::{Cid, FileCheck, FileHasher, Layout};
use beth_protocol::{HashKind, ItemHash};
use proptest::prelude::*;

/// Bytes of a recorded file: text, or one byte again and again.
fn bytes(vector: &serde_json::Value) -> Vec<u8> {
    if let Some(text) = vector["bytes_utf8"].as_str() {
        return text.as_bytes().to_vec();
    }
    let words: Vec<&str> = vector["generator"].as_str().unwrap().split(' ').collect();
    let ["byte", byte, "repeated", count, "times"] = words[..] else {
        panic!("an unknown generator: {words:?}");
    };
    let byte = u8::from_str_radix(byte.trim_start_matches("0x"), 16).unwrap();
    vec![byte; count.parse().unwrap()]
}

#[test]
fn recorded_files() {
    let vectors = crate::vector("messages/item_hash_vectors.json");
    let vectors = vectors.as_array().unwrap();
    assert!(vectors.len() >= 9);
    for vector in vectors {
        let label = vector["label"].as_str().unwrap();
        let bytes = bytes(vector);
        assert_eq!(bytes.len(), vector["size"], "{label}");
        assert_eq!(ItemHash::of_bytes(&bytes).as_str(), vector["sha256"]);
        for (layout, name) in [
            (Layout::V0, "cid_v0"),
            (Layout::V1RawLeaves, "cid_v1_raw_leaves"),
        ] {
            let cid = Cid::of_bytes(layout, &bytes);
            assert_eq!(cid.to_string(), vector[name], "{label}");
            assert_eq!(Cid::parse(vector[name].as_str().unwrap()), Ok(cid));
        }
    }
}

/// More than 174 chunks, so that there are nodes above nodes.
#[test]
fn fifty_megabytes_of_zeros() {
    let names = [
        (Layout::V0, "Qmf2cbh2kFQHqL88bBZ5jHNokBhozmRCbxiLER6Anaicjn"),
        (
            Layout::V1RawLeaves,
            "bafybeihmggdxn2klvglydjd2ld3ahb7aorlksycslptkc4jlkjuvl5e7im",
        ),
    ];
    let zeros = vec![0; 1_000_000];
    for (layout, name) in names {
        let mut hasher = FileHasher::new(layout);
        let mut check = FileCheck::new(Cid::parse(name).unwrap());
        for _ in 0..50 {
            hasher.update(&zeros);
            check.update(&zeros);
        }
        assert_eq!(hasher.finish().to_string(), name);
        assert_eq!(check.finish().map(|cid| cid.to_string()), Ok(name.into()));
    }
}

#[test]
fn a_version_1_name_may_have_three_origins() {
    let bytes = vec![7; 600_000];
    let [v0, v1, raw] =
        [Layout::V0, Layout::V1, Layout::V1RawLeaves].map(|layout| Cid::of_bytes(layout, &bytes));
    let respelled = v1_spelling(&v0);
    for cid in [v0, v1, raw, respelled] {
        let hash = ItemHash::parse(&cid.to_string()).unwrap();
        assert_eq!(hash.kind(), HashKind::Ipfs);
        let mut check = FileCheck::new(cid);
        check.update(&bytes);
        assert_eq!(check.clone().finish(), Ok(cid));
        check.update(b"!");
        assert!(check.finish().is_err());
    }
    let names: std::collections::BTreeSet<String> =
        [v0, v1, raw, respelled].map(|cid| cid.to_string()).into();
    assert_eq!(names.len(), 4);
    // One chunk: the framed leaf is the root, whatever the version.
    assert_eq!(
        v1_spelling(&Cid::of_bytes(Layout::V0, b"one chunk")),
        Cid::of_bytes(Layout::V1, b"one chunk")
    );
}

/// The same block, named with version 1.
fn v1_spelling(cid: &Cid) -> Cid {
    let bytes = [&[0x01, 0x70, 0x12, 0x20], &cid.digest()[..]].concat();
    let text = format!("b{}", beth_protocol::encoding::base32::encode(&bytes));
    Cid::parse(&text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However the bytes arrive, the name is the same.
    #[test]
    fn pieces_do_not_matter(
        size in 0usize..1_200_000, pieces in prop::collection::vec(1usize..400_000, 0..8),
    ) {
        let bytes: Vec<u8> = (0..size).map(|index| (index / 7) as u8).collect();
        for layout in [Layout::V0, Layout::V1, Layout::V1RawLeaves] {
            let mut hasher = FileHasher::new(layout);
            let mut rest = bytes.as_slice();
            for piece in &pieces {
                let (now, later) = rest.split_at((*piece).min(rest.len()));
                hasher.update(now);
                rest = later;
            }
            hasher.update(rest);
            prop_assert_eq!(hasher.finish(), Cid::of_bytes(layout, &bytes));
        }
    }

    #[test]
    fn no_text_panics(text in "(Qm|bafy|bafk|b|)[0-9A-Za-z]{0,70}|.{0,60}") {
        if let Ok(cid) = Cid::parse(&text) {
            prop_assert_eq!(cid.to_string(), text);
        }
    }
}
