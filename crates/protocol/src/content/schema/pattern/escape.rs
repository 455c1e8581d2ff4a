//! Escapes and character sets.

use super::{Checked, ONE, Parser, Part, PatternFault};

/// What one member of a set is.
enum Member {
    Character(u32),
    Class,
}

impl Parser<'_> {
    /// Reads what follows a backslash outside of a set.
    pub(super) fn escape(&mut self, position: usize) -> Checked<Part> {
        let Some(character) = self.next() else {
            return Err(self.fault("bad escape (end of pattern)", position));
        };
        match character {
            'A' | 'b' | 'B' | 'Z' => Ok(Part::Anchor),
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => Ok(Part::Plain(ONE)),
            '1'..='9' => self.numbered(character, position),
            _ => self
                .character(character, position)
                .map(|_| Part::Plain(ONE)),
        }
    }

    fn numbered(&mut self, first: char, position: usize) -> Checked<Part> {
        let mut digits = first.to_string();
        digits += &self.take_while(1, |c| c.is_ascii_digit());
        let octal = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'7'));
        let third = self.peek().is_some_and(|c| ('0'..='7').contains(&c));
        if digits.len() == 2 && octal(&digits) && third {
            digits.extend(self.next());
            self.octal(&digits, position)?;
            return Ok(Part::Plain(ONE));
        }
        let group = digits.parse().unwrap_or(usize::MAX);
        self.referred(group, position + 1).map(Part::Plain)
    }

    fn octal(&self, digits: &str, position: usize) -> Checked<u32> {
        match u32::from_str_radix(digits, 8) {
            Ok(code) if code <= 0o377 => Ok(code),
            _ => {
                let text = format!("octal escape value \\{digits} outside of range 0-0o377");
                Err(self.fault(&text, position))
            }
        }
    }

    /// The code of an escaped character, in a set or outside.
    fn character(&mut self, character: char, position: usize) -> Checked<u32> {
        match character {
            'a' => Ok(7),
            'f' => Ok(12),
            'n' => Ok(10),
            'r' => Ok(13),
            't' => Ok(9),
            'v' => Ok(11),
            'x' => self.hexadecimal(2, position),
            'u' => self.hexadecimal(4, position),
            'U' => self.hexadecimal(8, position),
            'N' => self.named(position),
            '0' => {
                let digits = self.take_while(2, |c| ('0'..='7').contains(&c));
                self.octal(&format!("0{digits}"), position)
            }
            c if c.is_ascii_alphanumeric() => Err(self.bad_escape(position)),
            c => Ok(u32::from(c)),
        }
    }

    fn bad_escape(&self, position: usize) -> PatternFault {
        let written: String = self.chars[position..self.at].iter().collect();
        self.fault(&format!("bad escape {written}"), position)
    }

    fn hexadecimal(&mut self, digits: usize, position: usize) -> Checked<u32> {
        let text = self.take_while(digits, |c| c.is_ascii_hexdigit());
        if text.len() != digits {
            let written: String = self.chars[position..self.at].iter().collect();
            return Err(self.fault(&format!("incomplete escape {written}"), position));
        }
        match u32::from_str_radix(&text, 16) {
            Ok(code) if code <= 0x10FFFF => Ok(code),
            _ => Err(self.bad_escape(position)),
        }
    }

    fn named(&mut self, position: usize) -> Checked<u32> {
        if !self.take('{') {
            return Err(self.fault("missing {", self.at));
        }
        let name = self.take_while(usize::MAX, |c| c != '}');
        if name.is_empty() {
            return Err(self.fault("missing character name", self.at));
        }
        if !self.take('}') {
            return Err(self.fault("missing }, unterminated name", position + 3));
        }
        // Names are not known here; no range that starts or ends with one fails.
        Ok(0)
    }

    /// Reads a set, whose bracket is at `position`.
    pub(super) fn set(&mut self, position: usize) -> Checked<()> {
        self.take('^');
        let mut first = true;
        loop {
            let start = self.at;
            match self.next() {
                None => return Err(self.unterminated_set(position)),
                Some(']') if !first => return Ok(()),
                Some(character) => {
                    first = false;
                    let low = self.member(character, start)?;
                    if self.range(low, start, position)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn unterminated_set(&self, position: usize) -> PatternFault {
        self.fault("unterminated character set", position)
    }

    /// Reads the end of a range, if one follows. A minus before the closing
    /// bracket stands for itself: then the set is over, which is answered.
    fn range(&mut self, low: Member, start: usize, position: usize) -> Checked<bool> {
        if !self.take('-') {
            return Ok(false);
        }
        if self.take(']') {
            return Ok(true);
        }
        let end = self.at;
        let Some(character) = self.next() else {
            return Err(self.unterminated_set(position));
        };
        let high = self.member(character, end)?;
        match (low, high) {
            (Member::Character(low), Member::Character(high)) if low <= high || high == 0 => {
                Ok(false)
            }
            _ => {
                let written: String = self.chars[start..self.at].iter().collect();
                Err(self.fault(&format!("bad character range {written}"), start))
            }
        }
    }

    fn member(&mut self, character: char, position: usize) -> Checked<Member> {
        if character != '\\' {
            return Ok(Member::Character(u32::from(character)));
        }
        let Some(escaped) = self.next() else {
            return Err(self.fault("bad escape (end of pattern)", position));
        };
        match escaped {
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => Ok(Member::Class),
            'b' => Ok(Member::Character(8)),
            '1'..='7' => {
                let digits = self.take_while(2, |c| ('0'..='7').contains(&c));
                self.octal(&format!("{escaped}{digits}"), position)
                    .map(Member::Character)
            }
            other => self.character(other, position).map(Member::Character),
        }
    }
}
