//! What leaves the API: JSON bodies, and errors as their clients expect them
//! (core-api.md §1.2, §1.4, §1.7).

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tracing::error;

use crate::limits::HEADER_TEXT_CHARS_MAX;
use crate::pipeline::SubmitError;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// Why a request was refused, where clients expect a body that does not say so.
const REASON: HeaderName = HeaderName::from_static("x-beth-reason");

/// A JSON body with a status.
#[derive(Debug)]
pub struct Json<T>(pub StatusCode, pub T);

/// 200 with a JSON body.
pub fn ok<T: Serialize>(body: T) -> Json<T> {
    Json(StatusCode::OK, body)
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_string(&self.1) {
            Ok(text) => answer(self.0, JSON, text),
            Err(failure) => {
                error!(%failure, "an answer could not be written as JSON");
                ApiError::internal().into_response()
            }
        }
    }
}

/// An answer that is no success. Its body is text, even when the text is JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    status: StatusCode,
    content_type: HeaderValue,
    body: String,
    explanation: Option<String>,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl ApiError {
    /// The body is exactly this text.
    pub fn text(status: StatusCode, text: impl Into<String>) -> ApiError {
        ApiError {
            status,
            content_type: TEXT,
            body: text.into(),
            explanation: None,
            header: None,
        }
    }

    /// Adds a header.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> ApiError {
        self.header = Some(Box::new((name, value)));
        self
    }

    /// Says in a header what the body may not.
    pub fn explained(mut self, explanation: impl Into<String>) -> ApiError {
        self.explanation = Some(explanation.into());
        self
    }

    /// Says when to ask again.
    pub fn after(self, seconds: u64) -> ApiError {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The body is the number of the status, a colon and this reason.
    pub fn reason(status: StatusCode, reason: impl AsRef<str>) -> ApiError {
        ApiError::text(status, format!("{}: {}", status.as_u16(), reason.as_ref()))
    }

    /// The standard reason of the status.
    pub fn standard(status: StatusCode) -> ApiError {
        ApiError::reason(status, status.canonical_reason().unwrap_or("Error"))
    }

    /// The path or the thing it names does not exist.
    pub fn not_found() -> ApiError {
        ApiError::standard(StatusCode::NOT_FOUND)
    }

    /// The body of the request is larger than this route takes.
    pub fn too_large(bytes_max: u64) -> ApiError {
        ApiError::text(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("Maximum request body size {bytes_max} exceeded."),
        )
    }

    /// Our failure. What happened is in the log, not in the answer.
    pub fn internal() -> ApiError {
        ApiError::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "500 Internal Server Error\n\nServer got itself in trouble",
        )
    }

    /// Parameters that cannot be read.
    pub fn faults(faults: &[Fault]) -> ApiError {
        let items: Vec<Value> = faults.iter().map(Fault::to_json).collect();
        ApiError::text(
            StatusCode::UNPROCESSABLE_ENTITY,
            Value::Array(items).to_string(),
        )
    }

    /// The same error, declared as JSON: what some routes do (§1.7).
    pub fn declared_json(mut self) -> ApiError {
        if self.status == StatusCode::UNPROCESSABLE_ENTITY {
            self.content_type = JSON;
        }
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = answer(self.status, self.content_type, self.body);
        if let Some((name, value)) = self.header.map(|header| *header) {
            response.headers_mut().insert(name, value);
        }
        if let Some(text) = self.explanation {
            response.headers_mut().insert(REASON, header_text(&text));
        }
        if self.status == StatusCode::INTERNAL_SERVER_ERROR {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<beth_store::Error> for ApiError {
    fn from(failure: beth_store::Error) -> ApiError {
        // Not a fault of this node: the metrics count these.
        if failure.is_too_long() {
            return ApiError::text(
                StatusCode::SERVICE_UNAVAILABLE,
                "the query took too long: narrow it down with more filters or dates, or ask for smaller pages by cursor",
            );
        }
        if matches!(failure, beth_store::Error::Busy) {
            return ApiError::text(StatusCode::SERVICE_UNAVAILABLE, failure.to_string());
        }
        error!(%failure, "a request could not be answered");
        if failure.is_disk_full() {
            return ApiError::text(
                StatusCode::INSUFFICIENT_STORAGE,
                "the disk of this node is full: use another node, or ask its operator to make room",
            );
        }
        ApiError::internal()
    }
}

impl From<SubmitError> for ApiError {
    fn from(failure: SubmitError) -> ApiError {
        match failure {
            SubmitError::InvalidFormat(rejection) => {
                ApiError::text(StatusCode::UNPROCESSABLE_ENTITY, "InvalidMessageFormat")
                    .explained(rejection.to_string())
            }
            SubmitError::Unavailable => {
                ApiError::text(StatusCode::SERVICE_UNAVAILABLE, failure.to_string()).after(5)
            }
        }
    }
}

/// 200 with a body that is JSON.
pub fn json_body(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

fn answer(status: StatusCode, content_type: HeaderValue, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// The beginning of a text, in characters that every client reads in a header.
fn header_text(text: &str) -> HeaderValue {
    let shown: String = text
        .chars()
        .take(HEADER_TEXT_CHARS_MAX)
        .map(|c| match c {
            ' '..='~' => c,
            _ => '?',
        })
        .collect();
    HeaderValue::try_from(shown).unwrap_or(HeaderValue::from_static("?"))
}

/// One thing wrong with a parameter or body.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    kind: &'static str,
    loc: Vec<Value>,
    msg: String,
    input: Value,
    ctx: Map<String, Value>,
}

impl Fault {
    /// `kind` is a word of the vocabulary of §1.7.
    pub fn new(kind: &'static str, loc: Vec<Value>, msg: impl Into<String>, input: Value) -> Fault {
        Fault {
            kind,
            loc,
            msg: msg.into(),
            input,
            ctx: Map::new(),
        }
    }

    /// Adds a parameter of the sentence.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Fault {
        self.ctx.insert(key.to_owned(), value.into());
        self
    }

    /// A value that follows the type but not the rules.
    pub fn value(loc: Vec<Value>, text: &str, input: Value) -> Fault {
        Fault::new("value_error", loc, format!("Value error, {text}"), input).with("error", text)
    }

    /// A member that must be there.
    pub fn missing(loc: Vec<Value>, input: Value) -> Fault {
        Fault::new("missing", loc, "Field required", input)
    }

    /// As an element of the array.
    pub fn to_json(&self) -> Value {
        let mut fault =
            json!({"type": self.kind, "loc": self.loc, "msg": self.msg, "input": self.input});
        if !self.ctx.is_empty() {
            fault["ctx"] = Value::Object(self.ctx.clone());
        }
        fault
    }
}
