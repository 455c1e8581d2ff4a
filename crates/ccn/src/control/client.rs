//! Asking a running node through its socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::{NAME, Way};
use crate::limits::{CONTROL_LINE_BYTES_MAX, CONTROL_SILENCE};
use crate::peers::Peers;
use crate::repair::{Progress, Report, Wish};

/// Why a node did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error("no core node runs in {0}")]
    Absent(PathBuf),
    /// The socket belongs to somebody else.
    #[error(
        "the core node in {folder} cannot be asked: {source}; run this as the user of the node, or as root"
    )]
    Closed {
        /// Of the node.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It stopped answering.
    #[error("the core node stopped answering ({0}); see its log")]
    Silent(String),
    /// It refused, or failed.
    #[error("{0}")]
    Refused(String),
}

impl From<reqwest::Error> for ControlError {
    fn from(error: reqwest::Error) -> ControlError {
        ControlError::Silent(error.to_string())
    }
}

/// A line of a repair.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Progress(Progress),
    Report(Box<Report>),
    Error(String),
}

/// A running node.
#[derive(Debug)]
pub struct Client {
    client: reqwest::Client,
    _way: Way,
}

impl Client {
    /// Finds the node that runs in a folder.
    pub async fn open(folder: &Path) -> Result<Client, ControlError> {
        let closed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ControlError::Absent(folder.to_owned())
            }
            _ => ControlError::Closed {
                folder: folder.to_owned(),
                source,
            },
        };
        let way = Way::to(folder, NAME).map_err(closed)?;
        UnixStream::connect(way.path()).await.map_err(closed)?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .unix_socket(way.path())
            .read_timeout(CONTROL_SILENCE)
            .build()?;
        Ok(Client { client, _way: way })
    }

    /// Who is there.
    pub async fn peers(&self) -> Result<Peers, ControlError> {
        let asked = self.client.get("http://node/peers");
        let answer = asked.timeout(Duration::from_secs(30)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Repairs, and tells how far it is. Dropping the future ends the repair.
    pub async fn repair(
        &self,
        wish: Wish,
        progress: &watch::Sender<Progress>,
    ) -> Result<Report, ControlError> {
        let asked = self.client.post("http://node/repair").query(&wish);
        let mut answer = asked.send().await?.error_for_status()?;
        let mut text: Vec<u8> = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            text.extend_from_slice(&piece);
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                match serde_json::from_slice(&line) {
                    Ok(Line::Progress(now)) => drop(progress.send_replace(now)),
                    Ok(Line::Report(report)) => return Ok(*report),
                    Ok(Line::Error(sentence)) => return Err(ControlError::Refused(sentence)),
                    Err(error) => return Err(ControlError::Silent(error.to_string())),
                }
            }
            if text.len() > CONTROL_LINE_BYTES_MAX {
                return Err(ControlError::Silent("a line has no end".into()));
            }
        }
        Err(ControlError::Silent("it ended the connection".into()))
    }
}
