//! Groups: everything in parentheses.

use super::{Checked, EMPTY, Parser, PatternFault, Stop, Width};

/// What a group of inline flags says.
enum Flags {
    /// `(?i)`: for the whole pattern.
    Whole,
    /// `(?i:…)`: for the group.
    Scoped,
}

impl Parser<'_> {
    /// Reads a group, whose parenthesis is at `position`; `None` if it matches
    /// nothing by itself, as a comment. `start` tells that nothing precedes it.
    pub(super) fn group(&mut self, position: usize, start: bool) -> Result<Option<Width>, Stop> {
        if !self.take('?') {
            return self.capture(None, position).map(Some);
        }
        let Some(kind) = self.next() else {
            return Err(self.fault("unexpected end of pattern", self.at).into());
        };
        match kind {
            'P' => self.extension(position).map(Some),
            ':' | '>' => self.rest(position).map(Some),
            '#' => self.comment(position).map(|()| None).map_err(Stop::from),
            '=' | '!' => self.rest(position).map(|_| Some(EMPTY)),
            '<' => self.lookbehind(position).map(|()| Some(EMPTY)),
            '(' => self.conditional(position).map(Some),
            c if c == '-' || c.is_ascii_alphabetic() => self.flags(c, position, start),
            c => Err(self.unknown(&format!("?{c}"), position + 1).into()),
        }
    }

    fn unknown(&self, extension: &str, position: usize) -> PatternFault {
        self.fault(&format!("unknown extension {extension}"), position)
    }

    fn close(&mut self, position: usize) -> Checked<()> {
        if self.take(')') {
            return Ok(());
        }
        Err(self.fault("missing ), unterminated subpattern", position))
    }

    fn rest(&mut self, position: usize) -> Result<Width, Stop> {
        let width = self.alternatives(false)?;
        self.close(position)?;
        Ok(width)
    }

    fn capture(&mut self, name: Option<String>, position: usize) -> Result<Width, Stop> {
        let group = self.groups.len();
        self.groups.push(None);
        if let Some(name) = name {
            let known = self.names.insert(name, group);
            if known.is_some() {
                return Err(self
                    .fault("redefinition of group name", position + 4)
                    .into());
            }
        }
        let width = self.rest(position)?;
        if let Some(slot) = self.groups.get_mut(group) {
            *slot = Some(width);
        }
        Ok(width)
    }

    fn comment(&mut self, position: usize) -> Checked<()> {
        if self.skip_past(')') {
            return Ok(());
        }
        Err(self.fault("missing ), unterminated comment", position))
    }

    fn extension(&mut self, position: usize) -> Result<Width, Stop> {
        match self.next() {
            Some('<') => {
                let name = self.name('>')?;
                self.capture(Some(name), position)
            }
            Some('=') => {
                let start = self.at;
                let name = self.name(')')?;
                let Some(&group) = self.names.get(&name) else {
                    return Err(self.unknown_name(&name, start).into());
                };
                Ok(self.referred(group, start)?)
            }
            Some(c) => Err(self.unknown(&format!("?P{c}"), position + 1).into()),
            None => Err(self.fault("unexpected end of pattern", self.at).into()),
        }
    }

    fn unknown_name(&self, name: &str, position: usize) -> PatternFault {
        self.fault(
            &format!("unknown group name {}", super::super::quoted(name)),
            position,
        )
    }

    /// A name that ends with `end`.
    fn name(&mut self, end: char) -> Checked<String> {
        let (start, name) = self.until(end)?;
        if !is_identifier(&name) {
            let text = format!(
                "bad character in group name {}",
                super::super::quoted(&name)
            );
            return Err(self.fault(&text, start));
        }
        Ok(name)
    }

    fn until(&mut self, end: char) -> Checked<(usize, String)> {
        let start = self.at;
        let text = self.take_while(usize::MAX, |c| c != end);
        let found = self.take(end);
        if text.is_empty() {
            return Err(self.fault("missing group name", start));
        }
        if !found {
            return Err(self.fault(&format!("missing {end}, unterminated name"), start));
        }
        Ok((start, text))
    }

    fn lookbehind(&mut self, position: usize) -> Result<(), Stop> {
        match self.next() {
            Some('=' | '!') => {}
            Some(c) => return Err(self.unknown(&format!("?<{c}"), position + 1).into()),
            None => return Err(self.fault("unexpected end of pattern", self.at).into()),
        }
        let outermost = self.lookbehind_groups.is_none();
        if outermost {
            self.lookbehind_groups = Some(self.groups.len());
        }
        let width = self.rest(position)?;
        if outermost {
            self.lookbehind_groups = None;
        }
        if width.least != width.most {
            let text = "look-behind requires fixed-width pattern";
            return Err(self.fault(text, position).into());
        }
        Ok(())
    }

    fn conditional(&mut self, position: usize) -> Result<Width, Stop> {
        let (start, condition) = self.until(')')?;
        let group = self.condition(&condition, start)?;
        self.settled(group, start)?;
        let yes = self.sequence(false)?;
        let no = if self.take('|') {
            self.sequence(false)?
        } else {
            EMPTY
        };
        if self.peek() == Some('|') {
            let text = "conditional backref with more than two branches";
            return Err(self.fault(text, self.at).into());
        }
        self.close(position)?;
        Ok(yes.or(no))
    }

    fn condition(&mut self, condition: &str, start: usize) -> Checked<usize> {
        if is_identifier(condition) {
            return match self.names.get(condition) {
                Some(&group) => Ok(group),
                None => Err(self.unknown_name(condition, start)),
            };
        }
        if !condition.bytes().all(|b| b.is_ascii_digit()) {
            let text = format!(
                "bad character in group name {}",
                super::super::quoted(condition)
            );
            return Err(self.fault(&text, start));
        }
        let group = condition.parse().unwrap_or(usize::MAX);
        if group == 0 {
            return Err(self.fault("bad group number", start));
        }
        self.conditions.push((group, start));
        Ok(group)
    }

    fn flags(&mut self, first: char, position: usize, start: bool) -> Result<Option<Width>, Stop> {
        let (scope, on, off) = self.flag_letters(first)?;
        match scope {
            Flags::Whole if !start => {
                let text = "global flags not at the start of the expression";
                Err(self.fault(text, position).into())
            }
            Flags::Whole if on.contains('x') && !self.verbose => Err(Stop::Verbose),
            Flags::Whole => Ok(None),
            Flags::Scoped => {
                let outside = self.verbose;
                self.verbose = (outside || on.contains('x')) && !off.contains('x');
                let width = self.alternatives(false)?;
                self.verbose = outside;
                self.close(position)?;
                Ok(Some(width))
            }
        }
    }

    /// Scope, letters switched on, letters switched off.
    fn flag_letters(&mut self, first: char) -> Checked<(Flags, String, String)> {
        let (mut on, mut off) = (String::new(), String::new());
        let mut character = first;
        while character != '-' {
            match character {
                'i' | 'm' | 's' | 'x' => on.push(character),
                'a' | 'u' => {
                    let other = if character == 'a' { 'u' } else { 'a' };
                    if on.contains(other) {
                        let text = "bad inline flags: flags 'a', 'u' and 'L' are incompatible";
                        return Err(self.fault(text, self.at));
                    }
                    on.push(character);
                }
                'L' => {
                    let text = "bad inline flags: cannot use 'L' flag with a str pattern";
                    return Err(self.fault(text, self.at));
                }
                c if c.is_alphabetic() => return Err(self.fault("unknown flag", self.at - 1)),
                _ => return Err(self.fault("missing -, : or )", self.at - 1)),
            }
            character = self
                .next()
                .ok_or_else(|| self.fault("missing -, : or )", self.at))?;
            match character {
                ')' => return Ok((Flags::Whole, on, off)),
                ':' => return Ok((Flags::Scoped, on, off)),
                _ => {}
            }
        }
        loop {
            match self.next() {
                Some(c @ ('i' | 'm' | 's' | 'x')) if !on.contains(c) => off.push(c),
                Some(':') if !off.is_empty() => return Ok((Flags::Scoped, on, off)),
                Some(c) if on.contains(c) => {
                    let text = "bad inline flags: flag turned on and off";
                    return Err(self.fault(text, self.at));
                }
                Some(c) if c.is_alphabetic() => return Err(self.fault("unknown flag", self.at - 1)),
                _ if off.is_empty() => return Err(self.fault("missing flag", self.at)),
                _ => return Err(self.fault("missing :", self.at)),
            }
        }
    }
}

/// An identifier, as names of groups are. Letters of other scripts count by
/// their general class only.
fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_alphabetic())
        && chars.all(|c| c == '_' || c.is_alphanumeric())
}
