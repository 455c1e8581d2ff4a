//! What can go wrong between the scheduler and a node.

/// A call that failed. All of them are tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither the config nor the process names a core node.
    #[error("the scheduler has no core node to follow: set `core_node` in section [scheduler]")]
    NoCoreNode,
    /// The text is no URL of a core node.
    #[error("`{0}` is no URL of a core node: write it like http://127.0.0.1:4024")]
    BadUrl(String),
    /// The HTTP client cannot be built.
    #[error("cannot set up HTTP: {0}")]
    Setup(#[source] reqwest::Error),
    /// No answer, or half of one.
    #[error("{url} does not answer: {}", cause(source))]
    Http {
        /// Full URL.
        url: String,
        /// The cause.
        source: reqwest::Error,
    },
    /// An answer with another status.
    #[error("{url} answered {status}: {body}")]
    Status {
        /// Full URL.
        url: String,
        /// HTTP status.
        status: u16,
        /// The beginning of the body.
        body: String,
    },
    /// The answer is not what such a node says.
    #[error("{url} answered something else than expected: {reason}")]
    Malformed {
        /// Full URL.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The message stream broke.
    #[error("the message stream of {url} broke: {reason}")]
    Stream {
        /// Full URL.
        url: String,
        /// The cause.
        reason: String,
    },
}

/// The innermost cause: reqwest's own text only repeats the URL.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
