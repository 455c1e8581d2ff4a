//! Parameters whose absence means something of its own.

use beth_protocol::time::Timestamp;

use super::{Kind, Names, Params, whole};
use crate::api::answer::Fault;

impl Params {
    /// An integer no smaller than `min`.
    pub fn at_least(&mut self, names: Names, min: u64) -> Option<u64> {
        self.note(names, || Kind::AtLeast(min));
        let value = whole(self.first(names)?);
        let fault = match value {
            Some(value) if value >= i128::from(min) => match u64::try_from(value) {
                Ok(value) => return Some(value),
                Err(_) => self.wrong(names, "less_than_equal", "The number is too large"),
            },
            Some(_) => self
                .wrong(
                    names,
                    "greater_than_equal",
                    &format!("Input should be greater than or equal to {min}"),
                )
                .with("ge", min),
            None => self.wrong(
                names,
                "int_parsing",
                "Input should be a valid integer, unable to parse string as an integer",
            ),
        };
        self.faults.push(fault);
        None
    }

    /// A boolean.
    pub fn given_flag(&mut self, names: Names) -> Option<bool> {
        self.note(names, || Kind::GivenFlag);
        self.boolean(names)
    }

    /// A text of at most so many characters.
    pub fn short(&mut self, names: Names, chars_max: usize) -> Option<String> {
        self.note(names, || Kind::Short(chars_max));
        let text = self.first(names)?.to_owned();
        if text.chars().count() > chars_max {
            let sentence = format!("String should have at most {chars_max} characters");
            let fault = self.wrong(names, "string_too_long", &sentence);
            self.faults.push(fault.with("max_length", chars_max));
            return None;
        }
        Some(text)
    }

    /// Seconds since the epoch, of which 0 is one.
    pub fn moment(&mut self, names: Names) -> Option<Timestamp> {
        self.note(names, || Kind::Time);
        let text = self.first(names)?.to_owned();
        let sentence = match text.trim().parse::<f64>() {
            Ok(seconds) if seconds < 0.0 => "timestamp must not be negative".to_owned(),
            Ok(seconds) => match Timestamp::from_seconds_f64(seconds) {
                Some(time) => return Some(time),
                None => "the time is out of range".to_owned(),
            },
            Err(_) => format!("could not convert string to float: '{text}'"),
        };
        let loc = vec![names[0].into()];
        self.faults.push(Fault::value(loc, &sentence, text.into()));
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::params;
    use beth_protocol::time::Timestamp;

    #[test]
    fn what_is_absent_is_nothing() {
        let mut asked = params("n=3&flag=no&at=0&text=abc");
        assert_eq!(asked.at_least(&["n"], 1), Some(3));
        assert_eq!(asked.given_flag(&["flag"]), Some(false));
        assert_eq!(asked.moment(&["at"]), Some(Timestamp::from_seconds(0)));
        assert_eq!(asked.short(&["text"], 3).as_deref(), Some("abc"));
        assert_eq!(asked.at_least(&["m"], 1), None);
        assert_eq!(asked.given_flag(&["other"]), None);
        assert_eq!(asked.moment(&["until"]), None);
        assert!(asked.finish().is_ok());
    }

    #[test]
    fn what_cannot_be_read_is_a_fault() {
        for query in ["n=0", "n=x", "n=100000000000000000000"] {
            let mut asked = params(query);
            assert_eq!(asked.at_least(&["n"], 1), None);
            assert!(asked.finish().is_err(), "{query}");
        }
        for query in ["at=-1", "at=abc", "at=1e20", "at=nan", "at="] {
            let mut asked = params(query);
            assert_eq!(asked.moment(&["at"]), None, "{query}");
            assert!(asked.finish().is_err(), "{query}");
        }
        let mut asked = params("text=abcd");
        assert_eq!(asked.short(&["text"], 3), None);
        assert!(asked.finish().is_err());
    }
}
