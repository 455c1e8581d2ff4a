//! `beth account`: who signs and what they have.

use serde_json::json;

use super::failure::Failure;
use super::output::table;
use super::session::{Common, Session};
use super::{Outcome, with_session};

/// What to do with accounts.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Show an address and what it has
    Show(Show),
}

/// Arguments of `beth account show`.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// Whose; the signer's when left out
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Runs one verb.
pub async fn run(verb: Verb) -> Outcome {
    match verb {
        Verb::Show(args) => with_session(args.common.clone(), |session| show(session, args)).await,
    }
}

async fn show(session: Session, args: Show) -> Result<(), Failure> {
    let address = session.address(args.address.as_deref())?;
    let balance = session.client.balance(&address).await?;
    let human = table(&[
        ("address", address.clone()),
        ("balance", format!("{} ALEPH", balance.balance)),
        (
            "held",
            format!(
                "{} ALEPH for what it runs and stores",
                balance.locked_amount
            ),
        ),
        ("credits", balance.credit_balance.to_string()),
    ]);
    let object = json!({
        "address": address,
        "balance": balance.balance,
        "locked_amount": balance.locked_amount,
        "credit_balance": balance.credit_balance,
    });
    session.output.result(&human, &object)
}
