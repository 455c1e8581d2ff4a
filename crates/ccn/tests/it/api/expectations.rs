//! What is not, or not yet, as recorded, and why.

use serde_json::Value;

/// How an entry of the recordings is compared.
pub enum Expectation {
    /// Everything.
    Same,
    /// Everything but these members; or only another status.
    But {
        ignored: &'static [&'static str],
        status: Option<u16>,
        #[allow(dead_code)]
        reason: &'static str,
    },
    /// Not at all, because it is not built yet.
    Later(#[allow(dead_code)] &'static str),
}

use Expectation::{But, Later, Same};

/// Beginnings of templates of reads that are not built yet.
const LATER: &[(&str, &str)] = &[("/api/docs", "documentation pages")];

/// Templates of reads that differ, what differs, why.
const DIFFERENT: &[(&str, &[&str], Option<u16>, &str)] = &[
    (
        "/api/v0/version",
        &["/version", "/name"],
        None,
        "our version and name",
    ),
    (
        "/version",
        &["/version", "/name"],
        None,
        "our version and name",
    ),
    (
        "/api/v0/info/public.json",
        &["/node_multi_addresses"],
        None,
        "our addresses",
    ),
    ("/metrics", &["*"], None, "our counts"),
    (
        "/metrics.json",
        &["*"],
        None,
        "our counts; the names are checked by a test of their own",
    ),
    (
        "/api/v0/messages.json?pagination=1&cursor=&page=3&contentFormat=none",
        &["/messages", "/next_cursor"],
        None,
        "core-api.md §15 no. 9: the page is ignored in cursor mode",
    ),
    (
        "/api/v0/messages/{post_tbf}",
        &["/message/time"],
        None,
        "§15 no. 18: ISO, which every client reads",
    ),
    (
        "/api/v0/messages/{store_tbf}",
        &["/message/time"],
        None,
        "§15 no. 18: ISO, which every client reads",
    ),
    (
        "/api/v0/posts.json?startDate=10&endDate=5",
        &["/pagination_total"],
        None,
        "§15 no. 21: dates count in the total",
    ),
    (
        "/api/v0/balances?cursor=&pagination=1",
        &["/next_cursor"],
        None,
        "§15 no. 10: the cursor tells the chain, too",
    ),
    (
        "/api/v0/costs?address={a0}&include_details=2&include_size=true",
        &["/resources/*/detail/*/size_mib"],
        None,
        "the runtime follows updates, as in the price of the program",
    ),
    (
        "/api/v0/price/{program}?include_size=true",
        &["/detail/*/size_mib"],
        None,
        "the runtime follows updates: ours is the size that is billed, upstream's that of the first version",
    ),
];

/// What differs in a write, and its status; `None` = not built yet.
type Differing = Option<(&'static [&'static str], Option<u16>)>;

/// Names (or their beginnings) of writes that are not built yet, or differ.
const POSTS: &[(&str, Differing, &str)] = &[
    ("messages: time null", Some((&[], Some(422))), MENDED),
    (
        "messages: signature null: resulting single message",
        Some((&["/message/origin", "/message/content"], None)),
        "more is shown of what was refused",
    ),
    (
        "/api/v0/ipfs/pubsub/pub: data object",
        Some((&[], Some(422))),
        "an object is taken; this one is no message",
    ),
    (
        "/api/v0/p2p/pubsub/pub: data object",
        Some((&[], Some(422))),
        "an object is taken; this one is no message",
    ),
    (
        "/api/v0/ipfs/pubsub/pub: body not json",
        Some((&[], Some(422))),
        MENDED,
    ),
    (
        "/api/v0/p2p/pubsub/pub: body not json",
        Some((&[], Some(422))),
        MENDED,
    ),
    ("estimate: empty", Some((&[], Some(422))), MENDED),
    ("estimate: {}", Some((&[], Some(422))), MENDED),
    ("estimate: POST type", Some((&[], Some(422))), MENDED),
    ("estimate: POST content", Some((&[], Some(422))), MENDED),
    (
        "estimate/instance invalid",
        Some((&["*"], None)),
        "the text is a library's",
    ),
    (
        "/api/v0/storage/add_json: abc",
        Some((&[], Some(422))),
        MENDED,
    ),
    ("/api/v0/ipfs/add_json: abc", Some((&[], Some(422))), MENDED),
    ("add_car invalid header", Some((&[], Some(422))), MENDED),
    (
        "add_car ok",
        Some((&[], Some(422))),
        "the archive has a root and no block: the recording's daemon was a stub, a real one refuses it too",
    ),
];

/// What is said where the status is another one, by beginnings of names.
const TEXTS: &[(&str, &str)] = &[
    ("messages: time null", "InvalidMessageFormat"),
    (
        "/api/v0/ipfs/pubsub/pub: data object",
        "InvalidMessageFormat",
    ),
    (
        "/api/v0/p2p/pubsub/pub: data object",
        "InvalidMessageFormat",
    ),
    (
        "/api/v0/ipfs/pubsub/pub: body not json",
        "422: Unprocessable Entity",
    ),
    (
        "/api/v0/p2p/pubsub/pub: body not json",
        "422: Unprocessable Entity",
    ),
    ("estimate: empty", "InvalidMessageFormat"),
    ("estimate: {}", "InvalidMessageFormat"),
    ("estimate: POST type", "InvalidMessageFormat"),
    (
        "estimate: POST content",
        "Messages of type POST cost nothing",
    ),
    (
        "/api/v0/storage/add_json: abc",
        "422: the body must be JSON",
    ),
    ("/api/v0/ipfs/add_json: abc", "422: the body must be JSON"),
    (
        "add_car invalid header",
        "422: Invalid CAR file: malformed DAG-CBOR header: no map",
    ),
    (
        "add_car ok",
        "422: Invalid CAR file: the block bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi is missing",
    ),
];

/// The text of an answer whose status is not the recorded one.
pub fn text_instead(name: &str) -> &'static str {
    let found = TEXTS.iter().find(|(start, _)| name.starts_with(start));
    found.map_or("", |(_, text)| text)
}

const MENDED: &str = "core-api.md §15 no. 16: 422 instead of 500";

/// Templates of reads of other states that differ, what differs, why.
const STATES: &[(&str, &[&str], Option<u16>, &str)] = &[(
    "/api/v0/addresses/{a0}/files?file_hash={file1}",
    &["/total_size", "/pagination_total"],
    None,
    "the recorded states were written into the database by hand, which left both files pinned",
)];

pub fn of_state(entry: &Value) -> Expectation {
    let template = entry["template"].as_str().unwrap();
    match STATES.iter().find(|(exact, ..)| template == *exact) {
        Some((_, ignored, status, reason)) => But {
            ignored,
            status: *status,
            reason,
        },
        None => Same,
    }
}

pub fn named_templates() -> impl Iterator<Item = &'static str> {
    LATER
        .iter()
        .map(|(template, _)| *template)
        .chain(DIFFERENT.iter().map(|(template, ..)| *template))
}

pub fn of_get(entry: &Value) -> Expectation {
    let template = entry["template"].as_str().unwrap();
    if let Some((_, reason)) = LATER.iter().find(|(start, _)| template.starts_with(start)) {
        return Later(reason);
    }
    match DIFFERENT.iter().find(|(exact, ..)| template == *exact) {
        Some((_, ignored, status, reason)) => But {
            ignored,
            status: *status,
            reason,
        },
        None => Same,
    }
}

pub fn of_post(entry: &Value) -> Expectation {
    let name = entry["name"].as_str().unwrap();
    match POSTS.iter().find(|(start, ..)| name.starts_with(start)) {
        Some((_, Some((ignored, status)), reason)) => But {
            ignored,
            status: *status,
            reason,
        },
        Some((_, None, reason)) => Later(reason),
        None => Same,
    }
}
