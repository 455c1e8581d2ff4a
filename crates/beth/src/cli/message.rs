//! `beth message`: look at messages.

use beth_protocol::{ItemHash, MessageType, Status};
use beth_sdk::client::messages::{ListedMessage, MessageFilter};
use beth_sdk::{Error, MessageRecord};
use futures::StreamExt;
use serde_json::json;

use super::failure::Failure;
use super::output::table;
use super::session::{Common, Session, hash_argument};
use super::{Outcome, with_session};

/// What to do with messages.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Show what the node knows about a message
    Get(Get),
    /// Show messages as the node processes them, until interrupted
    Watch(Watch),
}

/// Arguments of `beth message get`.
#[derive(Debug, clap::Args)]
pub struct Get {
    /// Item hash of the message
    #[arg(value_name = "HASH", value_parser = hash_argument)]
    hash: ItemHash,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `beth message watch`.
#[derive(Debug, clap::Args)]
pub struct Watch {
    /// Only of this type, e.g. POST
    #[arg(long = "type", value_name = "T", value_parser = message_type)]
    message_type: Option<MessageType>,
    /// Only signed by this address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Only in this channel
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
    /// Show this many past messages first
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..200))]
    history: u16,
    /// Stop after this many messages
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    #[command(flatten)]
    common: Common,
}

/// Runs one verb.
pub async fn run(verb: Verb) -> Outcome {
    match verb {
        Verb::Get(args) => with_session(args.common.clone(), |session| show(session, args)).await,
        Verb::Watch(args) => {
            with_session(args.common.clone(), |session| watch(session, args)).await
        }
    }
}

async fn show(session: Session, args: Get) -> Result<(), Failure> {
    let Some(record) = session.client.message(&args.hash).await? else {
        let what = format!("message {}", args.hash);
        return Err(Error::NotFound {
            what,
            url: session.client.base_url().to_owned(),
        }
        .into());
    };
    session.output.result(&human(&record), &record.to_json())
}

fn human(record: &MessageRecord) -> String {
    let mut rows = vec![
        ("message", record.item_hash.to_string()),
        ("status", record.status.to_string()),
    ];
    if record.status == Status::Rejected {
        rows.push(("reason", record.rejected().to_string()));
    }
    if let Some(listed) = record.message() {
        let message = &listed.message;
        rows.push(("type", message.message_type.to_string()));
        rows.push(("sender", format!("{} ({})", message.sender, message.chain)));
        rows.push((
            "channel",
            message.channel.clone().unwrap_or_else(|| "none".into()),
        ));
        rows.push(("time", message.time.to_iso("Z")));
        rows.push((
            "confirmed",
            if listed.confirmed { "yes" } else { "no" }.into(),
        ));
        rows.push((
            "content",
            serde_json::to_string_pretty(&listed.content).unwrap_or_default(),
        ));
    }
    if let Some(time) = &record.reception_time {
        rows.insert(2, ("received", time.clone()));
    }
    table(&rows)
}

async fn watch(session: Session, args: Watch) -> Result<(), Failure> {
    let filter = MessageFilter {
        types: args.message_type.into_iter().collect(),
        senders: args.address.into_iter().collect(),
        channels: args.channel.into_iter().collect(),
        ..MessageFilter::default()
    };
    let mut stream = session
        .client
        .watch(filter, usize::from(args.history))
        .await?;
    let mut left = args.count.unwrap_or(usize::MAX);
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    while left > 0 {
        let next = tokio::select! {
            next = stream.next() => next,
            _ = &mut interrupted => return Ok(()),
        };
        match next {
            Some(Ok(listed)) => {
                session.output.result(&line(&listed), &listed.raw)?;
                left -= 1;
            }
            Some(Err(error)) => session.output.note(&format!("{error}; connecting again")),
            None => break,
        }
    }
    Ok(())
}

fn line(listed: &ListedMessage) -> String {
    let message = &listed.message;
    let about = ["type", "key", "item_hash", "ref"]
        .iter()
        .find_map(|name| listed.content.get(*name))
        .unwrap_or(&json!(""))
        .clone();
    let about = about
        .as_str()
        .map_or_else(|| about.to_string(), str::to_owned);
    format!(
        "{}  {:<9}  {}  {}  {about}",
        message.time.to_iso("Z"),
        message.message_type.as_str(),
        message.sender,
        message.item_hash
    )
}

fn message_type(text: &str) -> Result<MessageType, String> {
    MessageType::parse(&text.to_uppercase()).ok_or_else(|| {
        let known: Vec<&str> = MessageType::ALL
            .iter()
            .map(|known| known.as_str())
            .collect();
        format!("one of {}", known.join(", "))
    })
}
