//! `beth account`: who signs and what they have.

use std::path::{Path, PathBuf};

use beth_protocol::Chain;
use serde_json::json;

use super::failure::Failure;
use super::key::{Written, chain_argument};
use super::output::{Output, table};
use super::session::{Common, Session, argument};
use super::{Outcome, with_session};

/// What to do with accounts.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Make a new key of any chain and write it to a file
    Create(Create),
    /// Write a key that a wallet exported to a file
    Import(Import),
    /// Show an address and what it has
    Show(Show),
}

/// Arguments of `beth account create`.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// New file for the key; give it as --key to other verbs
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Chain of the account
    #[arg(long, value_name = "CHAIN", default_value = "ETH", value_parser = chain_argument)]
    chain: Chain,
    /// Write the result as one JSON object on the last line of standard output
    #[arg(long)]
    json: bool,
}

/// Arguments of `beth account import`.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// The key: 64 hexadecimal digits, `edsk…`, `spsk…` or `p2sk…` of Tezos, or what Solana's wallets
    /// export; a file that holds it, or `@-` for standard input
    #[arg(value_name = "KEY|FILE")]
    key: String,
    /// New file for the key; give it as --key to other verbs
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Chain of the account; ETH when left out and the key names none
    #[arg(long, value_name = "CHAIN", value_parser = chain_argument)]
    chain: Option<Chain>,
    /// Write the result as one JSON object on the last line of standard output
    #[arg(long)]
    json: bool,
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
        Verb::Create(args) => {
            let output = Output::new(args.json);
            let saved = Written::random(args.chain).and_then(|key| save(output, &key, &args.file));
            saved.map_err(|failure| (output, failure))
        }
        Verb::Import(args) => {
            let output = Output::new(args.json);
            let saved = argument(&args.key)
                .and_then(|key| Written::read(&key, args.chain))
                .and_then(|key| save(output, &key, &args.file));
            saved.map_err(|failure| (output, failure))
        }
        Verb::Show(args) => with_session(args.common.clone(), |session| show(session, args)).await,
    }
}

fn save(output: Output, key: &Written, file: &Path) -> Result<(), Failure> {
    key.save(file)?;
    let (chain, address) = (key.account.chain(), key.account.address());
    let human = table(&[
        ("address", address.to_owned()),
        ("chain", chain.to_string()),
        (
            "key",
            format!(
                "{}  (keep a copy; nobody can make it again)",
                file.display()
            ),
        ),
    ]);
    let object = json!({"address": address, "chain": chain, "file": file});
    output.result(&human, &object)
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
