//! Answers that are no success. Their bodies are text (core-api.md §1.2).

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::Value;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use super::storage::Added;
use super::submission::SubmissionStatus;

type Responses = BTreeMap<String, RefOr<Response>>;

/// Declares a group of answers for the attribute of a route.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = [$($status:ident: $text:expr),+ $(,)?];)*) => {$(
        $(#[$doc])*
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> Responses {
                [$(text(StatusCode::$status, $text)),+].into()
            }
        }
    )*};
}

refusals! {
    /// A parameter of the query cannot be read.
    BadQuery = [UNPROCESSABLE_ENTITY: "A parameter cannot be read, or the parameters together make no sense: \
        the text is an array of faults, or a sentence."];
    /// As [`BadQuery`], and filters that do not go together.
    BadFilters = [
        BAD_REQUEST: "`msgStatuses` names a status whose messages are gone, and something that cannot be asked \
            of them.",
        UNPROCESSABLE_ENTITY: "A parameter cannot be read, or the parameters together make no sense: \
            the text is an array of faults, or a sentence.",
    ];
    /// There is no content to show.
    NotInForce = [UNPROCESSABLE_ENTITY: "The message is not in force."];
    /// The path holds no item hash.
    BadHash = [BAD_REQUEST: "The path holds no item hash."];
    /// Nothing is there.
    NotFound = [NOT_FOUND: "The node does not know it."];
    /// It was there.
    Gone = [GONE: "It was removed, and nothing is kept of it."];
    /// The number in the path.
    BadPage = [
        BAD_REQUEST: "The path holds no number.",
        NOT_FOUND: "The path does not end in `.json`.",
    ];
    /// What may happen to a body on its way.
    BadBody = [
        BAD_REQUEST: "The body ended early.",
        REQUEST_TIMEOUT: "The body stopped arriving.",
        PAYLOAD_TOO_LARGE: "The body is longer than this route takes.",
        UNPROCESSABLE_ENTITY: "The body is not what this route takes: the text says why.",
    ];
    /// The file is too large to be put into JSON.
    TooLarge = [PAYLOAD_TOO_LARGE: "The file is too large for this route: fetch its bytes."];
    /// A message without a bill.
    NoBill = [BAD_REQUEST: "The path holds no item hash, or the message is of a type that costs nothing."];
    /// Only the operator may.
    NoToken = [UNAUTHORIZED: "There is no token of the operator, or it ended."];
    /// The topic of a publication.
    WrongTopic = [FORBIDDEN: "The node publishes on the topic of messages alone."];
    /// No WebSocket was asked for.
    NoUpgrade = [BAD_REQUEST: "The request does not ask for a WebSocket."];
    /// This node has no IPFS.
    NoIpfs = [FORBIDDEN: "This node has no IPFS."];
}

/// What may be wrong with a message that is sent: the body, or the message.
pub struct BadSubmission;

impl IntoResponses for BadSubmission {
    fn responses() -> Responses {
        let mut responses = BadBody::responses();
        let (status, response) = also_json(
            "The body is not what this route takes; or, as JSON, the message is refused.",
            SubmissionStatus::name(),
        );
        responses.insert(status, response);
        responses
    }
}

/// What may be wrong with an upload and its message.
pub struct SignedUpload;

impl IntoResponses for SignedUpload {
    fn responses() -> Responses {
        let mut responses = BadBody::responses();
        let added = Ref::from_schema_name(Added::name());
        let content = ContentBuilder::new().schema(Some(added)).build();
        let waits = ResponseBuilder::new()
            .description("It is stored; its message waits, or was not waited for.")
            .content("application/json", content);
        let (status, refused) = also_json(
            "The upload is not what this route takes; or, as JSON, it is stored and its message refused.",
            Added::name(),
        );
        responses.extend([
            ("202".to_owned(), waits.build().into()),
            (status, refused),
            text(StatusCode::PAYMENT_REQUIRED, "The owner cannot pay for it."),
            text(
                StatusCode::FORBIDDEN,
                "The signature is wrong, or this node has no IPFS.",
            ),
        ]);
        responses
    }
}

/// A 422 that is text, or JSON of a schema.
fn also_json(description: &str, schema: Cow<'_, str>) -> (String, RefOr<Response>) {
    let json = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(schema)))
        .build();
    let text = ContentBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build();
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/json", json)
        .content("text/plain", text)
        .build();
    ("422".to_owned(), response.into())
}

/// A parameter of the query cannot be read, and the answer says that it is
/// JSON: some routes do (§1.7).
pub struct DeclaredBadQuery;

impl IntoResponses for DeclaredBadQuery {
    fn responses() -> Responses {
        let description = "A parameter cannot be read; or, as text, a cursor.";
        [also_json(description, Faults::name())].into()
    }
}

/// What any route may answer.
pub fn of_every_route() -> Responses {
    [
        text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The node failed. What happened is in its log.",
        ),
        text(
            StatusCode::SERVICE_UNAVAILABLE,
            "The node cannot answer now: try again, or ask another node.",
        ),
        text(
            StatusCode::INSUFFICIENT_STORAGE,
            "The disk of the node is full: ask another node.",
        ),
    ]
    .into()
}

/// One answer whose body is text.
fn text(status: StatusCode, description: &str) -> (String, RefOr<Response>) {
    let schema = ObjectBuilder::new().schema_type(Type::String).build();
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new()
        .description(description)
        .content("text/plain", content)
        .build();
    (status.as_str().to_owned(), response.into())
}

/// Everything wrong with a request.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct Faults(Vec<Fault>);

/// One thing wrong with a parameter or body.
#[derive(ToSchema)]
#[allow(dead_code, missing_docs)]
pub struct Fault {
    /// A word for the kind of the fault.
    r#type: String,
    /// Names and indices that lead to the place.
    loc: Vec<Value>,
    msg: String,
    input: Value,
    /// Parameters of the sentence.
    #[schema(value_type = Object, required = false)]
    ctx: Value,
}
