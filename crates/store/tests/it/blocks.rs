//! Every block of every content is found by its digest, exactly; and nothing is
//! left of a content that is gone.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use beth_protocol::cid::{Cid, Codec, FileHasher, Layout};
use beth_protocol::dag::{Block, BlockName};
use beth_protocol::hash::Naming;
use beth_store::Blobs;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::car::{self, Made};
use crate::history::Dice;

const CHUNK: usize = 262_144;
const LAYOUTS: [Layout; 3] = [Layout::V0, Layout::V1, Layout::V1RawLeaves];

/// Keeps bytes under their name in a layout.
fn keep(blobs: &Blobs, layout: Layout, bytes: &[u8]) -> Cid {
    let mut incoming = blobs.begin_named(Naming::cid(layout)).unwrap();
    // Pieces that do not fit the chunks.
    for piece in bytes.chunks(100_003) {
        incoming.write(piece).unwrap();
    }
    let kept = blobs.keep(incoming.finish().unwrap()).unwrap();
    Cid::parse(&kept.hash).unwrap()
}

fn keep_car(blobs: &Blobs, root: &Made, blocks: &[&Made]) {
    let mut incoming = blobs.begin_archive().unwrap();
    incoming.write(&car::car(root, blocks)).unwrap();
    let checked = blobs.check(incoming).unwrap();
    blobs.keep_archive(checked).unwrap();
}

/// The block, which is what its digest says, and as long as foretold.
fn expect_block(blobs: &Blobs, digest: &[u8; 32]) -> Vec<u8> {
    let bytes = blobs.block(digest).unwrap().expect("a block of a content");
    assert_eq!(Sha256::digest(&bytes)[..], digest[..]);
    let size = blobs.block_size(digest).unwrap();
    assert_eq!(size, Some(bytes.len() as u64));
    bytes
}

/// Reads a file through its blocks alone.
fn unfold(blobs: &Blobs, root: Cid) -> Vec<u8> {
    let name = BlockName::Hashed {
        codec: root.codec(),
        digest: *root.digest(),
    };
    let (mut file, mut left) = (Vec::new(), vec![name]);
    while let Some(name) = left.pop() {
        let BlockName::Hashed { codec, digest } = name else {
            panic!("nothing here is inline");
        };
        let bytes = expect_block(blobs, &digest);
        let Block::File { data, parts, .. } = Block::read(codec, &bytes).unwrap() else {
            panic!("a part of a file is none");
        };
        file.extend(data);
        left.extend(parts.into_iter().rev().map(|part| part.target));
    }
    file
}

fn noise(dice: &mut Dice, size: usize) -> Vec<u8> {
    let mut word = dice.below(usize::MAX >> 33) as u32 | 1;
    let mut byte = || {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (word >> 24) as u8
    };
    (0..size).map(|_| byte()).collect()
}

fn forget(blobs: &Blobs, name: &str) {
    let later = SystemTime::now() + Duration::from_secs(60);
    blobs.remove(name, later).unwrap();
}

#[test]
fn blocks_of_random_files() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(folder.path()).unwrap();
    let mut dice = Dice::new(7);
    let mut kept = Vec::new();
    for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
        let size = size + dice.below(2);
        let bytes = match dice.below(3) {
            // Chunks that occur again and again.
            0 => vec![7; size],
            _ => noise(&mut dice, size),
        };
        for layout in LAYOUTS {
            let cid = keep(&blobs, layout, &bytes);
            kept.push((cid, bytes.clone()));
        }
    }
    for (cid, bytes) in &kept {
        assert!(unfold(&blobs, *cid) == *bytes, "{cid}");
    }
    // The names are those that the network gives, so are the blocks.
    for (cid, _) in &kept {
        forget(&blobs, &cid.to_string());
    }
    for (cid, _) in &kept {
        assert_eq!(blobs.block(cid.digest()).unwrap(), None);
    }
    assert_eq!(blobs.blocks_noted().unwrap(), 0);
}

#[test]
fn blocks_under_the_names_of_the_network() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/network/ipfs/cid_vectors.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(folder.path()).unwrap();
    let mut seen = 0;
    for vector in vectors["vectors"].as_array().unwrap() {
        let content = &vector["content"];
        let bytes = match content["utf8"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => vec![0; content["count"].as_u64().unwrap() as usize],
        };
        for (layout, key, size) in [
            (Layout::V0, "cid_v0", "cid_v0_cumulative_size"),
            (
                Layout::V1RawLeaves,
                "cid_v1_raw_leaves",
                "cid_v1_cumulative_size",
            ),
        ] {
            let cid = keep(&blobs, layout, &bytes);
            assert_eq!(vector[key], cid.to_string().as_str());
            assert_eq!(vector[size], cumulative(&blobs, cid), "{cid}");
            seen += 1;
        }
    }
    assert!(seen >= 16);
}

/// Bytes of every block, each as often as it occurs. A block that occurs again
/// is looked at once.
fn cumulative(blobs: &Blobs, root: Cid) -> u64 {
    let mut times: BTreeMap<[u8; 32], (Codec, u64)> = BTreeMap::new();
    times.insert(*root.digest(), (root.codec(), 1));
    let mut total = 0;
    while !times.is_empty() {
        let mut below: BTreeMap<[u8; 32], (Codec, u64)> = BTreeMap::new();
        for (digest, (codec, count)) in times {
            let bytes = expect_block(blobs, &digest);
            total += bytes.len() as u64 * count;
            let Block::File { parts, .. } = Block::read(codec, &bytes).unwrap() else {
                panic!("a part of a file is none");
            };
            for part in parts {
                let BlockName::Hashed { codec, digest } = part.target else {
                    panic!("nothing here is inline");
                };
                below.entry(digest).or_insert((codec, 0)).1 += count;
            }
        }
        times = below;
    }
    total
}

#[test]
fn blocks_of_archives_and_of_files_named_by_sha256() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(folder.path()).unwrap();
    let mut dice = Dice::new(11);
    let parts: Vec<Made> = (0..9)
        .map(|_| {
            let size = dice.below(3_000);
            car::raw(&noise(&mut dice, size))
        })
        .collect();
    let file = car::file(&parts.iter().collect::<Vec<_>>());
    let below = car::directory(&[("file", &file), ("part", &parts[3])]);
    let root = car::directory(&[("again", &file), ("below", &below)]);
    let mut blocks = vec![&root, &below, &file];
    blocks.extend(&parts);
    keep_car(&blobs, &root, &blocks);
    let digest = |made: &Made| <[u8; 32]>::from(Sha256::digest(&made.bytes));
    for block in &blocks {
        assert_eq!(expect_block(&blobs, &digest(block)), block.bytes);
    }

    let plain = blobs.put(b"by its hash alone").unwrap();
    let named: [u8; 32] = Sha256::digest(b"by its hash alone").into();
    assert_eq!(expect_block(&blobs, &named), b"by its hash alone");
    forget(&blobs, &plain.hash);
    assert_eq!(blobs.block(&named).unwrap(), None);

    forget(&blobs, &root.text());
    for block in &blocks {
        assert_eq!(blobs.block(&digest(block)).unwrap(), None);
    }
    assert_eq!(blobs.blocks_noted().unwrap(), 0);
}

#[test]
fn a_lost_index_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = noise(&mut Dice::new(3), 2 * CHUNK + 5);
    let leaf = car::raw(b"a leaf");
    let root = car::directory(&[("leaf", &leaf)]);
    let (cids, noted) = {
        let blobs = Blobs::open(folder.path()).unwrap();
        let cids = LAYOUTS.map(|layout| keep(&blobs, layout, &bytes));
        keep_car(&blobs, &root, &[&root, &leaf]);
        (cids, blobs.blocks_noted().unwrap())
    };
    // Three leaves and a root of each file: the framed leaves of two are the
    // same, but a content has its own rows.
    assert_eq!(noted, 3 * 4 + 2);

    for name in ["blocks.sqlite", "blocks.sqlite-wal"] {
        let path = folder.path().join(name);
        std::fs::write(path, "this is no database, and was none for long").unwrap();
    }
    let blobs = Blobs::open(folder.path()).unwrap();
    assert_eq!(blobs.blocks_noted().unwrap(), 0);
    let mend = || -> usize {
        let shelves = blobs.shelves().unwrap().into_iter();
        shelves
            .map(|shelf| blobs.mend_blocks(&shelf).unwrap())
            .sum()
    };
    assert_eq!((mend(), mend()), (4, 0));
    assert_eq!(blobs.blocks_noted().unwrap(), noted);
    for cid in cids {
        assert!(unfold(&blobs, cid) == bytes);
    }

    // A content that went without the index hearing of it.
    for name in [cids[0].to_string(), root.text()] {
        let path = blobs.path(&name).unwrap();
        let _ = std::fs::remove_file(path.with_extension("dag"));
        let _ = std::fs::remove_file(path);
    }
    assert_eq!(blobs.forget_blocks().unwrap(), 2);
    assert_eq!(blobs.forget_blocks().unwrap(), 0);
    assert_eq!(blobs.blocks_noted().unwrap(), 2 * 4);
}

#[test]
fn a_rotten_block_is_not_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(folder.path()).unwrap();
    let bytes = noise(&mut Dice::new(5), CHUNK + 100);
    let cid = keep(&blobs, Layout::V1RawLeaves, &bytes);
    let mut hasher = FileHasher::new(Layout::V1RawLeaves);
    hasher.update(&bytes);
    let leaves = hasher.finish_with_leaves().1.digests;
    let mut wrong = bytes.clone();
    wrong[CHUNK + 50] ^= 1;
    std::fs::write(blobs.path(&cid.to_string()).unwrap(), &wrong).unwrap();
    assert!(blobs.block(&leaves[0]).unwrap().is_some());
    assert!(blobs.block(&leaves[1]).is_err());
    // Another copy of it is as good.
    let other = keep(&blobs, Layout::V1RawLeaves, &bytes[CHUNK..]);
    assert_eq!(other.digest(), &leaves[1]);
    assert_eq!(expect_block(&blobs, &leaves[1]), &bytes[CHUNK..]);
}

/// Every block of a content that another folder has.
fn blocks_of(blobs: &Blobs, root: Cid) -> Vec<(BlockName, Vec<u8>)> {
    let name = |codec, digest| BlockName::Hashed { codec, digest };
    let (mut found, mut left) = (Vec::new(), vec![name(root.codec(), *root.digest())]);
    while let Some(name) = left.pop() {
        let bytes = blobs.block_named(&name).unwrap().unwrap();
        left.extend(beth_protocol::dag::links(name.codec(), &bytes).unwrap());
        found.push((name, bytes));
    }
    found
}

#[test]
fn blocks_that_come_in_any_order_survive_a_restart() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = Blobs::open(from.path()).unwrap();
    let mut dice = Dice::new(23);
    let bytes = noise(&mut dice, 3 * CHUNK + 77);
    for layout in LAYOUTS {
        let root = keep(&source, layout, &bytes);
        let mut blocks = blocks_of(&source, root);
        for place in (1..blocks.len()).rev() {
            blocks.swap(place, dice.below(place + 1));
        }
        let (early, late) = blocks.split_at(2);
        let mut gathering = Blobs::open(to.path()).unwrap().gather(root).unwrap();
        for (name, block) in early {
            gathering.add(name, block).unwrap();
            assert!(gathering.add(name, b"another block").is_err());
        }
        drop(gathering);
        // The node ended while it wrote.
        let path = to.path().join("partial").join(format!("{root}.car"));
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend([0xff, 0x7f, 1, 0x55]);
        std::fs::write(&path, torn).unwrap();

        let blobs = Blobs::open(to.path()).unwrap();
        let mut gathering = blobs.gather(root).unwrap();
        let digest = |name: &BlockName| *name.cid(root.version()).unwrap().digest();
        for (name, block) in early {
            let here = gathering.block(&digest(name)).unwrap();
            assert!(here.as_ref() == Some(block), "{name}");
        }
        for (name, block) in late {
            assert!(!gathering.has(&digest(name)));
            gathering.add(name, block).unwrap();
        }
        let extent = blobs.settle(gathering).unwrap();
        assert_eq!(
            (extent.size_bytes, extent.is_directory()),
            (bytes.len() as u64, false)
        );
        assert!(std::fs::read(blobs.path(&root.to_string()).unwrap()).unwrap() == bytes);
        assert!(unfold(&blobs, root) == bytes, "its blocks are noted");
        assert!(!path.exists());
    }
}
