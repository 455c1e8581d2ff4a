//! What is in a folder: a Wasm function or a Python program.
//!
//! ```text
//!  --entrypoint x.wasm | function.wat | function.wasm | the only *.wat, *.wasm ─▶ Wasm
//!  --entrypoint m:a    | main.py | app.py ──────────────────────────────────────▶ Python
//!  --entrypoint file (any other) ───────────────────────────────────────────────▶ Binary
//! ```
//!
//! Nothing of the program is run here. What a glance can find (a missing file,
//! a core module in place of a component) is told before anything is uploaded.

use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;

/// What a folder holds.
#[derive(Debug)]
pub enum Source {
    /// A component, assembled.
    Wasm {
        /// Its bytes.
        component: Vec<u8>,
        /// The file it came from.
        file: PathBuf,
    },
    /// A folder with a Python ASGI application.
    Python {
        /// The module's file.
        file: PathBuf,
        /// `module:attribute`.
        entrypoint: String,
    },
    /// A folder with a program that serves HTTP on port 8080.
    Binary {
        /// Its file, relative to the folder.
        entrypoint: String,
    },
}

/// The first bytes of a WebAssembly file, and what follows them in a component.
const MAGIC: &[u8] = b"\0asm";
const COMPONENT: &[u8] = &[0x0d, 0, 1, 0];
/// Part of the name under which every function is exported.
const HANDLER: &[u8] = b"wasi:http/";

/// Looks at a folder.
pub fn detect(folder: &Path, entrypoint: Option<&str>) -> Result<Source, Failure> {
    let shown = folder.display();
    match std::fs::metadata(folder) {
        Err(error) => {
            return Err(Failure::new(format!(
                "there is no folder {shown} ({error}): check the path"
            )));
        }
        Ok(metadata) if !metadata.is_dir() => {
            return Err(Failure::new(format!(
                "{shown} is a file: name the folder that holds the program"
            )));
        }
        Ok(_) => {}
    }
    match entrypoint {
        Some(name) if is_wasm(Path::new(name)) => wasm(folder.join(name)),
        Some(name) if name.contains(':') => python(folder, name),
        Some(name) if folder.join(name).is_file() => Ok(Source::Binary {
            entrypoint: name.to_owned(),
        }),
        Some(name) => Err(Failure::new(format!(
            "there is no file {name} in {shown}: name it with --entrypoint, for Python as module:attribute"
        ))),
        None => guess(folder),
    }
}

fn guess(folder: &Path) -> Result<Source, Failure> {
    for name in ["function.wat", "function.wasm"] {
        if folder.join(name).is_file() {
            return wasm(folder.join(name));
        }
    }
    for module in ["main", "app"] {
        if folder.join(format!("{module}.py")).is_file() {
            return python(folder, &format!("{module}:app"));
        }
    }
    let mut found = wasm_files(folder)?;
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => wasm(only),
        (Some(_), false) => Err(Failure::new(format!(
            "{} holds several Wasm files: choose one with --entrypoint FILE",
            folder.display()
        ))),
        (None, _) => Err(Failure::new(format!(
            "{} holds no program: a Python program needs main.py with an ASGI application `app` (or --entrypoint module:attribute), a Wasm function needs function.wat or function.wasm",
            folder.display()
        ))),
    }
}

fn wasm_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::new(format!(
            "cannot read {}: {error}; check its permissions",
            folder.display()
        ))
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if is_wasm(&path) && path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

fn is_wasm(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "wasm" || extension == "wat")
}

fn wasm(file: PathBuf) -> Result<Source, Failure> {
    let shown = file.display();
    if !file.is_file() {
        return Err(Failure::new(format!(
            "there is no file {shown}: check --entrypoint"
        )));
    }
    let component = wat::parse_file(&file).map_err(|error| {
        Failure::new(format!(
            "{shown} is no WebAssembly:\n{error}\ncorrect it and deploy again"
        ))
    })?;
    if !component.starts_with(MAGIC) || component.get(4..8) != Some(COMPONENT) {
        return Err(Failure::new(format!(
            "{shown} is a core module, not a component: make one with `wasm-tools component new`, or build for wasm32-wasip2"
        )));
    }
    if !component
        .windows(HANDLER.len())
        .any(|window| window == HANDLER)
    {
        return Err(Failure::new(format!(
            "{shown} does not answer HTTP requests: a function exports `wasi:http/incoming-handler`"
        )));
    }
    Ok(Source::Wasm { component, file })
}

fn python(folder: &Path, entrypoint: &str) -> Result<Source, Failure> {
    let shown = folder.display();
    let (module, attribute) = entrypoint.split_once(':').unwrap_or((entrypoint, "app"));
    let parts: Vec<&str> = module.split('.').collect();
    let word =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !module.split('.').all(word) || !attribute.split('.').all(word) {
        return Err(Failure::usage(format!(
            "`{entrypoint}` is no entrypoint: write module:attribute, e.g. main:app for `app` in main.py"
        )));
    }
    let base: PathBuf = parts
        .iter()
        .fold(folder.to_owned(), |path, part| path.join(part));
    let candidates = [base.with_extension("py"), base.join("__init__.py")];
    let Some(file) = candidates.iter().find(|path| path.is_file()) else {
        return Err(Failure::new(format!(
            "{shown} has no module `{module}` ({}.py): add it, or name another with --entrypoint module:attribute",
            parts.join("/")
        )));
    };
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::new(format!(
            "cannot read {}: {error}; Python files are UTF-8 text",
            file.display()
        ))
    })?;
    let first = attribute.split('.').next().unwrap_or(attribute);
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    // `from x import *` may bring any name.
    if !text.split(|c| !is_part(c)).any(|word| word == first) && !text.contains("import *") {
        return Err(Failure::new(format!(
            "{} never mentions `{first}`: name the ASGI application with --entrypoint module:attribute",
            file.display()
        )));
    }
    Ok(Source::Python {
        file: file.clone(),
        entrypoint: entrypoint.to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TINY: &str = "(component (component $c) (instance $i (instantiate $c)) (export \"wasi:http/incoming-handler@0.2.0\" (instance $i)))";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn kinds() {
        let kind = |files: &[(&str, &str)], entrypoint: Option<&str>| {
            let folder = folder(files);
            match detect(folder.path(), entrypoint).unwrap() {
                Source::Wasm { .. } => "wasm".to_owned(),
                Source::Python { entrypoint, .. } | Source::Binary { entrypoint } => entrypoint,
            }
        };
        let app = "app = 1";
        assert_eq!(kind(&[("function.wat", TINY)], None), "wasm");
        assert_eq!(kind(&[("other.wat", TINY)], None), "wasm");
        assert_eq!(
            kind(&[("main.py", app), ("data.wasm", "")], None),
            "main:app"
        );
        assert_eq!(kind(&[("app.py", app)], None), "app:app");
        assert_eq!(kind(&[("a/b.py", "x = 1")], Some("a.b:x")), "a.b:x");
        assert_eq!(
            kind(&[("pkg/__init__.py", "def make(): pass")], Some("pkg:make")),
            "pkg:make"
        );
        assert_eq!(
            kind(&[("main.py", "from other import *")], None),
            "main:app"
        );
        assert_eq!(kind(&[("run.sh", "")], Some("run.sh")), "run.sh");
    }

    #[test]
    fn every_fault_has_its_sentence() {
        for (files, entrypoint, part) in [
            (&[][..], None, "holds no program"),
            (
                &[("main.py", "application = 1")],
                None,
                "never mentions `app`",
            ),
            (
                &[("main.py", "app = 1")],
                Some("other:app"),
                "no module `other`",
            ),
            (&[("main.py", "app = 1")], Some("main.py"), ""),
            (
                &[("main.py", "app = 1")],
                Some("gone.sh"),
                "no file gone.sh",
            ),
            (
                &[("main.py", "app = 1")],
                Some("../main:app"),
                "no entrypoint",
            ),
            (&[("function.wat", "(component")], None, "is no WebAssembly"),
            (&[("function.wat", "(module)")], None, "core module"),
            (
                &[("function.wat", "(component)")],
                None,
                "does not answer HTTP",
            ),
            (
                &[("a.wat", TINY), ("b.wat", TINY)],
                None,
                "several Wasm files",
            ),
        ] {
            let folder = folder(files);
            match detect(folder.path(), entrypoint) {
                Err(failure) => assert!(
                    !part.is_empty() && failure.sentence.contains(part),
                    "{}",
                    failure.sentence
                ),
                Ok(source) => assert!(part.is_empty(), "{source:?}"),
            }
        }
        assert!(
            detect(Path::new("/nowhere/at/all"), None)
                .unwrap_err()
                .sentence
                .contains("no folder")
        );
    }
}
