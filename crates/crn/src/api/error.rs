//! Errors as clients see them: `{"error": …}` (compute.md §3.4, §10.2).

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::ext::ReasonPhrase;
use serde_json::json;

use super::json;
use crate::executor::Fault;
use crate::operator::Refusal;
use crate::pool::CallFault;
use crate::program::ProgramFault;
use crate::workloads::WorkloadFault;

/// A refusal with its status and text.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    text: String,
    traceback: Option<String>,
    is_plain: bool,
}

impl ApiError {
    /// `{"error": text}`.
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> ApiError {
        ApiError {
            status,
            text: text.into(),
            traceback: None,
            is_plain: false,
        }
    }

    /// The text alone, as a few refusals are.
    pub(super) fn plain(status: StatusCode, text: impl Into<String>) -> ApiError {
        ApiError {
            is_plain: true,
            ..ApiError::new(status, text)
        }
    }

    /// `{"error": "<status>: <text>"}`, as raised errors without a text of
    /// their own look.
    pub(super) fn numbered(status: StatusCode, text: impl std::fmt::Display) -> ApiError {
        ApiError::new(status, format!("{}: {text}", status.as_u16()))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.is_plain {
            return (self.status, self.text).into_response();
        }
        let mut body = json!({"error": self.text});
        if let Some(traceback) = self.traceback.filter(|traceback| !traceback.is_empty()) {
            body["traceback"] = traceback.into();
        }
        json::response(self.status, &body)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> ApiError {
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::UNAUTHORIZED);
        ApiError::new(status, refusal.to_string())
    }
}

impl From<WorkloadFault> for ApiError {
    fn from(fault: WorkloadFault) -> ApiError {
        let text = fault.to_string();
        match fault {
            WorkloadFault::Unsupported(_) => ApiError::new(StatusCode::BAD_REQUEST, text),
            WorkloadFault::Conflict(_) => ApiError::new(StatusCode::CONFLICT, text),
            WorkloadFault::NotHere(_) => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text),
            WorkloadFault::TooLarge(_) => ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, text),
            WorkloadFault::NoSpace(_) => ApiError::plain(StatusCode::INSUFFICIENT_STORAGE, text),
            WorkloadFault::Failed(_) => ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, text),
        }
    }
}

/// `404: Not Found` under the node's own prefixes.
pub(super) async fn not_found() -> ApiError {
    ApiError::numbered(StatusCode::NOT_FOUND, "Not Found")
}

/// What a caller sees when its program gave no answer. The first words are
/// upstream's, the sentence after them is ours.
pub(super) fn of_call(fault: &CallFault) -> Response {
    use StatusCode as Status;
    let error = match fault {
        CallFault::Busy(text) => ApiError::new(Status::SERVICE_UNAVAILABLE, text),
        CallFault::Program(fault) => of_program(fault),
        CallFault::Fault(Fault::Raised { traceback }) => {
            let response = plain(
                Status::INTERNAL_SERVER_ERROR,
                "Error in VM execution",
                traceback.clone(),
            );
            return typed(response, "text/plain");
        }
        CallFault::Fault(Fault::Died(_)) => {
            let text = "VM did not respond and was shut down".to_owned();
            return typed(
                plain(Status::BAD_GATEWAY, "No response from VM", text),
                "text/plain; charset=utf-8",
            );
        }
        CallFault::Fault(fault @ Fault::Timeout) => {
            ApiError::new(Status::GATEWAY_TIMEOUT, fault.to_string())
        }
        CallFault::Fault(Fault::NotHere(why)) => {
            let text = format!("This CRN cannot host the requested workload at this time. ({why})");
            ApiError::new(Status::SERVICE_UNAVAILABLE, text)
        }
        CallFault::Fault(fault @ Fault::Setup { traceback, .. }) => ApiError {
            traceback: Some(traceback.clone()),
            ..initialisation("vm", fault)
        },
        CallFault::Fault(fault @ Fault::BadProgram(_)) => initialisation("vm", fault),
        CallFault::Fault(fault @ Fault::NotReady { .. }) => initialisation("runtime", fault),
        CallFault::Fault(fault @ Fault::Internal(_)) => {
            tracing::error!("{fault}");
            ApiError::numbered(
                Status::INTERNAL_SERVER_ERROR,
                format!("Unhandled error during initialisation: {fault}"),
            )
        }
    };
    error.into_response()
}

fn initialisation(what: &str, fault: &Fault) -> ApiError {
    ApiError::numbered(
        StatusCode::INTERNAL_SERVER_ERROR,
        format!("Error during {what} initialisation: {fault}"),
    )
}

fn of_program(fault: &ProgramFault) -> ApiError {
    match fault {
        ProgramFault::Unknown { .. } => {
            ApiError::numbered(StatusCode::NOT_FOUND, format!("Message not found: {fault}"))
        }
        ProgramFault::NotAProgram { .. } | ProgramFault::Unusable { .. } => {
            ApiError::numbered(StatusCode::BAD_REQUEST, fault)
        }
        ProgramFault::NoFile { .. } | ProgramFault::File { .. } => {
            let text = format!("Code, runtime or data not available: {fault}");
            ApiError::numbered(StatusCode::BAD_REQUEST, text)
        }
        ProgramFault::Core(_) => ApiError::numbered(StatusCode::SERVICE_UNAVAILABLE, fault),
    }
}

/// A text with a reason phrase, as upstream answers for machines that fail.
fn plain(status: StatusCode, reason: &'static str, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
        .extensions_mut()
        .insert(ReasonPhrase::from_static(reason.as_bytes()));
    response
}

fn typed(mut response: Response, content_type: &'static str) -> Response {
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
