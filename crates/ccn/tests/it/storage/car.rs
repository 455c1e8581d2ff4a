//! Archives and blocks made by hand, right or wrong.

use beth_protocol::encoding::base32;
use sha2::{Digest, Sha256};

/// A block and its CID.
#[derive(Clone)]
pub struct Made {
    pub cid: Vec<u8>,
    pub bytes: Vec<u8>,
    /// Bytes of the file that begins here.
    pub file_bytes: u64,
}

impl Made {
    pub fn text(&self) -> String {
        format!("b{}", base32::encode(&self.cid))
    }
}

pub fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2], &varint(bytes.len() as u64)[..], bytes].concat()
}

fn integer(number: u8, value: u64) -> Vec<u8> {
    [&[number << 3], &varint(value)[..]].concat()
}

fn made(codec: u8, bytes: Vec<u8>, file_bytes: u64) -> Made {
    let digest = Sha256::digest(&bytes);
    Made {
        cid: [&[0x01, codec, 0x12, 0x20], &digest[..]].concat(),
        bytes,
        file_bytes,
    }
}

pub fn raw(bytes: &[u8]) -> Made {
    made(0x55, bytes.to_vec(), bytes.len() as u64)
}

/// A node with these links and this data.
pub fn node(links: &[(&str, &Made)], data: &[u8]) -> Made {
    let mut bytes = Vec::new();
    for (name, target) in links {
        let link = [
            field(1, &target.cid),
            field(2, name.as_bytes()),
            integer(3, target.bytes.len() as u64),
        ];
        bytes.extend(field(2, &link.concat()));
    }
    bytes.extend(field(1, data));
    made(0x70, bytes, 0)
}

pub fn directory(entries: &[(&str, &Made)]) -> Made {
    node(entries, &integer(1, 1))
}

/// A file that goes on in other blocks.
pub fn file(parts: &[&Made]) -> Made {
    let total = parts.iter().map(|part| part.file_bytes).sum();
    file_of(parts, total)
}

/// A file that says it has so many bytes.
pub fn file_of(parts: &[&Made], total: u64) -> Made {
    let mut data = [integer(1, 2), integer(3, total)].concat();
    for part in parts {
        data.extend(integer(4, part.file_bytes));
    }
    let links: Vec<_> = parts.iter().map(|part| ("", *part)).collect();
    Made {
        file_bytes: total,
        ..node(&links, &data)
    }
}

pub fn symlink(target: &str) -> Made {
    node(&[], &[integer(1, 4), field(2, target.as_bytes())].concat())
}

/// A piece of a directory with 256 branches.
pub fn shard(entries: &[(&str, &Made)]) -> Made {
    let data = [integer(1, 5), integer(5, 0x22), integer(6, 256)];
    node(entries, &data.concat())
}

pub fn header(root: &Made) -> Vec<u8> {
    let link = [
        &[0xd8, 0x2a, 0x58, root.cid.len() as u8 + 1, 0],
        &root.cid[..],
    ]
    .concat();
    let map = [b"\xa2eroots\x81", &link[..], b"gversion\x01"].concat();
    [varint(map.len() as u64), map].concat()
}

pub fn section(block: &Made) -> Vec<u8> {
    let length = block.cid.len() + block.bytes.len();
    [
        varint(length as u64),
        block.cid.clone(),
        block.bytes.clone(),
    ]
    .concat()
}

/// An archive of these blocks.
pub fn car(root: &Made, blocks: &[&Made]) -> Vec<u8> {
    let mut bytes = header(root);
    for block in blocks {
        bytes.extend(section(block));
    }
    bytes
}
