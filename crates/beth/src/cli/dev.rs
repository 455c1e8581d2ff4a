//! `beth dev`: for those who work on Beth itself.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use beth_sdk::workload::{Profile, SENDERS, Workload};
use clap::{Subcommand, ValueEnum};

use super::Outcome;
use super::failure::Failure;
use super::output::Output;

/// For those who work on Beth itself.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write signed test messages, one line of JSON each
    Messages(Messages),
}

/// Write signed test messages, one line of JSON each.
#[derive(Debug, clap::Args)]
pub struct Messages {
    /// How many
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    count: u64,
    /// Index of the first one
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u64,
    /// Other messages for each seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Accounts that sign them
    #[arg(long, value_name = "N", default_value_t = SENDERS)]
    senders: usize,
    /// What kind of messages
    #[arg(long, value_name = "KIND", default_value = "network")]
    profile: Kind,
    /// Also write the files that STORE messages name into this folder
    #[arg(long, value_name = "FOLDER")]
    files: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// POSTs that refer to nothing
    Posts,
    /// POSTs, amends, AGGREGATEs and FORGETs
    Network,
    /// The same with STOREs
    Files,
}

/// Runs one of them.
pub async fn run(verb: Verb) -> Outcome {
    let Verb::Messages(args) = verb;
    let written = tokio::task::spawn_blocking(move || write(&args)).await;
    let failure = match written {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Failure::reader_gone(),
        Ok(Err(error)) => Failure::new(format!("the messages cannot be written: {error}")),
        Err(_) => Failure::new("the messages could not be made"),
    };
    Err((Output::new(false), failure))
}

fn write(args: &Messages) -> std::io::Result<()> {
    let profile = match args.profile {
        Kind::Posts => Profile::Posts,
        Kind::Network => Profile::Network,
        Kind::Files => Profile::NetworkWithFiles,
    };
    let workload = Workload::of_senders(profile, args.seed, args.senders);
    let range = args.first..args.first + args.count;
    if let Some(folder) = &args.files {
        std::fs::create_dir_all(folder)?;
        for index in range.clone() {
            if let Some(file) = workload.file(index) {
                std::fs::write(folder.join(index.to_string()), file)?;
            }
        }
    }
    let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    workload.write(range, &mut out)?;
    out.flush()
}
