//! The log of this process, on standard error: lines for people, or one object a
//! line with the fields of the event and of the spans around it (a request: its
//! id, client, method, path, route, status).

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Variable of the environment that wins over the configured level.
const LEVEL: &str = "BETH_LOG";

/// Starts it. A level that cannot be read counts as `info`, and the log begins
/// by saying so.
pub fn start(config: &LogConfig) {
    let told = std::env::var(LEVEL).unwrap_or_else(|_| config.level.clone());
    let (filter, wrong) = match EnvFilter::try_new(&told) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second subscriber is no reason to stop.
    let _ = match config.format {
        LogFormat::Text => {
            let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
            builder.with_ansi(colour).try_init()
        }
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .try_init(),
    };
    if let Some(error) = wrong {
        tracing::warn!(%error, level = told, "the level of the log cannot be read; write it like info,libp2p_swarm=warn");
    }
}
