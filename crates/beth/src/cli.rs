//! The verbs.
//!
//! ```text
//!  Arguments ─▶ Verb ─┬─ program   deploy, call
//!                     ├─ post, aggregate, file, message, account
//!                     ├─ ccn import, export; crn ls, inspect, logs, top
//!                     ├─ config
//!                     └─ up, ccn, crn, doctor (run by main)
//!
//!  verb ─▶ Session (node, account) ─▶ beth-sdk ─▶ Output (result | progress) or Failure
//! ```
//!
//! Every client verb takes the same three options (`--node`, `--key`,
//! `--json`) and is a function from its arguments and a [`Session`] to nothing
//! or a [`Failure`], which is a sentence and an exit code.

mod account;
mod aggregate;
pub mod ccn;
mod config;
pub mod crn;
mod dev;
mod failure;
mod file;
mod key;
mod message;
mod output;
mod post;
mod program;
mod progress;
mod session;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;
use session::Session;

/// The Aleph.im network as one program: run nodes, deploy programs, keep data.
#[derive(Debug, Parser)]
#[command(
    name = "beth",
    version,
    propagate_version = false,
    max_term_width = 100
)]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start a whole local network
    Up(crate::up::Args),
    /// Run a core node; import and export messages
    Ccn(ccn::Ccn),
    /// Run a compute node, or look at what runs on one
    Crn(crn::Crn),
    /// Print the effective configuration of a node, with the source of each value
    Config(config::Args),
    /// Say what this machine has and lacks
    Doctor(crate::doctor::Args),
    /// Deploy and call programs
    #[command(subcommand)]
    Program(program::Verb),
    /// Write and read posts
    #[command(subcommand)]
    Post(post::Verb),
    /// Write and read the key-value store of an address
    #[command(subcommand)]
    Aggregate(aggregate::Verb),
    /// Store and fetch files
    #[command(subcommand)]
    File(file::Verb),
    /// Look at messages
    #[command(subcommand)]
    Message(message::Verb),
    /// Make, import and look at accounts
    #[command(subcommand)]
    Account(account::Verb),
    /// For those who work on Beth itself
    #[command(subcommand, hide = true)]
    Dev(dev::Verb),
    /// Try whether KVM runs guest code (used by nodes themselves)
    #[command(hide = true)]
    KvmSelfTest,
}

/// Runs a client verb to its exit code.
pub async fn run(verb: Verb) -> ExitCode {
    let outcome = match verb {
        Verb::Program(verb) => program::run(verb).await,
        Verb::Post(verb) => post::run(verb).await,
        Verb::Aggregate(verb) => aggregate::run(verb).await,
        Verb::File(verb) => file::run(verb).await,
        Verb::Message(verb) => message::run(verb).await,
        Verb::Account(verb) => account::run(verb).await,
        Verb::Ccn(ccn::Ccn {
            verb: Some(verb), ..
        }) => ccn::run(verb).await,
        Verb::Crn(crn::Crn {
            verb: Some(verb), ..
        }) => crn::run(verb).await,
        Verb::Config(args) => config::run(args),
        Verb::Dev(verb) => dev::run(verb).await,
        Verb::Up(_) | Verb::Ccn(_) | Verb::Crn(_) | Verb::Doctor(_) | Verb::KvmSelfTest => {
            // main runs these itself.
            return ExitCode::FAILURE;
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err((output, failure)) => ExitCode::from(output.fail(&failure)),
    }
}

/// Runs a few guest instructions under KVM and ends with an exit code; nodes
/// run it as a child process with a deadline.
pub fn kvm_self_test() -> u8 {
    u8::try_from(beth_crn::microvm::kvm_self_test_main()).unwrap_or(failure::FAILED)
}

/// What a verb function ends with: nothing, or a failure and where to tell it.
type Outcome = Result<(), (output::Output, Failure)>;

/// Opens the session of a verb and runs it.
async fn with_session<F, Fut>(common: session::Common, verb: F) -> Outcome
where
    F: FnOnce(Session) -> Fut,
    Fut: Future<Output = Result<(), Failure>>,
{
    let output = output::Output::new(common.json);
    match Session::open(common, output) {
        Ok(session) => verb(session).await.map_err(|failure| (output, failure)),
        Err(failure) => Err((output, failure)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::path::PathBuf;

    /// `--help` of every verb equals its file; `BLESS=1` rewrites the files.
    #[test]
    fn help_texts() {
        let mut faults = Vec::new();
        let mut command = Arguments::command();
        command.build();
        compare(&mut command, "beth", &mut faults);
        assert!(
            faults.is_empty(),
            "these help texts changed, run with BLESS=1 to accept them: {faults:?}"
        );
    }

    fn compare(command: &mut clap::Command, name: &str, faults: &mut Vec<String>) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("src/cli/help")
            .join(format!("{name}.txt"));
        let text = command.render_long_help().to_string();
        if std::env::var_os("BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != text {
            faults.push(path.display().to_string());
        }
        for verb in command
            .get_subcommands_mut()
            .filter(|verb| verb.get_name() != "help" && !verb.is_hide_set())
        {
            let name = format!("{name}-{}", verb.get_name());
            compare(verb, &name, faults);
        }
    }

    #[test]
    fn the_command_is_consistent() {
        Arguments::command().debug_assert();
    }
}
