//! Answers of the gateway, and what stands in front of their bytes.

use axum::body::{Body, Bytes};
use axum::response::Response;
use beth_protocol::dag::BlockName;
use beth_store::blobs::{Content, Resolved};
use futures::stream;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use super::address::Target;
use super::{Asking, listing, media};
use crate::api::answer::ApiError;
use crate::api::raw::range::{self, Asked, Range};
use crate::api::raw::{body_of, is_tagged, put};
use crate::api::storage::blocking;
use crate::context::Context;
use crate::limits::LISTED_MAX;

/// What never changes.
const FOR_EVER: &str = "public, max-age=29030400, immutable, no-transform";
/// A list may look otherwise in a later version.
const FOR_A_WEEK: &str = "public, max-age=604800, stale-while-revalidate=2678400";
/// A page of a stranger: scripts run, but not as pages of this node.
const SANDBOX: &str = "sandbox allow-downloads allow-forms allow-modals allow-pointer-lock allow-popups allow-scripts";
/// A list needs nothing but its style.
const LIST_POLICY: &str = "sandbox allow-downloads allow-popups; default-src 'none'; style-src 'unsafe-inline'; \
    base-uri 'none'; form-action 'none'";
const RAW: &str = "application/vnd.ipld.raw";
const CAR: &str = "application/vnd.ipld.car; version=1; order=dfs; dups=n";
/// Version of the look of lists, a part of their ETag.
const LIST_LOOK: &str = "1";

/// An answer that is being made.
pub(super) struct Sending {
    pub asking: Asking,
    pub target: Target,
    cid: String,
    roots: String,
    /// Whether the index of a directory stands for it.
    is_index: bool,
}

impl Sending {
    pub fn new(asking: Asking, target: Target, resolved: &Resolved) -> Sending {
        let spelt = |name: &BlockName| match name.cid(target.version) {
            Some(cid) => cid.to_string(),
            None => name.to_string(),
        };
        let roots: Vec<String> = resolved.steps.iter().map(spelt).collect();
        Sending {
            asking,
            cid: roots.last().cloned().unwrap_or_default(),
            roots: roots.join(","),
            target,
            is_index: false,
        }
    }

    /// The same for the index of the directory.
    pub fn of_index(mut self, index: &Resolved) -> Sending {
        let found = index
            .steps
            .last()
            .and_then(|name| name.cid(self.target.version));
        if let Some(cid) = found {
            self.cid = cid.to_string();
        }
        self.is_index = true;
        self
    }

    /// Where a directory is that was asked for without a slash.
    pub fn with_slash(&self) -> Option<HeaderValue> {
        let (path, query) = (self.asking.uri.path(), self.asking.uri.query());
        if path.ends_with('/') {
            return None;
        }
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        HeaderValue::try_from(format!("{path}/{query}")).ok()
    }

    pub fn is_slash_behind_file(&self) -> bool {
        !self.is_index && self.asking.uri.path().ends_with('/')
    }

    pub fn media_by_name(&self) -> Option<&'static str> {
        match self.is_index {
            true => media::of_name(super::INDEX),
            false => media::of_name(self.target.name()?),
        }
    }

    fn tag(&self) -> String {
        format!("\"{}\"", self.cid)
    }

    pub fn is_seen(&self) -> bool {
        is_tagged(&self.asking.headers, &self.tag())
    }

    /// The client has the file.
    pub fn unchanged(&self) -> Response {
        self.plain(StatusCode::NOT_MODIFIED, &self.tag(), Body::empty())
    }

    /// Bytes of a file.
    pub fn file(&self, content: &Content, media: HeaderValue) -> Response {
        let (size, tag) = (content.extent().size_bytes, self.tag());
        let asked = match self.is_head() {
            // Ranges are of GET alone (RFC 9110 §14.2).
            true => Asked::Whole,
            false => range::asked(&self.asking.headers, &tag, size),
        };
        let part = |status, range: Range| {
            let body = match self.is_head() {
                true => nothing(),
                false => body_of(content.pieces(range.first, range.end - range.first)),
            };
            let mut response = self.plain(status, &tag, body);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_LENGTH, (range.end - range.first).into());
            response
        };
        let mut response = match &asked {
            Asked::Whole => part(
                StatusCode::OK,
                Range {
                    first: 0,
                    end: size,
                },
            ),
            Asked::One(range) => {
                let mut response = part(StatusCode::PARTIAL_CONTENT, *range);
                put(&mut response, header::CONTENT_RANGE, &range.of(size));
                response
            }
            Asked::Nothing => {
                let status = StatusCode::RANGE_NOT_SATISFIABLE;
                let mut response = self.plain(status, &tag, Body::empty());
                put(
                    &mut response,
                    header::CONTENT_RANGE,
                    &format!("bytes */{size}"),
                );
                response.headers_mut().remove(header::CACHE_CONTROL);
                response
            }
            Asked::Several(ranges) => {
                let kind = media.to_str().unwrap_or_default();
                let (pieces, length) = range::multipart(content, ranges, kind);
                let mut response = self.plain(StatusCode::PARTIAL_CONTENT, &tag, body_of(pieces));
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_LENGTH, length.into());
                headers.insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static(range::MULTIPART),
                );
                response
            }
        };
        put(&mut response, header::ACCEPT_RANGES, "bytes");
        if !matches!(asked, Asked::Several(_)) {
            response.headers_mut().insert(header::CONTENT_TYPE, media);
        }
        self.name(&mut response);
        response
    }

    fn name(&self, response: &mut Response) {
        let kind = if self.target.is_download {
            "attachment"
        } else {
            "inline"
        };
        let name = match (self.target.filename.as_deref(), self.target.is_download) {
            (Some(name), _) => name,
            (None, true) => self.target.name().unwrap_or(&self.cid),
            (None, false) => return,
        };
        put(
            response,
            header::CONTENT_DISPOSITION,
            &disposition(kind, name),
        );
    }

    /// One block.
    pub fn block(&self, block: Vec<u8>) -> Response {
        let tag = format!("\"{}.raw\"", self.cid);
        if is_tagged(&self.asking.headers, &tag) {
            return self.plain(StatusCode::NOT_MODIFIED, &tag, Body::empty());
        }
        let length = block.len() as u64;
        let body = if self.is_head() {
            nothing()
        } else {
            Body::from(block)
        };
        let mut response = self.plain(StatusCode::OK, &tag, body);
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length.into());
        self.attach(&mut response, (RAW, "bin"));
        response
    }

    /// Every block.
    pub fn car(&self, context: &Context, resolved: &Resolved) -> Result<Response, ApiError> {
        let scope = if self.target.is_one_block {
            ".block"
        } else {
            ""
        };
        let tag = format!("W/\"{}{scope}.car\"", self.cid);
        let known = tag.trim_start_matches("W/");
        if is_tagged(&self.asking.headers, known) {
            return Ok(self.plain(StatusCode::NOT_MODIFIED, &tag, Body::empty()));
        }
        let body = match (self.is_head(), self.target.is_one_block) {
            (true, _) => nothing(),
            (false, is_one) => {
                let pieces = context.blobs.car(&resolved.steps, self.target.version);
                // The header, the blocks of the path, and the one.
                let count = if is_one {
                    1 + resolved.steps.len()
                } else {
                    usize::MAX
                };
                body_of(Box::new(pieces.take(count)))
            }
        };
        let mut response = self.plain(StatusCode::OK, &tag, body);
        put(&mut response, header::ACCEPT_RANGES, "none");
        self.attach(&mut response, (CAR, "car"));
        Ok(response)
    }

    fn attach(&self, response: &mut Response, (kind, ending): (&str, &str)) {
        let usual = format!("{}.{ending}", self.cid);
        let name = self.target.filename.as_deref().unwrap_or(&usual);
        put(response, header::CONTENT_TYPE, kind);
        put(
            response,
            header::CONTENT_DISPOSITION,
            &disposition("attachment", name),
        );
    }

    /// The list of a directory.
    pub async fn listing(&self, content: Content) -> Result<Response, ApiError> {
        let tag = format!("\"DirIndex-{LIST_LOOK}_CID-{}\"", self.cid);
        if is_tagged(&self.asking.headers, &tag) {
            return Ok(self.plain(StatusCode::NOT_MODIFIED, &tag, Body::empty()));
        }
        let (cid, path) = (self.cid.clone(), self.target.path.clone());
        let page = blocking(move || {
            let listing = content.list(LISTED_MAX)?;
            Ok(listing.map(|listing| listing::page(&listing, &cid, &path)))
        });
        let page = page.await?.unwrap_or_default();
        let length = page.len() as u64;
        let body = if self.is_head() {
            nothing()
        } else {
            Body::from(page)
        };
        let mut response = self.plain(StatusCode::OK, &tag, body);
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length.into());
        put(
            &mut response,
            header::CONTENT_TYPE,
            "text/html; charset=utf-8",
        );
        put(&mut response, header::CACHE_CONTROL, FOR_A_WEEK);
        put(&mut response, header::CONTENT_SECURITY_POLICY, LIST_POLICY);
        Ok(response)
    }

    fn is_head(&self) -> bool {
        self.asking.method == Method::HEAD
    }

    /// What every answer has.
    fn plain(&self, status: StatusCode, tag: &str, body: Body) -> Response {
        const PATH: HeaderName = HeaderName::from_static("x-ipfs-path");
        const ROOTS: HeaderName = HeaderName::from_static("x-ipfs-roots");
        let mut response = Response::new(body);
        *response.status_mut() = status;
        for (name, text) in [
            (header::ETAG, tag),
            (header::CACHE_CONTROL, FOR_EVER),
            (header::CONTENT_SECURITY_POLICY, SANDBOX),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::VARY, "accept"),
            (PATH, self.asking.uri.path()),
            (ROOTS, &self.roots),
        ] {
            put(&mut response, name, text);
        }
        response
    }
}

/// Not an empty body: that has a length, and the length is another.
fn nothing() -> Body {
    Body::from_stream(stream::empty::<Result<Bytes, std::convert::Infallible>>())
}

/// A name in letters that everybody reads, and in all of its letters.
fn disposition(kind: &str, name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ' {
                c
            } else {
                '_'
            }
        })
        .collect();
    format!(
        "{kind}; filename=\"{plain}\"; filename*=UTF-8''{}",
        listing::encoded(name)
    )
}
