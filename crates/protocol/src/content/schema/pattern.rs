//! Whether a text is a regular expression as the network understands them:
//! the dialect of Python's `re` (messages.md §8.6, `address_regex`).
//!
//! Only the syntax is checked; nothing is compiled or matched here. Each part
//! answers the least and greatest width it matches, because a look-behind
//! needs a fixed one. Recursion is bounded by the length of the text
//! ([`ADDRESS_REGEX_CHARS_MAX`](crate::limits::ADDRESS_REGEX_CHARS_MAX)).
//!
//! Not known here: the names of characters in `\N{…}`, all of which pass.

mod escape;
mod group;

use std::collections::HashMap;

/// What is wrong, and at which character.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} at position {position}")]
pub(super) struct PatternFault {
    text: String,
    position: usize,
}

/// Repetition counts from here on are refused.
const REPEAT_MAX: u64 = u32::MAX as u64;

type Checked<T> = Result<T, PatternFault>;

/// Characters matched: at least, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Width {
    least: u64,
    most: u64,
}

const EMPTY: Width = Width { least: 0, most: 0 };
const ONE: Width = Width { least: 1, most: 1 };

impl Width {
    fn then(self, next: Width) -> Width {
        Width {
            least: self.least.saturating_add(next.least).min(REPEAT_MAX),
            most: self.most.saturating_add(next.most).min(REPEAT_MAX),
        }
    }

    fn or(self, other: Width) -> Width {
        Width {
            least: self.least.min(other.least),
            most: self.most.max(other.most),
        }
    }

    fn times(self, least: u64, most: u64) -> Width {
        Width {
            least: self.least.saturating_mul(least).min(REPEAT_MAX),
            most: self.most.saturating_mul(most).min(REPEAT_MAX),
        }
    }
}

/// What the last part was, for the repetition that may follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Plain(Width),
    Anchor,
    Repeated(Width),
}

impl Part {
    fn width(self) -> Width {
        match self {
            Part::Plain(width) | Part::Repeated(width) => width,
            Part::Anchor => EMPTY,
        }
    }
}

/// Checks a pattern.
pub(super) fn check(pattern: &str) -> Result<(), PatternFault> {
    let chars: Vec<char> = pattern.chars().collect();
    match Parser::new(&chars, false).whole() {
        Err(Stop::Verbose) => match Parser::new(&chars, true).whole() {
            Err(Stop::Fault(fault)) => Err(fault),
            _ => Ok(()),
        },
        Err(Stop::Fault(fault)) => Err(fault),
        Ok(()) => Ok(()),
    }
}

/// Why parsing ended early.
enum Stop {
    Fault(PatternFault),
    /// `(?x)` at the start: read again, ignoring white space.
    Verbose,
}

impl From<PatternFault> for Stop {
    fn from(fault: PatternFault) -> Stop {
        Stop::Fault(fault)
    }
}

struct Parser<'p> {
    chars: &'p [char],
    at: usize,
    verbose: bool,
    /// Width of each group, `None` while it is open; index 0 is the whole.
    groups: Vec<Option<Width>>,
    names: HashMap<String, usize>,
    /// Groups defined before the look-behind being read.
    lookbehind_groups: Option<usize>,
    /// Groups that conditions name by number: checked at the end.
    conditions: Vec<(usize, usize)>,
}

impl<'p> Parser<'p> {
    fn new(chars: &'p [char], verbose: bool) -> Parser<'p> {
        Parser {
            chars,
            at: 0,
            verbose,
            groups: vec![None],
            names: HashMap::new(),
            lookbehind_groups: None,
            conditions: Vec::new(),
        }
    }

    fn whole(&mut self) -> Result<(), Stop> {
        self.alternatives(true)?;
        if self.peek().is_some() {
            return Err(self.fault("unbalanced parenthesis", self.at).into());
        }
        for &(group, position) in &self.conditions {
            if group >= self.groups.len() {
                let text = format!("invalid group reference {group}");
                return Err(self.fault(&text, position).into());
            }
        }
        Ok(())
    }

    fn fault(&self, text: &str, position: usize) -> PatternFault {
        PatternFault {
            text: text.to_owned(),
            position,
        }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek();
        self.at += usize::from(next.is_some());
        next
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn take_while(&mut self, max: usize, fits: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.at - start < max && self.peek().is_some_and(&fits) {
            self.at += 1;
        }
        self.chars[start..self.at].iter().collect()
    }

    /// Skips a comment and its end, which a backslash hides; false if there is
    /// no end.
    fn skip_past(&mut self, end: char) -> bool {
        while let Some(character) = self.next() {
            if character == end {
                return true;
            }
            if character == '\\' {
                self.next();
            }
        }
        false
    }

    fn alternatives(&mut self, top: bool) -> Result<Width, Stop> {
        let mut width = self.sequence(top)?;
        while self.take('|') {
            width = width.or(self.sequence(false)?);
        }
        Ok(width)
    }

    fn sequence(&mut self, first: bool) -> Result<Width, Stop> {
        let mut width = EMPTY;
        let mut last: Option<Part> = None;
        while let Some(character) = self.peek() {
            if character == '|' || character == ')' {
                break;
            }
            if self.verbose && self.skipped(character) {
                continue;
            }
            let position = self.at;
            self.at += 1;
            let part = match character {
                '\\' => self.escape(position)?,
                '[' => {
                    self.set(position)?;
                    Part::Plain(ONE)
                }
                '^' | '$' => Part::Anchor,
                '(' => match self.group(position, first && last.is_none())? {
                    Some(group) => Part::Plain(group),
                    None => continue,
                },
                '?' | '*' | '+' => {
                    let (least, most) = match character {
                        '?' => (0, 1),
                        '*' => (0, REPEAT_MAX),
                        _ => (1, REPEAT_MAX),
                    };
                    last = Some(self.repeated(last, least, most, position)?);
                    continue;
                }
                '{' => match self.counts(position)? {
                    Some((least, most)) => {
                        last = Some(self.repeated(last, least, most, position)?);
                        continue;
                    }
                    None => Part::Plain(ONE),
                },
                _ => Part::Plain(ONE),
            };
            width = width.then(last.map_or(EMPTY, Part::width));
            last = Some(part);
        }
        Ok(width.then(last.map_or(EMPTY, Part::width)))
    }

    /// Skips white space and comments of a verbose pattern.
    fn skipped(&mut self, character: char) -> bool {
        if character == '#' {
            self.skip_past('\n');
            return true;
        }
        let white = matches!(character, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c');
        self.at += usize::from(white);
        white
    }

    /// The counts of `{m,n}`; `None` if the brace stands for itself.
    fn counts(&mut self, position: usize) -> Checked<Option<(u64, u64)>> {
        if self.peek() == Some('}') {
            return Ok(None);
        }
        let digit = |c: char| c.is_ascii_digit();
        let low = self.take_while(usize::MAX, digit);
        let high = if self.take(',') {
            self.take_while(usize::MAX, digit)
        } else {
            low.clone()
        };
        if !self.take('}') {
            self.at = position + 1;
            return Ok(None);
        }
        let count = |digits: &str, absent| {
            if digits.is_empty() {
                return Ok(absent);
            }
            let count = digits.parse().unwrap_or(REPEAT_MAX);
            if count >= REPEAT_MAX {
                return Err(self.fault("the repetition number is too large", position));
            }
            Ok(count)
        };
        let (least, most) = (count(&low, 0)?, count(&high, REPEAT_MAX)?);
        if most < least {
            return Err(self.fault("min repeat greater than max repeat", position + 1));
        }
        Ok(Some((least, most)))
    }

    fn repeated(
        &mut self,
        last: Option<Part>,
        least: u64,
        most: u64,
        position: usize,
    ) -> Checked<Part> {
        let width = match last {
            None | Some(Part::Anchor) => return Err(self.fault("nothing to repeat", position)),
            Some(Part::Repeated(_)) => return Err(self.fault("multiple repeat", position)),
            Some(Part::Plain(width)) => width,
        };
        if !self.take('?') {
            self.take('+');
        }
        Ok(Part::Repeated(width.times(least, most)))
    }

    /// The width of a group that is referred to.
    fn referred(&self, group: usize, position: usize) -> Checked<Width> {
        let Some(known) = self.groups.get(group).filter(|_| group > 0) else {
            return Err(self.fault(&format!("invalid group reference {group}"), position));
        };
        let Some(width) = known else {
            return Err(self.open(position));
        };
        self.settled(group, position)?;
        Ok(*width)
    }

    fn open(&self, position: usize) -> PatternFault {
        self.fault("cannot refer to an open group", position)
    }

    /// Within a look-behind, refuses its own groups and those that hold it.
    fn settled(&self, group: usize, position: usize) -> Checked<()> {
        let Some(before) = self.lookbehind_groups else {
            return Ok(());
        };
        match self.groups.get(group) {
            Some(Some(_)) if group < before => Ok(()),
            Some(None) => Err(self.open(position)),
            _ => {
                let text = "cannot refer to group defined in the same lookbehind subpattern";
                Err(self.fault(text, position))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax() {
        for good in [
            "",
            "a|b",
            "^https?://[a-z0-9.-]+$",
            "(?i)x",
            "(?x) a b # c",
            "(?P<n>a)(?P=n)",
            "(a)\\1",
            "(?<=ab|cd)e",
            "a{2,3}?",
            "a{,5}",
            "{",
            "a{",
            "a{x}",
            "[]a]",
            "[^]]",
            "(?:a)*+",
            "(?>a)b",
            "(a)?(?(1)b|c)",
            "(?s-i:a)",
            "\\x41\\u0041\\101",
            "a{}",
            "(?#c)(?m)x",
            "[a-]",
            "(?=a)*",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "(",
            ")",
            "a**",
            "*",
            "^*",
            "[",
            "[z-a]",
            "[\\d-a]",
            "\\",
            "\\q",
            "\\1",
            "(a\\1)",
            "(?<=a*)b",
            "a{3,2}",
            "x(?i)",
            "(?P<1>a)",
            "(?P<a>b)(?P<a>c)",
            "(?P=x)",
            "(?L)a",
            "(?z)",
            "(?",
            "(?(1)a)",
            "(a)(?(1)b|c|d)",
            "\\x4",
            "(?i-i:a)",
            "(?au:x)",
            "(?#",
            "\\400",
            "[\\8]",
            "(a(?<=(?(1)b|c)))",
            "a{99999999999}",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert_eq!(
            check("(").map_err(|fault| fault.to_string()),
            Err("missing ), unterminated subpattern at position 0".to_owned())
        );
    }
}
