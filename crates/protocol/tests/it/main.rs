//! The crate against recorded verdicts of the network.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accounts;
mod archives;
mod cids;
mod content_cases;
mod effort;
mod prices;
mod signatures;

/// A conformance vector, by its path below `vectors/`.
fn vector(path: &str) -> serde_json::Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../vectors")
        .join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}
