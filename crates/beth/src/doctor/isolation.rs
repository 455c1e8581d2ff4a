//! What keeps machines from each other and from this computer.

use beth_crn::jail;

use super::Check;

/// Tries every layer.
pub(super) fn look() -> Vec<Check> {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            let found = format!("no temporary folder: {error}");
            return vec![Check::missing(
                "isolation",
                found,
                "make /tmp writable, or set TMPDIR",
            )];
        }
    };
    match jail::capabilities(folder.path()) {
        Ok(layers) => layers.into_iter().map(check).collect(),
        Err(error) => vec![Check::missing("isolation", "unknown", error.to_string())],
    }
}

fn check(layer: jail::Layer) -> Check {
    match layer.state {
        Ok(how) => Check::ok(layer.name, format!("{how} (protects {})", layer.protects)),
        Err(advice) => Check::missing(
            layer.name,
            format!("not protected: {}", layer.protects),
            advice,
        ),
    }
}
