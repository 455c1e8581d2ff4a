//! What a disk image says about itself, read by ourselves.
//!
//! ```text
//! first 104 bytes ─ no QFI\xfb ─▶ raw
//!                 └ QFI\xfb ────▶ version, backing file?, encrypted?, features, size
//! ```
//!
//! An image of a tenant may name other files: a backing file, an external data
//! file. QEMU would open them with the node's rights and show them to the guest,
//! so such images are refused before any tool sees them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::fault::InstanceFault;

const MAGIC: &[u8; 4] = b"QFI\xfb";
const HEADER_BYTES: usize = 104;
const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
const KNOWN: u64 = DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION | EXTENDED_L2;

/// The format of an image, told to every tool that opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The bytes of the disk.
    Raw,
    /// QEMU's format, version 2 or 3.
    Qcow2,
}

impl Format {
    /// As QEMU calls it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Qcow2 => "qcow2",
        }
    }
}

/// An image that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// How to open it.
    pub format: Format,
    /// Size of the disk that a guest sees.
    pub size_bytes: u64,
    /// Whether it holds only what differs from a backing file.
    pub has_backing: bool,
}

/// Inspects an image of a stranger; blocks. Refused: backing files, external
/// data files, encryption, unknown features, images marked corrupt.
pub fn inspect(path: &Path) -> Result<Image, InstanceFault> {
    let image = inspect_delta(path)?;
    if image.has_backing {
        return Err(refuse(
            "it names a backing file; flatten it (qemu-img convert -O qcow2) and store it again",
        ));
    }
    Ok(image)
}

/// As [`inspect`], for images of a migration: a backing file may be named. The
/// name itself must never be used.
pub fn inspect_delta(path: &Path) -> Result<Image, InstanceFault> {
    let read = || -> std::io::Result<(Vec<u8>, u64)> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut header = Vec::with_capacity(HEADER_BYTES);
        file.take(HEADER_BYTES as u64).read_to_end(&mut header)?;
        Ok((header, length))
    };
    let (header, length) = read().map_err(InstanceFault::disk("read the disk image"))?;
    if !header.starts_with(MAGIC) {
        if length == 0 {
            return Err(refuse("it is empty"));
        }
        return Ok(Image {
            format: Format::Raw,
            size_bytes: length,
            has_backing: false,
        });
    }
    parse(&header).map_err(refuse)
}

fn parse(header: &[u8]) -> Result<Image, &'static str> {
    let version = number(header, 4, 4).ok_or("its header is cut off")?;
    let field = |offset, bytes| number(header, offset, bytes).ok_or("its header is cut off");
    let features = match version {
        2 => 0,
        3 => field(72, 8)?,
        _ => return Err("its qcow2 version is neither 2 nor 3"),
    };
    if features & !KNOWN != 0 {
        return Err("it has qcow2 features that are unknown here");
    }
    if features & EXTERNAL_DATA != 0 {
        return Err("it names an external data file; flatten it and store it again");
    }
    if features & CORRUPT != 0 {
        return Err("it is marked as corrupt; repair it (qemu-img check -r) and store it again");
    }
    if field(32, 4)? != 0 {
        return Err("it is encrypted");
    }
    let (backing_offset, backing_length) = (field(8, 8)?, field(16, 4)?);
    Ok(Image {
        format: Format::Qcow2,
        size_bytes: field(24, 8)?,
        has_backing: backing_offset != 0 || backing_length != 0,
    })
}

/// A big-endian number.
fn number(header: &[u8], offset: usize, bytes: usize) -> Option<u64> {
    let field = header.get(offset..offset + bytes)?;
    Some(
        field
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

fn refuse(reason: &str) -> InstanceFault {
    InstanceFault::Image(reason.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn header(edits: &[(usize, &[u8])]) -> Vec<u8> {
        let mut header = vec![0; HEADER_BYTES];
        header[..4].copy_from_slice(MAGIC);
        header[7] = 3;
        header[24..32].copy_from_slice(&(5u64 << 20).to_be_bytes());
        for (offset, bytes) in edits {
            header[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        header
    }

    #[test]
    fn images_that_lead_elsewhere_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let cases: [(Vec<u8>, &str); 8] = [
            (header(&[(15, &[104])]), "backing file"),
            (header(&[(19, &[11])]), "backing file"),
            (header(&[(79, &[4])]), "external data file"),
            (header(&[(35, &[2])]), "encrypted"),
            (header(&[(79, &[2])]), "corrupt"),
            (header(&[(72, &[1])]), "unknown"),
            (header(&[(7, &[9])]), "version"),
            (header(&[])[..50].to_vec(), "cut off"),
        ];
        for (bytes, expected) in cases {
            std::fs::write(&path, bytes).unwrap();
            let fault = inspect(&path).unwrap_err().to_string();
            assert!(fault.contains(expected), "{fault}");
        }
        std::fs::write(&path, header(&[(79, &[8])])).unwrap();
        let good = inspect(&path).unwrap();
        assert_eq!((good.format, good.size_bytes), (Format::Qcow2, 5 << 20));
        std::fs::write(&path, b"\xeb\x63\x90").unwrap();
        assert_eq!(inspect(&path).unwrap().format, Format::Raw);
        std::fs::write(&path, b"").unwrap();
        assert!(inspect(&path).is_err());
    }

    #[test]
    fn a_backing_file_written_by_qemu_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spy.qcow2");
        let made = std::process::Command::new("qemu-img")
            .args([
                "create",
                "-q",
                "-u",
                "-f",
                "qcow2",
                "-F",
                "raw",
                "-b",
                "/etc/shadow",
            ])
            .arg(&path)
            .arg("1M")
            .status();
        assert!(made.unwrap().success());
        let fault = inspect(&path).unwrap_err().to_string();
        assert!(fault.contains("backing file"), "{fault}");
        assert!(inspect_delta(&path).unwrap().has_backing);
    }
}
