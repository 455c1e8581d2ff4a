//! `beth post`: write and read posts.

use beth_protocol::MessageType;
use beth_sdk::client::accounts::PostFilter;
use beth_sdk::content;
use serde_json::json;

use super::failure::Failure;
use super::output::table;
use super::session::{self, Common, Session};
use super::{Outcome, with_session};

/// What to do with posts.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Publish a post, or amend one (--type amend --ref HASH)
    Create(Create),
    /// List posts, newest first, with their amends merged
    List(List),
}

/// Arguments of `beth post create`.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// Type of the post, free; `amend` changes the post named by --ref
    #[arg(long = "type", value_name = "T")]
    post_type: String,
    /// The post: JSON, @FILE, or @- for standard input
    #[arg(long, value_name = "JSON")]
    content: String,
    /// What the post refers to
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// Channel of the message
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
    /// Post for this address, which must have authorised the signer
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `beth post list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only of this type
    #[arg(long = "type", value_name = "T")]
    post_type: Option<String>,
    /// Only of this owner
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Only with this reference
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// Only in this channel
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    #[command(flatten)]
    common: Common,
}

/// Runs one verb.
pub async fn run(verb: Verb) -> Outcome {
    match verb {
        Verb::Create(args) => {
            with_session(args.common.clone(), |session| create(session, args)).await
        }
        Verb::List(args) => with_session(args.common.clone(), |session| list(session, args)).await,
    }
}

async fn create(session: Session, args: Create) -> Result<(), Failure> {
    let inner = session::json_argument("--content", &args.content)?;
    if args.post_type == "amend" && args.reference.is_none() {
        return Err(Failure::usage(
            "an amend needs --ref HASH: the item hash of the post to change",
        ));
    }
    let account = session.account()?;
    let owner = args.address.as_deref().unwrap_or(account.address());
    let content = content::post(owner, &args.post_type, inner, args.reference.as_deref());
    let message = session
        .publish(
            &account,
            MessageType::Post,
            &content,
            args.channel.as_deref(),
        )
        .await?;
    let hash = message.item_hash.as_str();
    session.output.result(
        hash,
        &json!({"item_hash": hash, "status": "processed", "address": owner}),
    )
}

async fn list(session: Session, args: List) -> Result<(), Failure> {
    let filter = PostFilter {
        addresses: args.address.into_iter().collect(),
        types: args.post_type.into_iter().collect(),
        refs: args.reference.into_iter().collect(),
        channels: args.channel.into_iter().collect(),
        per_page: Some(args.count),
        ..PostFilter::default()
    };
    let posts = session.client.posts(&filter).await?;
    let shown: Vec<String> = posts
        .iter()
        .map(|post| {
            table(&[
                ("post", post.original_item_hash.to_string()),
                ("type", post.original_type.clone()),
                ("owner", post.address.clone()),
                ("updated", post.last_updated.clone()),
                ("content", post.content.to_string()),
            ])
        })
        .collect();
    let human = if shown.is_empty() {
        "no posts\n".to_owned()
    } else {
        shown.join("\n")
    };
    session.output.result(&human, &json!({ "posts": posts }))
}
