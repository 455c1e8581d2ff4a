//! The house style, as far as a machine can check it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Lines after which a file must have a reason, named here.
const FILE_LINES_MAX: usize = 520;
const LONG_FILES: &[(&str, &str)] = &[];

/// Layer of each crate; arrows point to smaller numbers only.
const LAYERS: &[(&str, u8)] = &[
    ("beth-protocol", 0),
    ("beth-guest", 0),
    ("beth-store", 1),
    ("beth-network", 1),
    ("beth-http", 1),
    ("beth-sdk", 1),
    ("beth-ccn", 2),
    ("beth-crn", 2),
    ("beth-scheduler", 2),
    ("beth", 3),
];

const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "0BSD",
    "Unlicense",
    "MIT-0",
    "BSL-1.0",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["crates", "tests"] {
        walk(&root().join(folder), &mut found);
    }
    assert!(found.len() > 100, "the tree has moved");
    found
}

fn walk(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path
                .strip_prefix(root())
                .unwrap()
                .to_string_lossy()
                .into_owned();
            found.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn dependencies_point_down() {
    let layers: BTreeMap<&str, u8> = LAYERS.iter().copied().collect();
    for package in metadata()["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if !package["source"].is_null() {
            continue;
        }
        let layer = *layers
            .get(name)
            .unwrap_or_else(|| panic!("{name} has no layer: add it here and to ARCHITECTURE.md"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let other = dependency["name"].as_str().unwrap();
            let is_ours = dependency["source"].is_null() && dependency["kind"].is_null();
            if let (true, Some(&below)) = (is_ours, layers.get(other)) {
                assert!(
                    below < layer,
                    "{name} (layer {layer}) must not depend on {other} (layer {below})"
                );
            }
        }
    }
}

#[test]
fn licences_are_free() {
    // The tree that is built, not everything that the lock file could build.
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--workspace",
            "--locked",
            "--offline",
            "--prefix",
            "none",
            "--format",
            "{p}|{l}",
        ])
        .args([
            "--edges",
            "normal,build",
            "--target",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let mut count = 0;
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (package, licence) = line.trim_end_matches(" (*)").split_once('|').unwrap();
        let licence = licence.trim_end_matches(" (*)").replace('/', " OR ");
        let fits = licence.split(" OR ").any(|choice| {
            choice
                .split(" AND ")
                .all(|part| LICENCES.contains(&part.trim_matches(['(', ')', ' '])))
        });
        assert!(fits, "{package}: licence '{licence}'");
        count += 1;
    }
    assert!(count > 100, "no dependencies were listed");
}

#[test]
fn each_thing_has_one_place() {
    let rules: &[(&str, &[&str])] = &[
        ("libp2p::", &["crates/network/"]),
        ("rusqlite", &["crates/store/"]),
        (
            "wasmtime::",
            &[
                "crates/crn/src/wasm",
                "crates/crn/examples",
                "crates/crn/tests",
            ],
        ),
        (
            "std::env::var",
            &[
                "crates/beth/",
                "crates/guest/",
                "tests/",
                "crates/ccn/build.rs",
                "crates/crn/build.rs",
                "crates/crn/src/microvm",
                // Where programs are: the path.
                "crates/crn/src/lan/host.rs",
                "crates/crn/src/jail",
                "crates/crn/tests",
                "crates/crn/examples",
                // How many histories, and from which seed.
                "crates/store/tests/it/convergence.rs",
            ],
        ),
    ];
    for (name, text) in sources() {
        for (word, places) in rules {
            let allowed =
                places.iter().any(|place| name.starts_with(place)) || name == "tests/tidy.rs";
            assert!(
                allowed || !text.contains(word),
                "{name} must not name {word}"
            );
        }
    }
}

#[test]
fn files_are_nouns_of_moderate_size() {
    for (name, text) in sources() {
        let lines = text.lines().count();
        let excused = LONG_FILES.iter().any(|(file, _)| *file == name);
        assert!(
            lines <= FILE_LINES_MAX || excused,
            "{name} has {lines} lines: split it or say why in tests/tidy.rs"
        );
        assert!(!name.ends_with("/mod.rs"), "{name}: use foo.rs + foo/");
    }
}

#[test]
fn every_file_begins_with_what_it_is() {
    for (name, text) in sources() {
        assert!(
            text.starts_with("//!"),
            "{name} has no head: say in prose what it is"
        );
    }
}

#[test]
fn every_vector_is_read() {
    let mut sources: String = sources().into_iter().map(|(_, text)| text).collect();
    for entry in std::fs::read_dir(root().join("tests/clients")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "py") {
            sources.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
    let mut folders = vec![root().join("vectors")];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_read = name == "README.md" || sources.contains(&name);
            assert!(is_read, "{}: no test reads it", path.display());
            count += 1;
        }
    }
    assert!(count > 10, "the vectors have moved");
}

/// Pages that name tests, and how many they name at least.
const NAMING_TESTS: &[(&str, usize)] = &[("docs/faults.md", 80), ("vectors/README.md", 30)];

/// Names of tests in a page: `module::test` between backquotes, in a table.
fn tests_named_in(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let spans = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    let is_path = |span: &&str| {
        span.contains("::")
            && span
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || "_:".contains(letter))
    };
    spans.filter(is_path).map(str::to_owned).collect()
}

/// Whether a source defines a test at the end of the modules of its name.
fn defines(name: &str, text: &str, test: &str) -> bool {
    let (modules, function) = test.rsplit_once("::").unwrap();
    let file = name.trim_end_matches(".rs").trim_end_matches("/tests");
    let place = format!(
        "/{}",
        modules.trim_end_matches("::tests").replace("::", "/")
    );
    file.ends_with(&place)
        && text
            .split("#[test]")
            .skip(1)
            .chain(text.split("#[tokio::test").skip(1))
            .any(|rest| {
                let head = rest.split('{').next().unwrap_or_default();
                head.contains(&format!("fn {function}("))
            })
}

#[test]
fn tests_named_in_the_docs_exist() {
    let sources = sources();
    for (page, least) in NAMING_TESTS {
        let names = tests_named_in(page);
        assert!(names.len() >= *least, "{page} names {} tests", names.len());
        for test in names {
            let exists = sources
                .iter()
                .any(|(name, text)| defines(name, text, &test));
            assert!(exists, "{page}: there is no test {test}");
        }
    }
}

#[test]
fn every_vector_of_compute_nodes_is_listed() {
    let list = std::fs::read_to_string(root().join("vectors/README.md")).unwrap();
    for entry in std::fs::read_dir(root().join("vectors/crn")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(
            list.contains(&format!("| `{name}` |")),
            "vectors/README.md does not say which test reads crn/{name}"
        );
    }
}

#[test]
fn banned_names() {
    let banned = ["Manager", "Helper", "Util", "Impl"];
    for (name, text) in sources() {
        for line in text.lines().filter(|line| {
            line.trim_start().starts_with("pub struct") || line.trim_start().starts_with("pub enum")
        }) {
            assert!(
                !banned.iter().any(|word| line.contains(word)),
                "{name}: {line}"
            );
        }
        // In tests `get_…` may mean the HTTP method.
        // The names of what components import are not ours.
        let is_product =
            name.contains("/src/") && !name.starts_with("crates/crn/src/wasm/factors/");
        assert!(
            !is_product || !text.contains("fn get_"),
            "{name}: getters are named after what they return"
        );
    }
}
