//! The whole network as one program.
//!
//! ```text
//!  beth up ─────────▶ up ──▶ node (core nodes, compute nodes, placement)
//!  beth ccn, crn ───────────▶ node (one role, one config file)
//!  beth doctor ─────▶ doctor
//!  every other verb ▶ cli ──▶ beth-sdk ──HTTP──▶ a core node, a compute node
//! ```
//!
//! Only this crate reads arguments, the environment and config files. Standard
//! output carries results, standard error progress and complaints. Exit codes:
//! 0 done, 1 refused or failed (with a sentence), 2 wrong usage.

mod cli;
mod config;
mod doctor;
mod log;
mod node;
mod up;

use std::process::ExitCode;

use clap::Parser;

use cli::ccn::Ccn;
use cli::crn::Crn;
use cli::{Arguments, Verb};
use config::LogConfig;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Verb::KvmSelfTest = arguments.verb {
        return ExitCode::from(cli::kvm_self_test());
    }
    start_log(&arguments.verb);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!(
                "cannot start the threads of this program: {error}; free some memory or raise `ulimit -u`"
            ));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(arguments.verb));
    // A thread that still reads standard input or resolves a name must not
    // keep the process.
    runtime.shutdown_background();
    code
}

async fn run(verb: Verb) -> ExitCode {
    let outcome = match verb {
        Verb::Up(args) => up::run(args).await,
        Verb::Ccn(Ccn {
            verb: None,
            told: Some(told),
        }) => node::ccn(&told).await,
        Verb::Crn(Crn {
            verb: None,
            told: Some(told),
        }) => node::crn(&told).await,
        Verb::Doctor(args) => doctor::run(args).await,
        client => return cli::run(client).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The log of a verb: roles tell what they do, as configured; client verbs stay
/// quiet unless asked.
fn start_log(verb: &Verb) {
    let quiet = |level: &str| LogConfig {
        level: level.to_owned(),
        ..LogConfig::default()
    };
    match verb {
        Verb::Ccn(Ccn { verb: Some(_), .. }) => log::start(&quiet("warn")),
        Verb::Crn(Crn { verb: Some(_), .. }) => log::start(&quiet("off")),
        Verb::Ccn(Ccn {
            told: Some(told), ..
        })
        | Verb::Crn(Crn {
            told: Some(told), ..
        }) => {
            // A file that is wrong is complained about by the role itself.
            let loaded = told.load();
            log::start(&loaded.map(|loaded| loaded.config.log).unwrap_or_default());
        }
        Verb::Up(_) | Verb::Ccn(_) | Verb::Crn(_) => log::start(&LogConfig::default()),
        _ => log::start(&quiet("off")),
    }
}

fn complain(sentence: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "error: {sentence}");
}
