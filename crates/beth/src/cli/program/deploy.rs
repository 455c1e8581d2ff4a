//! `beth program deploy`: from a folder to a URL.

use std::path::PathBuf;

use beth_protocol::content::machine::{Encoding, Interface};
use beth_protocol::{Account, ItemHash, MessageType, Status};
use beth_sdk::client::files::StoredFile;
use beth_sdk::content::{self, DEFAULT_CHANNEL, DEFAULT_RUNTIME, ProgramDraft, StoreDraft};
use beth_sdk::{Client, ComputeNode, Scheduler};
use serde_json::{Map, Value, json};

use super::archive;
use super::follow::{self, Progress};
use super::peers::other_core_nodes;
use super::python;
use super::source::{self, Source};
use crate::cli::failure::Failure;
use crate::cli::output::size;
use crate::cli::session::{Common, PUBLISH_DEADLINE, Session, hash_argument};

/// Arguments of `beth program deploy`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the program: main.py with an ASGI application, or function.wat or function.wasm
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Name shown by explorers; the folder's when left out
    #[arg(long, value_name = "N")]
    name: Option<String>,
    /// What to run: module:attribute, a Wasm file, or a program that serves HTTP on port 8080
    #[arg(long, value_name = "ENTRYPOINT")]
    entrypoint: Option<String>,
    /// Memory; 256 for Python, 128 for Wasm when left out
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    memory: Option<u64>,
    /// Virtual processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
    vcpus: u64,
    /// Longest time a call may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=315_360_000))]
    timeout: u64,
    /// Environment variable of the program; may be repeated
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// Root filesystem: a STORE message; the network's Python runtime when left out
    #[arg(long, value_name = "HASH", value_parser = hash_argument)]
    runtime: Option<ItemHash>,
    /// Channel of the messages
    #[arg(long, value_name = "CHANNEL", default_value = DEFAULT_CHANNEL)]
    channel: String,
    /// Do not start the program: stop when it is placed
    #[arg(long)]
    no_wait: bool,
    /// Upload without looking for faults first
    #[arg(long)]
    no_check: bool,
    /// Scheduler to ask for the place; the core node's when left out
    #[arg(
        long,
        value_name = "URL",
        env = "BETH_SCHEDULER",
        hide_env_values = true
    )]
    scheduler: Option<String>,
    /// Compute node to start the program on, without asking a scheduler
    #[arg(long, value_name = "URL", conflicts_with = "scheduler")]
    compute_node: Option<String>,
    /// Where to deploy and with which key
    #[command(flatten)]
    pub common: Common,
}

/// What goes to the network.
struct Package {
    bytes: Vec<u8>,
    encoding: Encoding,
    entrypoint: String,
    interface: Interface,
    summary: String,
}

/// Runs the verb.
pub async fn run(session: Session, args: Args) -> Result<(), Failure> {
    let account = session.account()?;
    let progress = Progress::begin(session.output);
    let package = package(&args).await?;
    progress.done("packed", &package.summary);

    let stored = store(&session, &account, &args, &package).await?;
    progress.done(
        "stored",
        &format!("file {}, {}", stored.file_hash, size(stored.size_bytes)),
    );

    let draft = draft(&args, &package, &stored)?;
    let content = content::program(account.address(), &draft);
    let message = session
        .publish(
            &account,
            MessageType::Program,
            &content,
            Some(&args.channel),
        )
        .await?;
    let hash = message.item_hash;
    progress.done(
        "accepted",
        &format!("by {}, message {hash}", session.client.base_url()),
    );

    let mut report =
        json!({"item_hash": hash, "code_hash": stored.item_hash, "file_hash": stored.file_hash});
    let followed = follow_up(&session, &args, &hash, &progress).await;
    let members = followed.map_err(|failure| failure.with("item_hash", hash.as_str()))?;
    if let Some(report) = report.as_object_mut() {
        report.extend(members);
        report.insert(
            "elapsed_seconds".into(),
            json!(progress.elapsed().as_secs_f64()),
        );
    }
    let url = report["url"].as_str().unwrap_or_default().to_owned();
    session.output.result(&url, &report)
}

/// Follows the message to its URL; returns members for the report.
async fn follow_up(
    session: &Session,
    args: &Args,
    hash: &ItemHash,
    progress: &Progress,
) -> Result<Map<String, Value>, Failure> {
    let mut report = Map::new();
    let peers = other_core_nodes(session).await;
    let seen = follow::seen(&peers, hash, progress).await;
    report.insert("seen_by".into(), json!(seen));

    let node = match &args.compute_node {
        Some(url) => ComputeNode::new(url)?,
        None => {
            let schedulers = schedulers(session, args.scheduler.as_deref(), &peers)?;
            let allocation = follow::place(&schedulers, hash).await?;
            let node = ComputeNode::new(&allocation.node.url)?;
            let reason = allocation
                .reason
                .as_deref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            progress.done("placed", &format!("on {}{reason}", node.base_url()));
            report.insert("node_hash".into(), json!(allocation.node.node_id));
            report.insert("reason".into(), json!(allocation.reason));
            node
        }
    };
    report.insert("node_url".into(), json!(node.base_url()));
    report.insert("url".into(), json!(node.program_url(hash)));
    if !args.no_wait {
        let started = follow::start(&node, hash, progress).await?;
        report.insert("status_code".into(), json!(started.answer.status));
        if let Some(state) = started.state {
            report.insert("executor".into(), json!(state.executor));
            report.insert("phases".into(), json!(state.phases));
        }
    }
    Ok(report)
}

/// Whom to ask for the place: the one named, or every core node we know.
pub fn schedulers(
    session: &Session,
    named: Option<&str>,
    peers: &[Client],
) -> Result<Vec<Scheduler>, Failure> {
    if let Some(url) = named {
        return Ok(vec![Scheduler::new(url)?]);
    }
    let urls = std::iter::once(session.client.base_url()).chain(peers.iter().map(Client::base_url));
    Ok(urls.filter_map(|url| Scheduler::new(url).ok()).collect())
}

async fn package(args: &Args) -> Result<Package, Failure> {
    let folder = args.folder.clone();
    let entrypoint = args.entrypoint.clone();
    let found =
        tokio::task::spawn_blocking(move || source::detect(&folder, entrypoint.as_deref())).await;
    let found = found
        .unwrap_or_else(|error| Err(Failure::new(format!("reading the folder failed: {error}"))))?;
    let (entrypoint, interface) = match found {
        Source::Wasm { component, file } => {
            let summary = format!(
                "{}, {} as a Wasm component",
                file.display(),
                size(component.len() as u64)
            );
            return Ok(Package {
                bytes: component,
                encoding: Encoding::Plain,
                entrypoint: "function.wasm".to_owned(),
                interface: Interface::Binary,
                summary,
            });
        }
        Source::Python { file, entrypoint } => {
            if !args.no_check {
                python::check_syntax(&file).await?;
            }
            (entrypoint, Interface::Asgi)
        }
        Source::Binary { entrypoint } => (entrypoint, Interface::Binary),
    };
    let archive = archive::pack(&args.folder).await?;
    let form = if archive.encoding == Encoding::Zip {
        "zip"
    } else {
        "squashfs"
    };
    let files = if archive.files == 1 {
        "1 file".to_owned()
    } else {
        format!("{} files", archive.files)
    };
    let summary = format!(
        "{files}, {} as {form}, entry point {entrypoint}",
        size(archive.bytes.len() as u64)
    );
    Ok(Package {
        bytes: archive.bytes,
        encoding: archive.encoding,
        entrypoint,
        interface,
        summary,
    })
}

async fn store(
    session: &Session,
    account: &Account,
    args: &Args,
    package: &Package,
) -> Result<StoredFile, Failure> {
    let draft = StoreDraft {
        channel: Some(args.channel.clone()),
        ..StoreDraft::default()
    };
    let bytes = package.bytes.clone().into();
    let stored = session.client.store_file(account, bytes, &draft).await?;
    if stored.status != Status::Processed {
        session
            .client
            .wait_until_processed(&stored.item_hash, PUBLISH_DEADLINE)
            .await?;
    }
    Ok(stored)
}

fn draft(args: &Args, package: &Package, stored: &StoredFile) -> Result<ProgramDraft, Failure> {
    let is_wasm = package.encoding == Encoding::Plain;
    let folder = args
        .folder
        .canonicalize()
        .unwrap_or_else(|_| args.folder.clone());
    let folder_name = folder
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let (runtime, comment) = match (&args.runtime, is_wasm) {
        (Some(runtime), _) => (runtime.clone(), "chosen by the user"),
        (None, true) => (
            stored.item_hash.clone(),
            "none: a Wasm component needs no root filesystem",
        ),
        (None, false) => {
            let runtime = ItemHash::parse(DEFAULT_RUNTIME)
                .map_err(|error| Failure::new(format!("{error}: name a runtime with --runtime")))?;
            (runtime, "Python on Debian 12")
        }
    };
    let variables = args
        .variables
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    Ok(ProgramDraft {
        name: args.name.clone().or(folder_name),
        code: stored.item_hash.clone(),
        encoding: package.encoding,
        entrypoint: package.entrypoint.clone(),
        interface: package.interface,
        runtime,
        runtime_comment: comment.to_owned(),
        runtime_updates: !is_wasm,
        memory_mib: args.memory.unwrap_or(if is_wasm { 128 } else { 256 }),
        vcpus: args.vcpus,
        timeout_seconds: args.timeout,
        volumes: Vec::new(),
        variables,
    })
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}
