//! One node, and how it is asked.

use std::net::IpAddr;
use std::sync::Once;
use std::time::Duration;

use beth_protocol::json::read_written;
use bytes::{Bytes, BytesMut};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::limits;

/// Chooses the cryptography behind `https://` for this process. Safe to call
/// as often as one likes; a choice made before stays.
pub fn install_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Err means that somebody chose before us.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// No proxy can reach what listens for this computer alone.
fn is_this_computer(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback()),
        None => false,
    }
}

/// A base URL, what answers there, and the connections to it.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    role: &'static str,
    base: Url,
    shown: String,
    http: reqwest::Client,
}

/// A whole answer.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
    pub url: String,
}

impl Transport {
    /// `role` appears in sentences: `core node`, `compute node`, `scheduler`.
    pub fn new(role: &'static str, base_url: &str) -> Result<Transport, Error> {
        let bad = || Error::BadUrl {
            text: base_url.to_owned(),
        };
        let shown = base_url.trim().trim_end_matches('/').to_owned();
        let base = Url::parse(&shown).map_err(|_| bad())?;
        if !matches!(base.scheme(), "http" | "https")
            || base.host().is_none()
            || base.cannot_be_a_base()
        {
            return Err(bad());
        }
        install_tls_provider();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(limits::CONNECT_TIMEOUT)
            .user_agent(concat!("beth/", env!("CARGO_PKG_VERSION")));
        if base.scheme() == "http" {
            // Plain HTTP must work on machines without any root certificates.
            builder = builder.tls_certs_only([]);
        }
        if is_this_computer(&base) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|source| Error::Unreachable {
            role,
            url: shown.clone(),
            source: source.into(),
        })?;
        Ok(Transport {
            role,
            base,
            shown,
            http,
        })
    }

    pub fn role(&self) -> &'static str {
        self.role
    }

    /// The base URL, without a slash at the end.
    pub fn base(&self) -> &str {
        &self.shown
    }

    /// The URL of a path, given by segments; each is escaped.
    pub fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    pub fn get(&self, segments: &[&str]) -> RequestBuilder {
        self.http.get(self.url(segments))
    }

    pub fn post(&self, segments: &[&str]) -> RequestBuilder {
        self.http.post(self.url(segments))
    }

    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Sends and waits for the head of the answer.
    pub async fn open(
        &self,
        request: RequestBuilder,
        timeout: Duration,
    ) -> Result<Response, Error> {
        match tokio::time::timeout(timeout, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.fault(error, timeout)),
            Err(_) => Err(self.timed_out(timeout)),
        }
    }

    /// Sends and reads the whole answer within the timeout.
    pub async fn ask(&self, request: RequestBuilder, timeout: Duration) -> Result<Answer, Error> {
        let whole = async {
            let response = request
                .send()
                .await
                .map_err(|error| self.fault(error, timeout))?;
            self.read(response, timeout).await
        };
        tokio::time::timeout(timeout, whole)
            .await
            .unwrap_or_else(|_| Err(self.timed_out(timeout)))
    }

    async fn read(&self, mut response: Response, timeout: Duration) -> Result<Answer, Error> {
        let status = response.status();
        let url = response.url().to_string();
        let bytes_max = if status.is_success() {
            limits::ANSWER_BYTES_MAX
        } else {
            limits::REFUSAL_BYTES_MAX
        };
        let mut body = BytesMut::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.fault(error, timeout))?
        {
            if body.len() + chunk.len() > bytes_max {
                if status.is_success() {
                    return Err(Error::TooLong {
                        url,
                        bytes_max: bytes_max as u64,
                    });
                }
                break;
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status,
            body: body.freeze(),
            url,
        })
    }

    /// Asks for JSON; `None` on 404.
    pub async fn find<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<Option<T>, Error> {
        let answer = self.ask(request, limits::REQUEST_TIMEOUT).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.json(&answer).map(Some)
    }

    /// Asks for JSON that must be there.
    pub async fn fetch<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        let answer = self.ask(request, limits::REQUEST_TIMEOUT).await?;
        self.json(&answer)
    }

    /// Reads a successful JSON answer.
    pub fn json<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, Error> {
        if !answer.status.is_success() {
            return Err(self.refused(answer));
        }
        read_written(&answer.body).map_err(|fault| self.malformed(&answer.url, fault.to_string()))
    }

    pub fn refused(&self, answer: &Answer) -> Error {
        if answer.status == StatusCode::NOT_FOUND {
            return self.malformed(
                &answer.url,
                "404 for a path that every such node has".into(),
            );
        }
        let text = String::from_utf8_lossy(&answer.body);
        let text = text.trim();
        let body = if text.is_empty() {
            answer
                .status
                .canonical_reason()
                .unwrap_or("no reason given")
                .to_owned()
        } else {
            text.chars().take(2_000).collect()
        };
        Error::Refused {
            role: self.role,
            status: answer.status.as_u16(),
            body,
        }
    }

    pub fn malformed(&self, url: &str, reason: String) -> Error {
        Error::Malformed {
            role: self.role,
            url: url.to_owned(),
            reason,
        }
    }

    pub fn timed_out(&self, timeout: Duration) -> Error {
        Error::TimedOut {
            role: self.role,
            url: self.shown.clone(),
            seconds: timeout.as_secs(),
        }
    }

    pub fn fault(&self, error: reqwest::Error, timeout: Duration) -> Error {
        let (role, url) = (self.role, self.shown.clone());
        if error.is_connect() {
            return Error::Unreachable {
                role,
                url,
                source: error.into(),
            };
        }
        if error.is_timeout() {
            return self.timed_out(timeout);
        }
        let parse =
            std::iter::successors(std::error::Error::source(&error), |cause| cause.source())
                .map(ToString::to_string)
                .find(|text| text.contains("invalid HTTP"));
        match parse {
            Some(reason) => Error::Malformed { role, url, reason },
            None => Error::Broken {
                role,
                url,
                source: error.into(),
            },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn this_computer() {
        for (url, ours) in [
            ("http://localhost:4020", true),
            ("http://127.0.0.2", true),
            ("http://[::1]:4020", true),
            ("https://example.org", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_this_computer(&Url::parse(url).unwrap()), ours, "{url}");
        }
    }

    #[test]
    fn urls() {
        let node = Transport::new("core node", "http://127.0.0.1:4024/").unwrap();
        assert_eq!(node.base(), "http://127.0.0.1:4024");
        assert_eq!(
            node.url(&["api", "v0", "a/b?c.json"]).as_str(),
            "http://127.0.0.1:4024/api/v0/a%2Fb%3Fc.json"
        );
        let nested = Transport::new("core node", "https://example.org/node").unwrap();
        assert_eq!(
            nested.url(&["api"]).as_str(),
            "https://example.org/node/api"
        );
        for bad in [
            "",
            "127.0.0.1:4024",
            "ftp://example.org",
            "http://",
            "data:,x",
            "localhost:4024",
        ] {
            assert!(
                matches!(Transport::new("core node", bad), Err(Error::BadUrl { .. })),
                "{bad}"
            );
        }
    }
}
