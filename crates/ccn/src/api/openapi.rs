//! The document of the API (OpenAPI 3.1), made from the routes themselves.
//!
//! ```text
//!  #[utoipa::path(…)]                  Routes::with(routes!(handler))
//!  handler ───────────────▶ Routes ────┬─▶ axum router
//!  openapi/{params,messages,…}.rs ─────┴─▶ document ─▶ /api/docs/openapi.json, docs/openapi.json
//! ```
//!
//! A route enters router and document in one call, so that neither has a path
//! or method that the other lacks. What handlers read is compared with the
//! documented parameters, and what they answer with the documented schemas,
//! by tests (`tests/it/openapi.rs`, and the replay of the recordings).
//!
//! Types in this folder exist for the document alone: handlers write JSON.

pub mod accounts;
pub mod aggregates;
pub mod contents;
pub mod gateway;
pub mod holders;
pub mod machines;
pub mod measurements;
pub mod messages;
pub mod node;
mod page;
pub mod params;
pub mod posts;
pub mod prices;
pub mod refusals;
pub mod storage;
pub mod submission;
pub mod words;

use std::sync::Arc;

use axum::Router;
use axum::routing::MethodRouter;
use serde_json::Value;
use utoipa::openapi::{
    Components, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths, RefOr, Required,
    Schema, Server, path::Operation, path::PathItem, tag::TagBuilder,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::context::Context;
pub use page::serve;
use refusals::Faults;

/// What `routes!` makes of a described handler.
type Described = UtoipaMethodRouter<Arc<Context>>;

/// Routes and their description.
#[derive(Default)]
pub struct Routes {
    router: Router<Arc<Context>>,
    paths: Paths,
    components: Components,
}

impl Routes {
    /// None.
    pub fn new() -> Routes {
        Routes::default()
    }

    /// One described handler, as `routes!` gives it.
    pub fn with(self, described: Described) -> Routes {
        let (schemas, paths, handler) = described;
        let mut routes = self.described(schemas);
        for (path, item) in paths.paths {
            routes.router = routes.router.route(&routed(&path), handler.clone());
            let known = routes.paths.paths.entry(path).or_default();
            known.merge_operations(completed(item));
        }
        routes
    }

    /// The same handler under another path, as one more operation.
    pub fn also(self, path: &str, described: Described) -> Routes {
        let (schemas, paths, handler) = described;
        let mut renamed = Paths::new();
        for (_, item) in paths.paths {
            renamed.paths.insert(path.to_owned(), alias(item));
        }
        self.with((schemas, renamed, handler))
    }

    /// A handler that is no function, described by one that is never called.
    pub fn answered_by(self, described: Described, handler: MethodRouter<Arc<Context>>) -> Routes {
        let (schemas, paths, _) = described;
        self.with((schemas, paths, handler))
    }

    /// All of them.
    pub fn merge(mut self, other: Routes) -> Routes {
        self.router = self.router.merge(other.router);
        self.paths.merge(other.paths);
        self.components.schemas.extend(other.components.schemas);
        self
    }

    /// Routes that the document leaves out: what is no part of the interface.
    pub fn merge_undocumented(mut self, other: Router<Arc<Context>>) -> Routes {
        self.router = self.router.merge(other);
        self
    }

    /// The router and the document of it.
    pub fn split(self) -> (Router<Arc<Context>>, OpenApi) {
        (self.router, document(self.paths, self.components))
    }

    fn described(mut self, schemas: Vec<(String, RefOr<Schema>)>) -> Routes {
        self.components.schemas.extend(schemas);
        self
    }
}

/// The document says `{page}.json`; the router takes whole segments, and the
/// handler cuts the ending off. `{path}` is all segments that follow, which no
/// document can say.
fn routed(path: &str) -> String {
    path.replace("}.json", "}").replace("{path}", "{*path}")
}

/// Every operation of a path.
fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post].into_iter().flatten()
}

/// Adds what holds for any route.
fn completed(mut item: PathItem) -> PathItem {
    for operation in operations(&mut item) {
        for (status, response) in refusals::of_every_route() {
            let responses = &mut operation.responses.responses;
            responses.entry(status).or_insert(response);
        }
        // Bytes may be none: an empty body is an empty file.
        if let Some(RefOr::T(body)) = &mut operation.request_body
            && body.content.contains_key("application/octet-stream")
        {
            body.required = Some(Required::False);
        }
    }
    item
}

fn alias(mut item: PathItem) -> PathItem {
    for operation in operations(&mut item) {
        operation.operation_id = operation
            .operation_id
            .as_ref()
            .map(|id| format!("{id}Alias"));
    }
    item
}

const ABOUT: &str = "\
Signed messages, and what follows from them: posts, aggregates, files, programs, balances and prices.

* Lists of the query are separated by commas; an empty value is a list of one empty text.
* Unknown parameters are ignored, and the first occurrence of a repeated one counts.
* Errors are plain text, even where the text is JSON. A parameter that cannot be read is a 422 whose text is \
an array of objects with `type`, `loc`, `msg` and `input`.
* Every GET route answers HEAD. Every route answers requests of web pages of any origin.
* Lists have two ways of turning pages: by number (`page`, `pagination`), and by `cursor`, which is as fast on \
the last page as on the first. An empty cursor is the beginning.";

const TAGS: [(&str, &str); 9] = [
    ("messages", "Signed messages, as the network knows them."),
    ("submission", "Sending signed messages."),
    ("posts", "Posts, each merged with its latest amend."),
    (
        "aggregates",
        "Key-value objects of addresses, and who may write for whom.",
    ),
    ("accounts", "What addresses did and own."),
    ("prices", "What messages cost."),
    ("storage", "Files, by hash, by reference, by message."),
    (
        "node",
        "The node itself: version, metrics, channels, health.",
    ),
    ("stream", "Messages as they happen, over WebSockets."),
];

fn document(paths: Paths, components: Components) -> OpenApi {
    let mut schemas = vec![(Faults::name().into(), Faults::schema())];
    Faults::schemas(&mut schemas);
    let mut components = components;
    components.schemas.extend(schemas);
    let licence = LicenseBuilder::new()
        .name("MIT OR Apache-2.0")
        .identifier(Some("MIT OR Apache-2.0"));
    let info = InfoBuilder::new()
        .title("Beth core node")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(licence.build()));
    let tags = TAGS.map(|(name, text)| {
        let tag = TagBuilder::new().name(name).description(Some(text));
        tag.build()
    });
    OpenApiBuilder::new()
        .info(info.build())
        // Relative: whichever way the node is reached.
        .servers(Some([Server::new("/")]))
        .paths(paths)
        .components(Some(components))
        .tags(Some(tags))
        .build()
}

/// The document as JSON, as it is served.
pub fn to_json(document: &OpenApi) -> Value {
    let mut json = serde_json::to_value(document).unwrap_or_default();
    any_instead_of_one(&mut json);
    json
}

/// Alternatives may overlap: a bare value looks like anything.
fn any_instead_of_one(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(alternatives) = members.shift_remove("oneOf") {
                members.insert("anyOf".into(), alternatives);
            }
            members.values_mut().for_each(any_instead_of_one);
        }
        Value::Array(items) => items.iter_mut().for_each(any_instead_of_one),
        _ => {}
    }
}
