//! `beth ccn export`: the messages of a node as lines of JSON.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use beth_ccn::{CcnConfig, export};
use serde_json::json;

use super::section;
use crate::cli::Outcome;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

const BUFFER_BYTES: usize = 1 << 20;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to write; `-` for standard output
    #[arg(value_name = "FILE")]
    target: PathBuf,
    /// Config file of the node
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Write the result as one JSON object on the last line of standard output
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub async fn run(args: Args) -> Outcome {
    let output = Output::new(args.json);
    save(args, output)
        .await
        .map_err(|failure| (output, failure))
}

async fn save(args: Args, output: Output) -> Result<(), Failure> {
    let is_output = args.target.as_os_str() == "-";
    if is_output && args.json {
        return Err(Failure::usage(
            "standard output cannot carry both the messages and the result: give a file or leave out --json",
        ));
    }
    let config = section(&args.config)?;
    let begun = Instant::now();
    let target = args.target.clone();
    let written = tokio::task::spawn_blocking(move || {
        if is_output {
            let mut out = BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout().lock());
            export::write(&config, &mut out)
        } else {
            to_file(&config, &target)
        }
    });
    let count = match written.await {
        Ok(Ok(count)) => count,
        Ok(Err(export::Failure::Write(error)))
            if error.kind() == std::io::ErrorKind::BrokenPipe =>
        {
            return Err(Failure::reader_gone());
        }
        Ok(Err(failure)) => {
            return Err(Failure::new(format!(
                "the messages cannot be exported: {failure}"
            )));
        }
        Err(_) => return Err(Failure::new("the export ended badly")),
    };
    if is_output {
        return Ok(());
    }
    let seconds = begun.elapsed().as_secs_f64();
    let text = format!(
        "{count} messages written to {} in {seconds:.1} s",
        args.target.display()
    );
    output.result(&text, &json!({"messages": count, "seconds": seconds}))
}

/// The file appears when it is complete.
fn to_file(config: &CcnConfig, target: &Path) -> Result<u64, export::Failure> {
    let mut unfinished = target.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, File::create(&unfinished)?);
    let count = export::write(config, &mut out)?;
    out.flush()?;
    out.get_ref().sync_all()?;
    std::fs::rename(&unfinished, target)?;
    Ok(count)
}
