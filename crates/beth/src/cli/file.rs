//! `beth file`: store and fetch files.

use std::path::{Path, PathBuf};

use beth_protocol::{Content, ItemHash, Status};
use beth_sdk::Error;
use beth_sdk::content::{DEFAULT_CHANNEL, StoreDraft};
use serde_json::{Value, json};

use super::failure::Failure;
use super::output;
use super::session::{Common, PUBLISH_DEADLINE, Session, hash_argument};
use super::{Outcome, with_session};

/// Largest file uploaded, in bytes: the limit of upstream's nodes.
const UPLOAD_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// Largest file fetched, in bytes.
const DOWNLOAD_BYTES_MAX: u64 = 1 << 40;
/// Largest file shown inside JSON, in bytes.
const SHOWN_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What to do with files.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Store a file on the network
    Put(Put),
    /// Fetch a file, verified
    Get(Get),
}

/// Arguments of `beth file put`.
#[derive(Debug, clap::Args)]
pub struct Put {
    /// The file
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// First version of the file (a STORE message), or a label of yours
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// Channel of the message
    #[arg(long, value_name = "CHANNEL", default_value = DEFAULT_CHANNEL)]
    channel: String,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `beth file get`.
#[derive(Debug, clap::Args)]
pub struct Get {
    /// Hash of the file, or of the STORE message that keeps it
    #[arg(value_name = "HASH", value_parser = hash_argument)]
    hash: ItemHash,
    /// Write it here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Runs one verb.
pub async fn run(verb: Verb) -> Outcome {
    match verb {
        Verb::Put(args) => with_session(args.common.clone(), |session| put(session, args)).await,
        Verb::Get(args) => with_session(args.common.clone(), |session| fetch(session, args)).await,
    }
}

async fn put(session: Session, args: Put) -> Result<(), Failure> {
    let bytes = read_file(&args.path).await?;
    let account = session.account()?;
    let draft = StoreDraft {
        channel: Some(args.channel),
        reference: args.reference,
        content_type: None,
    };
    let stored = session
        .client
        .store_file(&account, bytes.into(), &draft)
        .await?;
    if stored.status != Status::Processed {
        session
            .client
            .wait_until_processed(&stored.item_hash, PUBLISH_DEADLINE)
            .await?;
    }
    let human = output::table(&[
        ("file", stored.file_hash.to_string()),
        ("message", stored.item_hash.to_string()),
        ("size", output::size(stored.size_bytes)),
    ]);
    let object = json!({
        "file_hash": stored.file_hash,
        "item_hash": stored.item_hash,
        "size_bytes": stored.size_bytes,
        "status": "processed",
    });
    session.output.result(&human, &object)
}

async fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let fail =
        |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", path.display()));
    let metadata = tokio::fs::metadata(path).await.map_err(fail)?;
    if metadata.is_dir() {
        let path = path.display();
        return Err(Failure::usage(format!(
            "{path} is a folder: pack it first, or deploy it with `beth program deploy {path}`"
        )));
    }
    if metadata.len() > UPLOAD_BYTES_MAX {
        return Err(Failure::new(format!(
            "{} has {} and nodes take files up to {}: split it",
            path.display(),
            output::size(metadata.len()),
            output::size(UPLOAD_BYTES_MAX)
        )));
    }
    tokio::fs::read(path).await.map_err(fail)
}

async fn fetch(session: Session, args: Get) -> Result<(), Failure> {
    let folder = match &args.output {
        Some(path) => path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
            .to_owned(),
        None => std::env::temp_dir(),
    };
    let kept = tempfile::NamedTempFile::new_in(&folder).map_err(|error| {
        Failure::new(format!(
            "cannot write into {}: {error}; check the folder and its space",
            folder.display()
        ))
    })?;
    let (hash, size_bytes) = download(&session, &args.hash, kept.path()).await?;
    let mut object = json!({"file_hash": hash, "size_bytes": size_bytes});
    match &args.output {
        Some(path) => {
            kept.persist(path).map_err(|error| {
                Failure::new(format!("cannot write {}: {}", path.display(), error.error))
            })?;
            open_to_others(path);
            object["path"] = path.display().to_string().into();
            session.output.result(
                &format!("{}  {}", path.display(), output::size(size_bytes)),
                &object,
            )
        }
        None if session.output.is_json() && size_bytes > SHOWN_BYTES_MAX => {
            Err(Failure::usage(format!(
                "the file has {}: name a place for it with -o FILE",
                output::size(size_bytes)
            )))
        }
        None => {
            let mut file = std::fs::File::open(kept.path()).map_err(Error::Local)?;
            if !session.output.is_json() {
                return copy_out(&session, &mut file);
            }
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut file, &mut bytes).map_err(Error::Local)?;
            let (name, value) = output::body(&bytes);
            object[name.replace("body", "content")] = value;
            session.output.result("", &object)
        }
    }
}

/// Downloads a file by its own hash, or by that of its STORE message.
async fn download(
    session: &Session,
    hash: &ItemHash,
    path: &Path,
) -> Result<(ItemHash, u64), Failure> {
    let mut sink = tokio::fs::File::create(path).await.map_err(Error::Local)?;
    match session
        .client
        .download(hash, DOWNLOAD_BYTES_MAX, &mut sink)
        .await
    {
        Ok(size_bytes) => Ok((hash.clone(), size_bytes)),
        Err(not_found @ Error::NotFound { .. }) => {
            let record = session.client.message(hash).await?;
            let Some(file) = record
                .and_then(|record| record.message())
                .and_then(|listed| stored_file(&listed.content, listed.message.message_type))
            else {
                return Err(not_found.into());
            };
            let size_bytes = session
                .client
                .download(&file, DOWNLOAD_BYTES_MAX, &mut sink)
                .await?;
            Ok((file, size_bytes))
        }
        Err(error) => Err(error.into()),
    }
}

fn stored_file(content: &Value, message_type: beth_protocol::MessageType) -> Option<ItemHash> {
    match Content::parse(message_type, content) {
        Ok(Content::Store(store)) => Some(store.item_hash),
        _ => None,
    }
}

fn copy_out(session: &Session, file: &mut std::fs::File) -> Result<(), Failure> {
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match std::io::Read::read(file, &mut chunk).map_err(Error::Local)? {
            0 => return Ok(()),
            length => session.output.bytes(&chunk[..length])?,
        }
    }
}

/// Temporary files are private; a result has the usual permissions.
fn open_to_others(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    // The file is there either way.
    let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644));
}
