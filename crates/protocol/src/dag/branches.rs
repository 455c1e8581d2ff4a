//! Where a name is in a directory over several blocks (UnixFS, HAMT).
//!
//! ```text
//!   name ─▶ 64 bits of murmur3 ─▶ │ 8 bits │ 8 bits │ …     with 256 branches
//!                                   root     below    … a branch at each level
//! ```

/// The branches that lead to a name, from the root on.
#[derive(Clone, Debug)]
pub struct Branches {
    hash: u64,
    bits_left: u32,
}

impl Branches {
    /// Those of a name.
    pub fn of(name: &str) -> Branches {
        Branches {
            hash: murmur3(name.as_bytes()),
            bits_left: u64::BITS,
        }
    }

    /// The next one, in a block with so many branches (a power of two); `None`
    /// when the hash is used up: there is nothing deeper.
    pub fn next(&mut self, fanout: u64) -> Option<u64> {
        let bits = fanout.checked_ilog2().filter(|bits| *bits > 0)?;
        self.bits_left = self.bits_left.checked_sub(bits)?;
        let branch = self.hash >> (u64::BITS - bits);
        self.hash = self.hash.wrapping_shl(bits);
        Some(branch)
    }
}

/// The first half of MurmurHash3 for 64 bits (x64, 128), seed 0.
fn murmur3(bytes: &[u8]) -> u64 {
    const FIRST: u64 = 0x87c3_7b91_1142_53d5;
    const SECOND: u64 = 0x4cf5_ad43_2745_937f;
    let low = |word: u64| {
        let mixed = word.wrapping_mul(FIRST).rotate_left(31);
        mixed.wrapping_mul(SECOND)
    };
    let high = |word: u64| {
        let mixed = word.wrapping_mul(SECOND).rotate_left(33);
        mixed.wrapping_mul(FIRST)
    };
    let (mut a, mut b) = (0u64, 0u64);
    for chunk in bytes.chunks(16) {
        let mut block = [0; 16];
        block[..chunk.len()].copy_from_slice(chunk);
        let words = u128::from_le_bytes(block);
        let is_whole = chunk.len() == 16;
        a ^= low(words as u64);
        if is_whole {
            a = a.rotate_left(27).wrapping_add(b);
            a = a.wrapping_mul(5).wrapping_add(0x52dc_e729);
        }
        b ^= high((words >> 64) as u64);
        if is_whole {
            b = b.rotate_left(31).wrapping_add(a);
            b = b.wrapping_mul(5).wrapping_add(0x3849_5ab5);
        }
    }
    a ^= bytes.len() as u64;
    b ^= bytes.len() as u64;
    a = a.wrapping_add(b);
    b = b.wrapping_add(a);
    finish(a).wrapping_add(finish(b))
}

fn finish(mut word: u64) -> u64 {
    word = (word ^ (word >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    word = (word ^ (word >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_others() {
        assert_eq!(murmur3(b""), 0);
        assert_eq!(murmur3(b"hello"), 0xcbd8_a7b3_41bd_9b02);
        assert_eq!(murmur3(b"file-203.txt"), 0x8eaa_756b_1cc6_e138);
        let long = b"The quick brown fox jumps over the lazy dog";
        assert_eq!(murmur3(long), 0xe34b_bc7b_bc07_1b6c);
    }

    #[test]
    fn branches_end_with_the_hash() {
        let mut branches = Branches::of("file-203.txt");
        assert_eq!(branches.next(256), Some(0x8e));
        assert_eq!(branches.next(16), Some(0xa));
        assert_eq!(branches.next(1_024), Some(0x29d));
        assert_eq!(branches.next(1), None);
        let taken = std::iter::from_fn(|| branches.next(256)).count();
        assert_eq!(taken, 5);
    }
}
