//! A tar archive of a few plain files, hashed while it is written.

use std::fs::File;
use std::io::{Read, Result, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

const BLOCK_BYTES: usize = 512;
/// The largest size that the octal field of a header can tell.
const OCTAL_BYTES_MAX: u64 = 0o777_7777_7777;

/// Writes members (name, file) to `path`, on disk when this returns; blocks. The
/// hash is the archive's SHA-256, in hex.
pub fn write(path: &Path, members: &[(String, impl AsRef<Path>)]) -> Result<String> {
    let mut out = Hashed {
        file: File::create(path)?,
        hash: Sha256::new(),
    };
    let mut buffer = vec![0; 1 << 20];
    for (name, from) in members {
        let mut from = File::open(from)?;
        let size_bytes = from.metadata()?.len();
        out.put(&header(name, size_bytes))?;
        let mut written = 0u64;
        loop {
            let count = from.read(&mut buffer)?;
            let Some(bytes @ [_, ..]) = buffer.get(..count) else {
                break;
            };
            out.put(bytes)?;
            written += count as u64;
        }
        if written != size_bytes {
            return Err(std::io::Error::other("a disk changed while it was packed"));
        }
        let odd = (size_bytes % BLOCK_BYTES as u64) as usize;
        if odd > 0 {
            out.put(&vec![0; BLOCK_BYTES - odd])?;
        }
    }
    out.put(&[0; 2 * BLOCK_BYTES])?;
    out.file.sync_all()?;
    Ok(const_hex::encode(out.hash.finalize()))
}

struct Hashed {
    file: File,
    hash: Sha256,
}

impl Hashed {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.file.write_all(bytes)
    }
}

fn header(name: &str, size_bytes: u64) -> Vec<u8> {
    let field = |text: String, length: usize| {
        let mut bytes = text.into_bytes();
        bytes.resize(length, 0);
        bytes
    };
    // Larger files have their size in binary, with the first bit set.
    let size = match size_bytes {
        ..=OCTAL_BYTES_MAX => field(format!("{size_bytes:011o}"), 12),
        _ => {
            let mut bytes = vec![0x80, 0, 0, 0];
            bytes.extend_from_slice(&size_bytes.to_be_bytes());
            bytes
        }
    };
    let lead = [
        field(name.chars().take(100).collect(), 100),
        field("0000600".into(), 8),
        field("0000000".into(), 8),
        field("0000000".into(), 8),
        size,
        field("00000000000".into(), 12),
    ]
    .concat();
    let rest = [
        b"0".to_vec(),
        field(String::new(), 100),
        b"ustar\x0000".to_vec(),
        field(String::new(), 247),
    ]
    .concat();
    let sum: u32 = lead.iter().chain(&rest).map(|byte| u32::from(*byte)).sum();
    // The sum counts its own field as eight spaces.
    let sum = field(format!("{:06o}\0 ", sum + 8 * 32), 8);
    [lead, sum, rest].concat()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tar_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        std::fs::write(&one, b"hello").unwrap();
        std::fs::write(&two, vec![7; 3 << 20]).unwrap();
        let archive = folder.path().join("a.tar");
        let members = [
            ("rootfs.qcow2".to_owned(), &one),
            ("data.qcow2".to_owned(), &two),
        ];
        let hash = write(&archive, &members).unwrap();
        let bytes = std::fs::read(&archive).unwrap();
        assert_eq!(hash, const_hex::encode(Sha256::digest(&bytes)));
        let listed = std::process::Command::new("tar")
            .arg("tf")
            .arg(&archive)
            .output()
            .unwrap();
        assert!(listed.status.success());
        assert_eq!(
            String::from_utf8_lossy(&listed.stdout),
            "rootfs.qcow2\ndata.qcow2\n"
        );
        let got = std::process::Command::new("tar")
            .arg("xOf")
            .arg(&archive)
            .arg("rootfs.qcow2")
            .output();
        assert_eq!(got.unwrap().stdout, b"hello");
        assert_eq!(header("x", 9 << 30)[124], 0x80);
    }
}
