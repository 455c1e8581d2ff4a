//! What a verb says: results on standard output, progress and complaints on
//! standard error.
//!
//! With `--json` standard output carries nothing but JSON, and its last line
//! is the result: an object, with the member `error` when the verb failed.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::failure::Failure;

/// Where and how to speak.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    colour: bool,
}

impl Output {
    /// For a verb with or without `--json`.
    pub fn new(json: bool) -> Output {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Output { json, colour }
    }

    /// True with `--json`.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// The result, for people or for scripts.
    pub fn result(self, human: &str, object: &Value) -> Result<(), Failure> {
        let text = if self.json {
            object.to_string()
        } else {
            human.trim_end().to_owned()
        };
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Bytes on standard output, as they are.
    pub fn bytes(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        stdout
            .write_all(bytes)
            .and_then(|()| stdout.flush())
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::BrokenPipe => Failure::reader_gone(),
                _ => Failure::new(format!(
                    "cannot write the result: {error}; is the disk full?"
                )),
            })
    }

    /// A step of a longer work that is done: `placed  0.34 s  on http://…`.
    pub fn step(self, name: &str, elapsed: Duration, detail: &str) {
        let elapsed = format!("{:.2} s", elapsed.as_secs_f64());
        let line = format!(
            "{}  {}  {detail}",
            self.paint("1", &format!("{name:<9}")),
            self.paint("2", &format!("{elapsed:>8}"))
        );
        self.tell(line.trim_end());
    }

    /// Something worth knowing that is no failure.
    pub fn note(self, sentence: &str) {
        self.tell(&format!("{} {sentence}", self.paint("33", "note:")));
    }

    /// Tells a failure and returns the exit code.
    pub fn fail(self, failure: &Failure) -> u8 {
        if failure.sentence.is_empty() {
            return failure.code;
        }
        self.tell(&format!(
            "{} {}",
            self.paint("1;31", "error:"),
            failure.sentence
        ));
        if !failure.text.is_empty() {
            self.tell(&format!("\n{}", failure.text));
        }
        if self.json {
            let mut object = Map::new();
            object.insert("error".into(), failure.sentence.as_str().into());
            object.extend((*failure.facts).clone());
            // The exit code tells it as well.
            let _ = self.bytes(format!("{}\n", Value::Object(object)).as_bytes());
        }
        failure.code
    }

    fn tell(self, line: &str) {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Rows of `name  value`, aligned.
pub fn table(rows: &[(&str, String)]) -> String {
    let width = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or_default();
    rows.iter()
        .map(|(name, value)| format!("{name:<width$}  {value}\n"))
        .collect()
}

/// Rows below heads, aligned. Heads that begin with `>` stand above numbers.
pub fn columns(heads: &[&str], rows: &[Vec<String>]) -> String {
    let names: Vec<String> = heads.iter().map(|head| head.replace('>', "")).collect();
    let mut widths: Vec<usize> = names.iter().map(|name| name.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).zip(heads);
        let cells: Vec<String> = cells
            .map(|((cell, width), head)| match head.starts_with('>') {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            })
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    let body: String = rows.iter().map(|row| line(row)).collect();
    line(&names) + &body
}

/// `1.2 kB`.
pub fn size(bytes: u64) -> String {
    let amount = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", amount / 1e3),
        _ => format!("{:.1} MB", amount / 1e6),
    }
}

/// Bytes for JSON: text where they are text, hexadecimal digits otherwise.
pub fn body(bytes: &[u8]) -> (&'static str, Value) {
    match std::str::from_utf8(bytes) {
        Ok(text) => ("body", json!(text)),
        Err(_) => ("body_hex", json!(const_hex::encode(bytes))),
    }
}
