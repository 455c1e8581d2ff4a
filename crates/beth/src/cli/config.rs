//! `beth config`: what a node would be told, and by whom.

use std::path::PathBuf;

use super::Outcome;
use super::failure::Failure;
use super::output::Output;
use crate::config::{Loaded, Told, shown};

/// What to print.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Config file: beth.toml, or the config.yml of a node of upstream. Without one: every key with its default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A value that wins over file and environment, such as ccn.listen=127.0.0.1:4024
    #[arg(long, value_name = "KEY=VALUE", requires = "config")]
    set: Vec<String>,
    /// One JSON object with keys, values and sources
    #[arg(long, requires = "config")]
    json: bool,
}

/// Prints the effective configuration, or the reference.
pub fn run(args: Args) -> Outcome {
    let output = Output::new(args.json);
    print(args, output).map_err(|failure| (output, failure))
}

fn print(args: Args, output: Output) -> Result<(), Failure> {
    let Args { config, set, json } = args;
    let Some(file) = config else {
        return output.bytes(shown::REFERENCE.as_bytes());
    };
    let loaded = Told { file, set }.load().map_err(failed)?;
    for note in &loaded.notes {
        output.note(note);
    }
    let text = text_of(&loaded, json).map_err(failed)?;
    output.bytes(text.as_bytes())
}

fn text_of(loaded: &Loaded, as_json: bool) -> anyhow::Result<String> {
    if as_json {
        return Ok(format!("{}\n", shown::json(loaded)?));
    }
    shown::text(loaded)
}

fn failed(error: anyhow::Error) -> Failure {
    Failure::new(format!("{error:#}"))
}
