//! Versions as Python orders them (PEP 440), for `/status/check/version`.

use std::cmp::Ordering;

/// A version, comparable with others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    epoch: u64,
    release: Vec<u64>,
    pre: Pre,
    post: Option<u64>,
    dev: Dev,
    local: Vec<Segment>,
}

/// Development versions without a pre-release come first, finals last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pre {
    DevelopmentOnly,
    Alpha(u64),
    Beta(u64),
    Candidate(u64),
    Final,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dev {
    Number(u64),
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Number(u64),
    Text(String),
}

impl Version {
    /// Reads a version; `None` when it is none.
    pub(super) fn parse(text: &str) -> Option<Version> {
        let text = text.trim().to_ascii_lowercase();
        let text = text.strip_prefix('v').unwrap_or(&text);
        let (public, local) = text
            .split_once('+')
            .map_or((text, None), |(public, local)| (public, Some(local)));
        let (epoch, mut rest) = match public.split_once('!') {
            Some((epoch, rest)) => (epoch.parse().ok()?, rest),
            None => (0, public),
        };
        let mut release = vec![number(&mut rest)?];
        while let Some(mut tail) = rest
            .strip_prefix('.')
            .filter(|tail| tail.starts_with(|c: char| c.is_ascii_digit()))
        {
            release.push(number(&mut tail)?);
            rest = tail;
        }
        while release.len() > 1 && release.last() == Some(&0) {
            release.pop();
        }
        let mut pre = None;
        for (name, kind) in [
            ("alpha", Pre::Alpha as fn(u64) -> Pre),
            ("a", Pre::Alpha),
            ("beta", Pre::Beta),
            ("b", Pre::Beta),
            ("preview", Pre::Candidate),
            ("pre", Pre::Candidate),
            ("rc", Pre::Candidate),
            ("c", Pre::Candidate),
        ] {
            if pre.is_none() {
                pre = tagged(&mut rest, name).map(kind);
            }
        }
        let post = ["post", "rev", "r"]
            .iter()
            .find_map(|name| tagged(&mut rest, name))
            .or_else(|| {
                let mut tail = rest.strip_prefix('-')?;
                let post = number(&mut tail)?;
                rest = tail;
                Some(post)
            });
        let dev = tagged(&mut rest, "dev");
        if !rest.is_empty() {
            return None;
        }
        let pre = pre.unwrap_or(if dev.is_some() && post.is_none() {
            Pre::DevelopmentOnly
        } else {
            Pre::Final
        });
        let local = local.map_or(Some(Vec::new()), segments)?;
        Some(Version {
            epoch,
            release,
            pre,
            post,
            dev: dev.map_or(Dev::None, Dev::Number),
            local,
        })
    }
}

impl Ord for Segment {
    fn cmp(&self, other: &Segment) -> Ordering {
        match (self, other) {
            (Segment::Number(a), Segment::Number(b)) => a.cmp(b),
            (Segment::Text(a), Segment::Text(b)) => a.cmp(b),
            (Segment::Number(_), Segment::Text(_)) => Ordering::Greater,
            (Segment::Text(_), Segment::Number(_)) => Ordering::Less,
        }
    }
}

impl PartialOrd for Segment {
    fn partial_cmp(&self, other: &Segment) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Digits at the start.
fn number(rest: &mut &str) -> Option<u64> {
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let value = rest[..end].parse().ok()?;
    *rest = &rest[end..];
    Some(value)
}

/// `[-_.]name[-_.]N`, where N is 0 when absent.
fn tagged(rest: &mut &str, name: &str) -> Option<u64> {
    let separators = ['-', '_', '.'];
    let mut tail = rest
        .strip_prefix(separators)
        .unwrap_or(rest)
        .strip_prefix(name)?;
    let mut digits = tail.strip_prefix(separators).unwrap_or(tail);
    let value = match number(&mut digits) {
        Some(value) => {
            tail = digits;
            value
        }
        None => 0,
    };
    *rest = tail;
    Some(value)
}

fn segments(local: &str) -> Option<Vec<Segment>> {
    let parts = local.split(['-', '_', '.']).map(|part| {
        let fits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then(|| {
            part.parse()
                .map_or_else(|_| Segment::Text(part.to_owned()), Segment::Number)
        })
    });
    parts.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn order() {
        let ascending = [
            "0.9",
            "1.0.dev1",
            "1.0a1.dev2",
            "1.0a1",
            "1.0-beta.2",
            "1.0rc1",
            "1.0",
            "1.0+abc",
            "1.0+abc.1",
            "1.0+5",
            "1.0.post1",
            "1.0.1",
            "1.14.0",
            "1.14.0+beth.0.1.0",
            "1.14.0+beth.0.2.0",
            "1.14.1",
            "99.0",
            "1!0.1",
        ];
        for pair in ascending.windows(2) {
            assert!(
                Version::parse(pair[0]).unwrap() < Version::parse(pair[1]).unwrap(),
                "{pair:?}"
            );
        }
        assert_eq!(Version::parse("v1.0.0"), Version::parse("1"));
        for bad in ["", "abc", "1.", "1.0+", "1.0 x", "1..0", "1.0+a..b"] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
    }
}
