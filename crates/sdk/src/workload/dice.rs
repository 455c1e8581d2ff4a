//! Chance that can be repeated: splitmix64, named by what it is for.

/// A stream of numbers.
pub(super) struct Dice(u64);

impl Dice {
    /// The numbers for one purpose of one message.
    pub fn new(seed: u64, index: u64, purpose: &str) -> Dice {
        let named = purpose.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut dice = Dice(seed ^ named);
        let mixed = dice.next() ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Dice(mixed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in `0..bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// In `0..bound`, small numbers more often.
    pub fn low(&mut self, bound: u64) -> u64 {
        let share = self.unit();
        ((share * share * bound as f64) as u64).min(bound.saturating_sub(1))
    }

    /// Uniform in `0..1`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Shares that fall with the rank to a power.
pub(super) struct Zipf(Vec<f64>);

impl Zipf {
    /// Ranks `0..count`.
    pub fn new(count: usize, exponent: f64) -> Zipf {
        let mut sum = 0.0;
        let sums = (1..=count).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Zipf(sums.collect())
    }

    /// A rank.
    pub fn draw(&self, dice: &mut Dice) -> usize {
        let at = dice.unit() * self.0.last().copied().unwrap_or_default();
        self.0
            .partition_point(|sum| *sum <= at)
            .min(self.0.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_fall() {
        let zipf = Zipf::new(10, 1.0);
        let mut counts = [0_u32; 10];
        for index in 0..10_000 {
            counts[zipf.draw(&mut Dice::new(1, index, "test"))] += 1;
        }
        assert!(
            counts[0] > 3_000 && counts[0] < 3_900 && counts[9] > 200,
            "{counts:?}"
        );
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        for index in 0..1_000 {
            let mut dice = Dice::new(1, index, "test");
            assert!(dice.below(3) < 3);
            assert!(dice.low(3) < 3);
        }
        assert_eq!(Dice::new(1, 1, "").below(0), 0);
        assert_eq!(Dice::new(1, 1, "").low(0), 0);
    }
}
