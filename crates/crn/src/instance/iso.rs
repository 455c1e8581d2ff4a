//! An ISO 9660 image with a few small files in its root: the NoCloud seed.
//!
//! ```text
//! sector 16 volume descriptor   17 end of descriptors   18, 19 path tables
//! sector 20 root folder         21… the files, each from a sector of its own
//! ```
//!
//! Names are written as they are (lower case, hyphens), which is outside the
//! letter of the standard and what every reader of such seeds shows unchanged.
//! Nothing depends on the time of day: the same files give the same bytes.

const SECTOR_BYTES: usize = 2048;
const ROOT_SECTOR: usize = 20;
const FIRST_FILE_SECTOR: usize = 21;

/// The image of a volume called `label`. The root folder has one sector, enough
/// for about forty files.
pub fn image(label: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut root = Vec::new();
    root.extend(record(b"\0", ROOT_SECTOR, SECTOR_BYTES, true));
    root.extend(record(b"\x01", ROOT_SECTOR, SECTOR_BYTES, true));
    let mut sorted: Vec<_> = files.to_vec();
    sorted.sort_unstable();
    let (mut data, mut sector) = (Vec::new(), FIRST_FILE_SECTOR);
    for (name, bytes) in sorted {
        root.extend(record(name.as_bytes(), sector, bytes.len(), false));
        data.extend_from_slice(bytes);
        data.resize(data.len().next_multiple_of(SECTOR_BYTES), 0);
        sector = FIRST_FILE_SECTOR + data.len() / SECTOR_BYTES;
    }
    root.resize(SECTOR_BYTES, 0);
    let mut image = vec![0; 16 * SECTOR_BYTES];
    image.extend(volume_descriptor(label, sector));
    image.extend(padded(b"\xffCD001\x01"));
    image.extend(padded(&path_table(u32::to_le_bytes, u16::to_le_bytes)));
    image.extend(padded(&path_table(u32::to_be_bytes, u16::to_be_bytes)));
    image.extend(root);
    image.extend(data);
    image
}

fn volume_descriptor(label: &str, sectors: usize) -> Vec<u8> {
    let mut descriptor = Vec::with_capacity(SECTOR_BYTES);
    let text = |descriptor: &mut Vec<u8>, text: &str, length: usize| {
        let end = descriptor.len() + length;
        descriptor.extend(text.bytes().take(length));
        descriptor.resize(end, b' ');
    };
    descriptor.extend_from_slice(b"\x01CD001\x01\0");
    text(&mut descriptor, "LINUX", 32);
    text(&mut descriptor, label, 32);
    descriptor.extend_from_slice(&[0; 8]);
    descriptor.extend_from_slice(&both_32(sectors));
    descriptor.extend_from_slice(&[0; 32]);
    descriptor.extend_from_slice(&both_16(1));
    descriptor.extend_from_slice(&both_16(1));
    descriptor.extend_from_slice(&both_16(SECTOR_BYTES));
    descriptor.extend_from_slice(&both_32(10));
    descriptor.extend_from_slice(&18u32.to_le_bytes());
    descriptor.extend_from_slice(&[0; 4]);
    descriptor.extend_from_slice(&19u32.to_be_bytes());
    descriptor.extend_from_slice(&[0; 4]);
    descriptor.extend(record(b"\0", ROOT_SECTOR, SECTOR_BYTES, true));
    text(&mut descriptor, "", 128 * 4 + 37 * 3);
    for _ in 0..4 {
        descriptor.extend_from_slice(b"0000000000000000\0");
    }
    descriptor.push(1);
    padded(&descriptor)
}

/// The table has one entry, the root folder.
fn path_table(four: fn(u32) -> [u8; 4], two: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let mut table = vec![1, 0];
    table.extend_from_slice(&four(ROOT_SECTOR as u32));
    table.extend_from_slice(&two(1));
    table.extend_from_slice(&[0, 0]);
    table
}

fn record(name: &[u8], sector: usize, length: usize, is_folder: bool) -> Vec<u8> {
    let size = (33 + name.len()).next_multiple_of(2);
    let mut record = vec![size as u8, 0];
    record.extend_from_slice(&both_32(sector));
    record.extend_from_slice(&both_32(length));
    // The first of January 2024.
    record.extend_from_slice(&[124, 1, 1, 0, 0, 0, 0]);
    record.extend_from_slice(&[if is_folder { 2 } else { 0 }, 0, 0]);
    record.extend_from_slice(&both_16(1));
    record.push(name.len() as u8);
    record.extend_from_slice(name);
    record.resize(size, 0);
    record
}

fn both_32(number: usize) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&(number as u32).to_le_bytes());
    bytes[4..].copy_from_slice(&(number as u32).to_be_bytes());
    bytes
}

fn both_16(number: usize) -> [u8; 4] {
    let mut bytes = [0; 4];
    bytes[..2].copy_from_slice(&(number as u16).to_le_bytes());
    bytes[2..].copy_from_slice(&(number as u16).to_be_bytes());
    bytes
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut sector = bytes.to_vec();
    sector.resize(SECTOR_BYTES, 0);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_where_the_root_says() {
        let long = vec![b'x'; 5000];
        let image = image("cidata", &[("user-data", &long), ("meta-data", b"{}")]);
        assert_eq!(image.len() % SECTOR_BYTES, 0);
        assert_eq!(&image[16 * SECTOR_BYTES..][1..6], b"CD001");
        assert_eq!(&image[16 * SECTOR_BYTES + 40..][..7], b"cidata ");
        assert_eq!(image[16 * SECTOR_BYTES + 881], 1);
        let root = &image[ROOT_SECTOR * SECTOR_BYTES..][..SECTOR_BYTES];
        let (mut at, mut found) = (0, Vec::new());
        while root[at] != 0 {
            let record = &root[at..at + usize::from(root[at])];
            let sector = u32::from_le_bytes([record[2], record[3], record[4], record[5]]);
            let length = u32::from_le_bytes([record[10], record[11], record[12], record[13]]);
            let name = record[33..33 + usize::from(record[32])].to_vec();
            let bytes = &image[sector as usize * SECTOR_BYTES..][..length as usize];
            found.push((name, bytes.to_vec()));
            at += record.len();
        }
        assert_eq!(found[2], (b"meta-data".to_vec(), b"{}".to_vec()));
        assert_eq!(found[3], (b"user-data".to_vec(), long));
    }
}
