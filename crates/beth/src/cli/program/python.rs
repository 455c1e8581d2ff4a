//! A glance at Python code with the Python of this machine, if it has one.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::cli::failure::Failure;

/// Longest glance.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Parses one file and runs nothing of it. An interpreter older than that of
/// the nodes says nothing, because it would refuse new syntax.
const SCRIPT: &str = "
import ast, sys
if sys.version_info < (3, 11):
    sys.exit(0)
try:
    ast.parse(open(sys.argv[1], 'rb').read(), sys.argv[1])
except (SyntaxError, ValueError) as fault:
    line = getattr(fault, 'lineno', None)
    print((f'line {line}: ' if line else '') + (getattr(fault, 'msg', None) or str(fault)))
    sys.exit(3)
";

/// Tells a syntax error of a file before anything is uploaded. Without Python,
/// or when it does not answer, the compute node will find it.
pub async fn check_syntax(file: &Path) -> Result<(), Failure> {
    let run = tokio::process::Command::new("python3")
        .args(["-I", "-c", SCRIPT])
        .arg(file)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let Ok(Ok(output)) = tokio::time::timeout(TIMEOUT, run).await else {
        return Ok(());
    };
    if output.status.code() != Some(3) {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stdout);
    Err(Failure::new(format!(
        "syntax error in {}, {}: correct it and deploy again",
        file.display(),
        words.trim()
    )))
}

/// What to do about a program's own error, where we know it.
pub fn advice(error: &str, traceback: &str) -> Option<String> {
    let text = format!("{error}\n{traceback}");
    let missing = text.split("No module named '").nth(1)?.split('\'').next()?;
    let package = missing.split('.').next()?;
    Some(format!(
        "put the package into the folder (pip install --target DIR {package}) or remove the import, then deploy again"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn syntax_errors_are_told_where_python_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("main.py");
        std::fs::write(&file, "app = 1\n").unwrap();
        assert!(check_syntax(&file).await.is_ok());
        std::fs::write(&file, "x = 1\ndef app(:\n").unwrap();
        if let Err(failure) = check_syntax(&file).await {
            assert!(failure.sentence.contains("line 2"), "{}", failure.sentence);
        }
    }

    #[test]
    fn a_missing_package_has_a_remedy() {
        let advice = advice(
            "failed",
            "ModuleNotFoundError: No module named 'numpy.linalg'",
        )
        .unwrap();
        assert!(
            advice.contains("pip install --target DIR numpy)"),
            "{advice}"
        );
        assert_eq!(super::advice("ValueError: x", ""), None);
    }
}
