//! How far a long work is: one line that changes on a terminal, a plain line
//! now and then elsewhere; on standard error.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Pause between two plain lines.
const PLAIN_PERIOD: Duration = Duration::from_secs(10);
/// The rate is that of about so long.
const RATE_PERIOD: Duration = Duration::from_secs(2);
const CELLS: usize = 30;

/// The line of one work.
pub struct Bar {
    is_terminal: bool,
    said: Instant,
    is_shown: bool,
    measured: (Instant, u64),
    rate: f64,
}

impl Bar {
    /// Nothing is shown yet.
    pub fn new() -> Bar {
        let now = Instant::now();
        Bar {
            is_terminal: std::io::stderr().is_terminal(),
            said: now,
            is_shown: false,
            measured: (now, 0),
            rate: 0.0,
        }
    }

    /// How many a second, of the last seconds.
    pub fn rate(&mut self, count: u64) -> f64 {
        let (at, before) = self.measured;
        let elapsed = at.elapsed();
        if elapsed >= RATE_PERIOD || (self.rate == 0.0 && count > before) {
            self.rate = count.saturating_sub(before) as f64 / elapsed.as_secs_f64().max(1e-3);
            self.measured = (Instant::now(), count);
        }
        self.rate
    }

    /// Shows the share of the work that is done, where it is known, and a
    /// sentence.
    pub fn show(&mut self, share: Option<f64>, sentence: &str) {
        let line = line(share, sentence);
        if self.is_terminal {
            self.is_shown = true;
            tell(&format!("\r\u{1b}[2K{line}"));
        } else if self.said.elapsed() >= PLAIN_PERIOD {
            self.said = Instant::now();
            tell(&format!("{line}\n"));
        }
    }

    /// Leaves nothing behind on a terminal.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            tell("\r\u{1b}[2K");
        }
    }
}

fn line(share: Option<f64>, sentence: &str) -> String {
    let Some(share) = share else {
        return sentence.to_owned();
    };
    let full = ((share * CELLS as f64) as usize).min(CELLS);
    format!(
        "[{}{}] {:>5.1} %  {sentence}",
        "#".repeat(full),
        "·".repeat(CELLS - full),
        share * 100.0
    )
}

fn tell(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // Nobody is left to tell when standard error is closed.
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(line(None, "3 messages"), "3 messages");
        let half = format!("[{}{}]  50.0 %  x", "#".repeat(15), "·".repeat(15));
        assert_eq!(line(Some(0.5), "x"), half);
        assert!(line(Some(1.0), "").starts_with(&format!("[{}]", "#".repeat(30))));
    }
}
