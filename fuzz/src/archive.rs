//! What must hold of archives and their blocks.

use beth_protocol::cid::Codec;
use beth_protocol::dag::Block;
use beth_protocol::dag::car::{CarFault, CarReader, Section};

/// An archive is the same however it arrives, and its sections do not overlap.
pub fn check_archive(data: &[u8]) {
    let whole = sections(data, data.len().max(1));
    let step = usize::from(data.first().copied().unwrap_or(0)) % 61 + 1;
    assert_eq!(sections(data, step), whole);
    for block in whole.unwrap_or_default() {
        check_block(&block);
    }
}

fn sections(data: &[u8], step: usize) -> Result<Vec<Vec<u8>>, CarFault> {
    let (mut reader, mut blocks, mut end) = (CarReader::new(), Vec::new(), 0);
    for piece in data.chunks(step) {
        reader.read(piece, |section| -> Result<(), CarFault> {
            match section {
                Section::Header {
                    root, size_bytes, ..
                } => {
                    assert!(!root.is_empty());
                    end = size_bytes;
                }
                Section::Block {
                    name,
                    offset,
                    head_bytes,
                    data,
                } => {
                    assert_eq!(offset, end);
                    end += head_bytes + data.len() as u64;
                    assert!(!name.to_string().is_empty());
                    blocks.push(data.to_vec());
                }
            }
            Ok(())
        })?;
    }
    reader.finish()?;
    assert_eq!(end, data.len() as u64);
    Ok(blocks)
}

/// Sizes of a file add up; names in a directory are names.
pub fn check_block(data: &[u8]) {
    match Block::read(Codec::DagPb, data) {
        Ok(Block::File {
            data,
            parts,
            size_bytes,
        }) => {
            let below: u64 = parts.iter().map(|part| part.size_bytes).sum();
            assert_eq!(size_bytes, data.len() as u64 + below);
        }
        Ok(Block::Directory(entries) | Block::Shard { entries, .. }) => {
            for entry in entries {
                assert!(!matches!(entry.name, "" | "." | ".."));
                assert!(!entry.name.contains(['/', '\0']));
            }
        }
        Ok(Block::Symlink(_)) => {}
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
}
