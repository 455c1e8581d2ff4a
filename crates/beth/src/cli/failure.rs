//! How a verb fails: a sentence, facts for scripts, an exit code.

use serde_json::{Map, Value};

/// Exit code for anything refused or failed.
pub const FAILED: u8 = 1;
/// Exit code for wrong usage.
pub const USAGE: u8 = 2;

/// Why a verb did not do its work.
#[derive(Debug)]
pub struct Failure {
    /// What happened and what to do. Empty when the reader of our output went
    /// away, which is no failure.
    pub sentence: String,
    /// Text to show below the sentence, e.g. a traceback.
    pub text: String,
    /// Members for `--json`, beside `error`.
    pub facts: Box<Map<String, Value>>,
    /// Exit code.
    pub code: u8,
}

impl Failure {
    /// Something was refused or failed.
    pub fn new(sentence: impl Into<String>) -> Failure {
        Failure {
            sentence: sentence.into(),
            text: String::new(),
            facts: Box::default(),
            code: FAILED,
        }
    }

    /// The arguments make no sense.
    pub fn usage(sentence: impl Into<String>) -> Failure {
        Failure {
            code: USAGE,
            ..Failure::new(sentence)
        }
    }

    /// Whoever read our output is gone: nothing left to do or to say.
    pub fn reader_gone() -> Failure {
        Failure {
            code: 0,
            ..Failure::new("")
        }
    }

    /// Adds a fact for scripts.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Failure {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a text to show below the sentence; also a fact of that name.
    pub fn showing(mut self, name: &str, text: &str) -> Failure {
        if !text.trim().is_empty() {
            self.text = text.trim_end().to_owned();
            self.facts.insert(name.to_owned(), text.into());
        }
        self
    }
}

impl From<beth_sdk::Error> for Failure {
    fn from(error: beth_sdk::Error) -> Failure {
        let failure = Failure::new(error.to_string());
        match error {
            beth_sdk::Error::BadUrl { .. } => Failure {
                code: USAGE,
                ..failure
            },
            beth_sdk::Error::Rejected {
                item_hash,
                code,
                details,
            } => failure
                .with("item_hash", item_hash.as_str())
                .with("error_code", code)
                .with("details", details),
            beth_sdk::Error::StillPending { item_hash, .. } => {
                failure.with("item_hash", item_hash.as_str())
            }
            _ => failure,
        }
    }
}
