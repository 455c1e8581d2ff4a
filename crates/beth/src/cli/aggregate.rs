//! `beth aggregate`: the key-value store of an address.

use beth_protocol::MessageType;
use beth_sdk::content;
use serde_json::{Value, json};

use super::failure::Failure;
use super::session::{self, Common, Session};
use super::{Outcome, with_session};

/// What to do with the key-value store.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Merge members into a key
    Set(Set),
    /// Show a key
    Get(Get),
}

/// Arguments of `beth aggregate set`.
#[derive(Debug, clap::Args)]
pub struct Set {
    /// The key
    #[arg(value_name = "KEY")]
    name: String,
    /// The members to merge: a JSON object, @FILE, or @- for standard input
    #[arg(value_name = "JSON")]
    content: String,
    /// Channel of the message
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
    /// Write for this address, which must have authorised the signer
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `beth aggregate get`.
#[derive(Debug, clap::Args)]
pub struct Get {
    /// The key
    #[arg(value_name = "KEY")]
    name: String,
    /// Whose; the signer's when left out
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Runs one verb.
pub async fn run(verb: Verb) -> Outcome {
    match verb {
        Verb::Set(args) => with_session(args.common.clone(), |session| set(session, args)).await,
        Verb::Get(args) => with_session(args.common.clone(), |session| show(session, args)).await,
    }
}

async fn set(session: Session, args: Set) -> Result<(), Failure> {
    let Value::Object(members) = session::json_argument("the content", &args.content)? else {
        return Err(Failure::usage(
            "the content of an aggregate is a JSON object, e.g. '{\"theme\": \"dark\"}'",
        ));
    };
    let account = session.account()?;
    let owner = args.address.as_deref().unwrap_or(account.address());
    let content = content::aggregate(owner, &args.name, members);
    let message = session
        .publish(
            &account,
            MessageType::Aggregate,
            &content,
            args.channel.as_deref(),
        )
        .await?;
    let hash = message.item_hash.as_str();
    let object =
        json!({"item_hash": hash, "status": "processed", "address": owner, "key": args.name});
    session.output.result(hash, &object)
}

async fn show(session: Session, args: Get) -> Result<(), Failure> {
    let address = session.address(args.address.as_deref())?;
    let Some(content) = session.client.aggregate(&address, &args.name).await? else {
        return Err(Failure::new(format!(
            "{address} has no key `{}` at {}: check both, or set it with `beth aggregate set`",
            args.name,
            session.client.base_url()
        )));
    };
    let human = serde_json::to_string_pretty(&content).unwrap_or_default();
    session.output.result(
        &human,
        &json!({"address": address, "key": args.name, "content": content}),
    )
}
