//! Times: integer microseconds inside, float seconds on the wire
//! (messages.md §5).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Number, Value};

/// Microseconds since the Unix epoch, UTC; any time between the years 1 and
/// 9999.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

const SECONDS_MIN: f64 = -62_135_596_800.0;
const SECONDS_MAX: f64 = 253_402_300_800.0;
/// Times farther away than this have no year worth telling.
const SECONDS_OF_A_YEAR_MAX: f64 = 6.7e16;
/// 2^53: every integer up to here is a double.
const MICROS_EXACT_MAX: u64 = 9_007_199_254_740_992;

impl Timestamp {
    /// From microseconds.
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros)
    }

    /// From whole seconds.
    pub const fn from_seconds(seconds: i64) -> Timestamp {
        Timestamp(seconds.saturating_mul(1_000_000))
    }

    /// From float seconds, rounded half to even to microseconds; `None`
    /// outside the years 1–9999.
    pub fn from_seconds_f64(seconds: f64) -> Option<Timestamp> {
        if !(SECONDS_MIN..SECONDS_MAX).contains(&seconds) {
            return None;
        }
        let whole = seconds.trunc();
        let micros = ((seconds - whole) * 1e6).round_ties_even();
        Some(Timestamp(whole as i64 * 1_000_000 + micros as i64))
    }

    /// From a JSON number (or, as upstream, a boolean).
    pub fn from_json(value: &Value) -> Result<Timestamp, String> {
        let seconds = match value {
            Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
            Value::Bool(flag) => f64::from(u8::from(*flag)),
            _ => return Err("Input should be a valid number".into()),
        };
        Timestamp::from_seconds_f64(seconds).ok_or_else(|| {
            if seconds.abs() < SECONDS_OF_A_YEAR_MAX {
                let (year, ..) = civil_from_days((seconds / 86_400.0).floor() as i64);
                format!("year {year} is out of range")
            } else {
                "timestamp out of range for platform time_t".into()
            }
        })
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// True when this moment is nearer to another one than a third is; of two
    /// as near, the earlier.
    pub fn is_nearer(self, than: Timestamp, to: Timestamp) -> bool {
        let distance = |moment: Timestamp| (moment.0.abs_diff(to.0), moment.0);
        distance(self) < distance(than)
    }

    /// Seconds since the epoch, as the wire has them: the double nearest to
    /// the exact time, which reads as the same time again.
    pub fn seconds_f64(self) -> f64 {
        if self.0.unsigned_abs() <= MICROS_EXACT_MAX {
            return self.0 as f64 / 1e6;
        }
        // Farther than 285 years away the count of microseconds is no double:
        // dividing it would round twice.
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        let text = format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        text.parse().unwrap_or(self.0 as f64 / 1e6)
    }

    /// The JSON float of the wire.
    pub fn to_json(self) -> Value {
        Number::from_f64(self.seconds_f64()).map_or(Value::Null, Value::Number)
    }

    /// `2026-11-01T00:01:38` plus `.ffffff` when there are microseconds, plus
    /// the given zone suffix (`Z` or `+00:00`).
    pub fn to_iso(self, zone: &str) -> String {
        let seconds = self.0.div_euclid(1_000_000);
        let micros = self.0.rem_euclid(1_000_000);
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        let fraction = if micros == 0 {
            String::new()
        } else {
            format!(".{micros:06}")
        };
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}")
    }

    /// `2023-11-14T22:13:20.123Z`: always three digits after the point, cut off.
    pub fn to_iso_millis(self) -> String {
        let millis = self.0.div_euclid(1_000);
        let whole = Timestamp::from_seconds(millis.div_euclid(1_000));
        format!("{}.{:03}Z", whole.to_iso(""), millis.rem_euclid(1_000))
    }

    /// Reads what [`to_iso`](Self::to_iso) writes, with any of the two zones.
    pub fn from_iso(text: &str) -> Option<Timestamp> {
        let text = text
            .strip_suffix("+00:00")
            .or_else(|| text.strip_suffix('Z'))?;
        let (date, clock) = text.split_once(['T', ' '])?;
        let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
        let (year, month, day) = (date.next()??, date.next()??, date.next()??);
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        let mut clock = clock.split(':').map(|part| part.parse::<i64>().ok());
        let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
        let fits = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..61).contains(&second)
            && fraction.len() <= 6
            && fraction.bytes().all(|b| b.is_ascii_digit());
        if !fits {
            return None;
        }
        let micros = format!("{fraction:0<6}").parse::<i64>().ok()?;
        let days = days_from_civil(year, month, day);
        Some(Timestamp(
            (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + micros,
        ))
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.seconds_f64())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Timestamp::from_seconds_f64(seconds)
            .ok_or_else(|| serde::de::Error::custom("time is out of range"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_microseconds_as_served() {
        let time = Timestamp::from_seconds_f64(1657534863.1375434).unwrap();
        assert_eq!(time.seconds_f64(), 1657534863.137543);
    }

    #[test]
    fn every_time_reads_as_it_was_written() {
        for seconds in [
            100_000_000_000.060_12,
            253_402_300_799.999_94,
            -62_135_596_799.999_99,
            -0.123_456_5,
            -1e-7,
        ] {
            let time = Timestamp::from_seconds_f64(seconds).unwrap();
            assert_eq!(
                Timestamp::from_seconds_f64(time.seconds_f64()),
                Some(time),
                "{seconds}"
            );
        }
        let half = Timestamp::from_seconds_f64(-0.123_456_5).unwrap();
        assert_eq!(half.micros(), -123_456);
    }

    #[test]
    fn iso_round_trip() {
        for (seconds, iso) in [
            (0.0, "1970-01-01T00:00:00Z"),
            (1793491298.0, "2026-11-01T00:01:38Z"),
            (1700000000.123, "2023-11-14T22:13:20.123000Z"),
            (-1.5, "1969-12-31T23:59:58.500000Z"),
            (951782400.0, "2000-02-29T00:00:00Z"),
        ] {
            let time = Timestamp::from_seconds_f64(seconds).unwrap();
            assert_eq!(time.to_iso("Z"), iso);
            assert_eq!(Timestamp::from_iso(iso), Some(time));
        }
        assert_eq!(
            Timestamp::from_micros(-1).to_iso_millis(),
            "1969-12-31T23:59:59.999Z"
        );
        assert_eq!(
            Timestamp::from_micros(1_700_000_000_123_999).to_iso_millis(),
            "2023-11-14T22:13:20.123Z"
        );
        assert_eq!(Timestamp::from_seconds_f64(1e20), None);
        assert_eq!(Timestamp::from_seconds_f64(f64::NAN), None);
        assert_eq!(Timestamp::from_iso("2026-13-01T00:00:00Z"), None);
    }
}
