//! Decimal amounts: 28 significant digits, half to even, after every operation
//! (processing.md §16.3).

use bigdecimal::{BigDecimal, RoundingMode};
use bigdecimal::{Signed, ToPrimitive, Zero};
use serde_json::Value;
use std::num::NonZeroU64;
use std::str::FromStr;

const DIGITS: NonZeroU64 = NonZeroU64::new(28).unwrap();
/// Decimal places of a stored cost.
pub const COST_PLACES: i64 = 18;
/// Longest decimal text read from a message or aggregate.
const TEXT_BYTES_MAX: usize = 128;
/// Largest exponent read, so that nobody makes us write a million zeros.
const EXPONENT_MAX: i64 = 64;

/// A decimal amount of tokens or credits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Decimal(BigDecimal);

impl Decimal {
    /// Nothing.
    pub fn zero() -> Decimal {
        Decimal::default()
    }

    /// Reads a decimal text.
    pub fn parse(text: &str) -> Option<Decimal> {
        let text = text.trim();
        if text.is_empty() || text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let value = BigDecimal::from_str(text).ok()?;
        let (_, scale) = value.as_bigint_and_exponent();
        (scale.abs() <= EXPONENT_MAX).then_some(Decimal(value))
    }

    /// Reads a JSON number or decimal text; `None` for anything else.
    pub fn from_json(value: &Value) -> Option<Decimal> {
        match value {
            Value::Number(number) => Decimal::parse(&number.to_string()),
            Value::String(text) => Decimal::parse(text),
            _ => None,
        }
    }

    /// Rounded sum.
    pub fn plus(&self, other: &Decimal) -> Decimal {
        rounded(&self.0 + &other.0)
    }

    /// Rounded difference.
    pub fn minus(&self, other: &Decimal) -> Decimal {
        rounded(&self.0 - &other.0)
    }

    /// Rounded product.
    pub fn times(&self, other: &Decimal) -> Decimal {
        rounded(&self.0 * &other.0)
    }

    /// Rounded quotient; zero when the divisor is zero.
    pub fn over(&self, divisor: u64) -> Decimal {
        if divisor == 0 {
            return Decimal::zero();
        }
        rounded(&self.0 / BigDecimal::from(divisor))
    }

    /// The amount with its sign turned.
    pub fn negated(&self) -> Decimal {
        Decimal(-&self.0)
    }

    /// Cut to 18 places towards minus infinity, as costs are stored.
    pub fn floor_cost(&self) -> Decimal {
        Decimal(self.0.with_scale_round(COST_PLACES, RoundingMode::Floor))
    }

    /// The smallest integer not below.
    pub fn ceil_u64(&self) -> Option<u64> {
        self.0.with_scale_round(0, RoundingMode::Ceiling).to_u64()
    }

    /// True below zero.
    pub fn is_negative(&self) -> bool {
        self.0.is_negative()
    }

    /// True at zero.
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// As float, for members that are floats on the wire.
    pub fn to_f64(&self) -> f64 {
        // Through the text: the conversion of the library accumulates error.
        self.0.to_plain_string().parse().unwrap_or(0.0)
    }

    /// Exactly 18 places, as costs are served.
    pub fn to_cost_string(&self) -> String {
        self.floor_cost().0.to_plain_string()
    }

    /// The smaller one.
    pub fn min(self, other: Decimal) -> Decimal {
        if other < self { other } else { self }
    }

    /// The larger one.
    pub fn max(self, other: Decimal) -> Decimal {
        if other > self { other } else { self }
    }
}

fn rounded(value: BigDecimal) -> Decimal {
    // What is short enough keeps its places: 40 does not become 40.000.
    if value.digits() <= DIGITS.get() {
        return Decimal(value);
    }
    Decimal(value.with_precision_round(DIGITS, RoundingMode::HalfEven))
}

impl From<u64> for Decimal {
    fn from(value: u64) -> Decimal {
        Decimal(BigDecimal::from(value))
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Decimal {
        Decimal(BigDecimal::from(value))
    }
}

impl std::iter::Sum for Decimal {
    fn sum<I: Iterator<Item = Decimal>>(iter: I) -> Decimal {
        iter.fold(Decimal::zero(), |total, item| total.plus(&item))
    }
}

impl std::fmt::Display for Decimal {
    /// Plain digits, no exponent, as many places as the amount has.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_plain_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_like_the_network() {
        let price = Decimal::parse("0.055").unwrap().over(3600);
        assert_eq!(price.to_string(), "0.00001527777777777777777777777778");
        assert_eq!(price.to_cost_string(), "0.000015277777777777");
        assert_eq!(price.negated().to_cost_string(), "-0.000015277777777778");
        assert_eq!(
            Decimal::from(400u64).to_cost_string(),
            "400.000000000000000000"
        );
        let sum = Decimal::parse("800.000002225240069388")
            .unwrap()
            .plus(&Decimal::zero());
        assert_eq!(sum.to_string(), "800.000002225240069388");
        assert_eq!(Decimal::parse("1e999999999"), None);
        assert_eq!(Decimal::parse("nan"), None);
    }
}
