//! `beth program call`: one HTTP request to a program.

use std::time::Duration;

use beth_protocol::ItemHash;
use beth_sdk::ComputeNode;
use beth_sdk::compute::{ProgramAnswer, ProgramCall};
use serde_json::{Map, Value, json};

use super::deploy::schedulers;
use super::follow;
use super::peers::other_core_nodes;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::session::{self, Common, Session, hash_argument};

/// Arguments of `beth program call`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Item hash of the program
    #[arg(value_name = "HASH", value_parser = hash_argument)]
    hash: ItemHash,
    /// Path and query
    #[arg(value_name = "PATH", default_value = "/")]
    path: String,
    /// HTTP method; POST when there is data, GET otherwise
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Body: text, @FILE, or @- for standard input
    #[arg(long, value_name = "DATA")]
    data: Option<String>,
    /// Header; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Longest wait for the answer
    #[arg(long, value_name = "SECONDS", default_value_t = 180, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// Scheduler to ask for the place; the core node's when left out
    #[arg(
        long,
        value_name = "URL",
        env = "BETH_SCHEDULER",
        hide_env_values = true
    )]
    scheduler: Option<String>,
    /// Compute node to call, without asking a scheduler
    #[arg(long, value_name = "URL", conflicts_with = "scheduler")]
    compute_node: Option<String>,
    /// Where to look for the program
    #[command(flatten)]
    pub common: Common,
}

/// Runs the verb.
pub async fn run(session: Session, args: Args) -> Result<(), Failure> {
    let call = call(&args)?;
    let node = match &args.compute_node {
        Some(url) => ComputeNode::new(url)?,
        None => find_node(&session, &args).await?,
    };
    let answer = node.call(&args.hash, call).await?;
    let failed = (answer.status >= 400).then(|| refusal(&answer, &args));
    if session.output.is_json() {
        let object = as_json(&answer);
        return match failed {
            None => session.output.result("", &object),
            Some(mut failure) => {
                failure
                    .facts
                    .extend(object.as_object().cloned().unwrap_or_default());
                Err(failure)
            }
        };
    }
    session.output.bytes(&answer.body)?;
    if !answer.body.is_empty() && !answer.body.ends_with(b"\n") {
        session.output.bytes(b"\n")?;
    }
    failed.map_or(Ok(()), Err)
}

fn call(args: &Args) -> Result<ProgramCall, Failure> {
    let body = args
        .data
        .as_deref()
        .map(session::argument)
        .transpose()?
        .unwrap_or_default();
    let method = args
        .method
        .clone()
        .unwrap_or_else(|| if args.data.is_some() { "POST" } else { "GET" }.to_owned());
    let method = method.to_uppercase().parse().map_err(|_| {
        Failure::usage(format!(
            "`{method}` is no HTTP method: write GET, POST, PUT, …"
        ))
    })?;
    let path = if args.path.starts_with('/') {
        args.path.clone()
    } else {
        format!("/{}", args.path)
    };
    Ok(ProgramCall {
        method,
        path,
        headers: args.headers.clone(),
        body: body.into(),
        timeout: Duration::from_secs(args.timeout),
    })
}

/// The node the program was placed on.
async fn find_node(session: &Session, args: &Args) -> Result<ComputeNode, Failure> {
    if args.scheduler.is_none() && session.client.message(&args.hash).await?.is_none() {
        return Err(Failure::new(format!(
            "program {} is unknown at {}: check the hash, or name another core node with --node",
            args.hash,
            session.client.base_url()
        )));
    }
    let peers = other_core_nodes(session).await;
    let schedulers = schedulers(session, args.scheduler.as_deref(), &peers)?;
    let allocation = follow::place(&schedulers, &args.hash).await?;
    Ok(ComputeNode::new(&allocation.node.url)?)
}

fn refusal(answer: &ProgramAnswer, args: &Args) -> Failure {
    let who = if answer.is_from_program() {
        "the program"
    } else {
        "the compute node"
    };
    let path = &args.path;
    Failure::new(format!(
        "{who} answered {} to {path}: {}",
        answer.status,
        follow::said(answer)
    ))
}

fn as_json(answer: &ProgramAnswer) -> Value {
    let mut headers = Map::new();
    for (name, value) in &answer.headers {
        headers.insert(name.clone(), value.as_str().into());
    }
    let (name, body) = output::body(&answer.body);
    let mut object = json!({"status": answer.status, "headers": headers});
    object[name] = body;
    object
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write NAME: VALUE".to_owned()),
    }
}
