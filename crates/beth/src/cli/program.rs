//! `beth program`: deploy and call programs.
//!
//! ```text
//!  deploy:  source ─▶ archive ─▶ store ─▶ publish ─▶ follow (seen, placed, prepared, started) ─▶ URL
//!  call:    place ─▶ compute node ─▶ answer
//! ```

mod archive;
mod call;
mod deploy;
mod follow;
mod peers;
mod python;
mod source;

use super::{Outcome, with_session};

/// What to do with programs.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Deploy the program in a folder and follow it until it runs
    Deploy(Box<deploy::Args>),
    /// Call a program
    Call(Box<call::Args>),
}

/// Runs one verb.
pub async fn run(verb: Verb) -> Outcome {
    match verb {
        Verb::Deploy(args) => {
            with_session(args.common.clone(), |session| deploy::run(session, *args)).await
        }
        Verb::Call(args) => {
            with_session(args.common.clone(), |session| call::run(session, *args)).await
        }
    }
}
