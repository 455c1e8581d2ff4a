//! Elements of the set of messages, ranges of them, and sums of ranges.

/// A message by its place: time first, then the beginning of its hash.
///
/// Two messages of one time whose hashes begin alike are one element; to find
/// such a hash beside that of somebody else takes 2⁶⁴ attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    /// Time of the envelope, in microseconds.
    pub time: i64,
    /// The first eight bytes of the hash, in its order.
    pub prefix: i64,
}

/// Elements from one on to before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Range {
    pub start: Element,
    pub end: Element,
}

/// How many elements there are, and the sum of their hashes modulo 2²⁵⁶.
///
/// Summaries of neighbouring ranges add up, and elements are added and taken
/// away in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Elements.
    pub count: u64,
    sum: [u64; 4],
}

impl Element {
    /// Before all others.
    pub const FIRST: Element = Element {
        time: i64::MIN,
        prefix: i64::MIN,
    };
    /// Behind all others; stands for nothing itself.
    pub const END: Element = Element {
        time: i64::MAX,
        prefix: i64::MAX,
    };

    /// The first that an element of this time may be.
    pub fn at(time: i64) -> Element {
        Element {
            time,
            prefix: i64::MIN,
        }
    }

    /// The next one that there may be; the last one is its own.
    pub fn after(self) -> Element {
        match (self.prefix.checked_add(1), self.time.checked_add(1)) {
            (Some(prefix), _) => Element { prefix, ..self },
            (None, Some(time)) => Element::at(time),
            (None, None) => self,
        }
    }

    /// Time and prefix, in the order of bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let (time, prefix) = bytes.split_at_mut(8);
        time.copy_from_slice(&self.time.to_be_bytes());
        prefix.copy_from_slice(&self.prefix.to_be_bytes());
        bytes
    }

    /// See [`Element::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Element {
        let number = u128::from_be_bytes(bytes);
        Element {
            time: (number >> 64) as u64 as i64,
            prefix: number as u64 as i64,
        }
    }
}

impl Range {
    /// Everything.
    pub const ALL: Range = Range {
        start: Element::FIRST,
        end: Element::END,
    };

    /// True for an element of the range.
    pub fn contains(&self, element: Element) -> bool {
        self.start <= element && element < self.end
    }
}

impl Summary {
    /// Of one element.
    pub fn of(element: Element) -> Summary {
        let hash = blake3::hash(&element.to_bytes());
        let mut sum = [0; 4];
        for (lane, bytes) in sum.iter_mut().zip(hash.as_bytes().as_chunks::<8>().0) {
            *lane = u64::from_le_bytes(*bytes);
        }
        Summary { count: 1, sum }
    }

    /// Reads [`Summary::to_bytes`].
    pub fn from_bytes(count: u64, bytes: &[u8; 32]) -> Summary {
        let mut sum = [0; 4];
        for (lane, bytes) in sum.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *lane = u64::from_le_bytes(*bytes);
        }
        Summary { count, sum }
    }

    /// The sum, to be stored beside the count.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (bytes, lane) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.sum) {
            *bytes = lane.to_le_bytes();
        }
        bytes
    }

    /// Sixteen bytes of which it is hard to find the same of another set.
    pub fn fingerprint(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.to_bytes());
        hasher.update(&self.count.to_le_bytes());
        let mut fingerprint = [0; 16];
        hasher.finalize_xof().fill(&mut fingerprint);
        fingerprint
    }

    /// The elements of both.
    pub fn plus(self, other: Summary) -> Summary {
        let (mut sum, mut carry) = ([0; 4], false);
        for (place, lane) in sum.iter_mut().enumerate() {
            let (first, is_over) = self.sum[place].overflowing_add(other.sum[place]);
            let (second, is_over_again) = first.overflowing_add(u64::from(carry));
            (*lane, carry) = (second, is_over | is_over_again);
        }
        Summary {
            count: self.count.wrapping_add(other.count),
            sum,
        }
    }

    /// Without the elements of another, which are among its own.
    pub fn minus(self, other: Summary) -> Summary {
        let (mut sum, mut borrow) = ([0; 4], false);
        for (place, lane) in sum.iter_mut().enumerate() {
            let (first, is_under) = self.sum[place].overflowing_sub(other.sum[place]);
            let (second, is_under_again) = first.overflowing_sub(u64::from(borrow));
            (*lane, borrow) = (second, is_under | is_under_again);
        }
        Summary {
            count: self.count.wrapping_sub(other.count),
            sum,
        }
    }
}
