//! KVM or emulation: decided by running guest code, not by looking for a file.
//!
//! ```text
//! /dev/kvm opens? ─no─▶ emulation
//!        │yes
//!        ▼
//! answer kept for this boot? ─yes─▶ it
//!        │no
//!        ▼
//! self-test in a child process, 1 s ─usable─▶ KVM
//!        └── slow, broken, stuck, killed ───▶ emulation
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::kvm;
use crate::config::Acceleration;

const SELF_TEST_VERB: &str = "kvm-self-test";
const SELF_TEST_DEADLINE: Duration = Duration::from_secs(1);
/// Where KVM is.
pub(super) const DEVICE: &str = "/dev/kvm";
const UNUSABLE: &str = "KVM is not usable";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// How machines run on this node, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// True for KVM, false for emulation (TCG).
    pub kvm: bool,
    /// One sentence.
    pub reason: String,
}

/// Decides. The error says why machines cannot run as the operator wants.
pub(crate) async fn choose(wanted: Acceleration, probe: Probe<'_>) -> Result<Choice, String> {
    if wanted == Acceleration::Tcg {
        return Ok(Choice {
            kvm: false,
            reason: "the configuration says so".to_owned(),
        });
    }
    let tested = probe.test().await;
    match (tested.kvm, wanted) {
        (false, Acceleration::Kvm) => Err(format!(
            "the configuration demands KVM, but {}; set acceleration to auto",
            tested.reason
        )),
        _ => Ok(tested),
    }
}

/// Where the self-test is and where its answer is kept.
pub(crate) struct Probe<'a> {
    /// A program that understands `kvm-self-test`; `None`: this one.
    pub(crate) program: Option<&'a Path>,
    /// A folder of the node.
    pub(crate) folder: &'a Path,
}

impl Probe<'_> {
    async fn test(&self) -> Choice {
        let no = |reason: String| Choice { kvm: false, reason };
        if let Err(error) = fs::File::options().read(true).write(true).open(DEVICE) {
            return no(format!("{DEVICE} cannot be opened: {error}"));
        }
        if let Some(known) = self.recall() {
            return known;
        }
        let program = match self.program {
            Some(program) => program.to_owned(),
            None => match std::env::current_exe() {
                Ok(program) => program,
                Err(error) => return no(format!("the KVM self-test cannot be found: {error}")),
            },
        };
        let choice = run(&program).await;
        if choice.kvm || choice.reason.starts_with(UNUSABLE) {
            self.remember(&choice);
        }
        choice
    }

    fn file(&self) -> PathBuf {
        self.folder.join("kvm-self-test")
    }

    /// Three lines: boot id, answer, reason.
    fn recall(&self) -> Option<Choice> {
        let text = fs::read_to_string(self.file()).ok()?;
        let mut lines = text.lines();
        let boot = fs::read_to_string(BOOT_ID).ok()?;
        if lines.next() != Some(boot.trim()) {
            return None;
        }
        let kvm = match lines.next()? {
            "kvm" => true,
            "tcg" => false,
            _ => return None,
        };
        Some(Choice {
            kvm,
            reason: lines.next()?.to_owned(),
        })
    }

    fn remember(&self, choice: &Choice) {
        let Ok(boot) = fs::read_to_string(BOOT_ID) else {
            return;
        };
        let answer = if choice.kvm { "kvm" } else { "tcg" };
        let text = format!("{}\n{answer}\n{}\n", boot.trim(), choice.reason);
        if let Err(error) = fs::write(self.file(), text) {
            tracing::warn!("the answer of the KVM self-test was not kept: {error}");
        }
    }
}

async fn run(program: &Path) -> Choice {
    let no = |reason: String| Choice { kvm: false, reason };
    let mut command = Command::new(program);
    command
        .arg(SELF_TEST_VERB)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = match tokio::time::timeout(SELF_TEST_DEADLINE, command.output()).await {
        Err(_) => return no("the KVM self-test was stuck".to_owned()),
        Ok(Err(error)) => return no(format!("the KVM self-test did not start: {error}")),
        Ok(Ok(output)) => output,
    };
    let said = String::from_utf8_lossy(&output.stdout)
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    match output.status.code() {
        Some(kvm::USABLE) if said.starts_with(kvm::USABLE_LINE) => Choice {
            kvm: true,
            reason: "the self-test ran guest code on KVM".to_owned(),
        },
        Some(kvm::ABSENT | kvm::REFUSED | kvm::TOO_SLOW | kvm::BROKEN) => {
            no(format!("{UNUSABLE}: {said}"))
        }
        _ => no(format!("the KVM self-test ended with {}", output.status)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Another process writes it: a child that some other test starts meanwhile
    /// would inherit a descriptor of ours, and what is being written cannot be
    /// executed.
    fn script(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("probe");
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$2" && chmod 755 "$2""#;
        let written = std::process::Command::new("sh")
            .args(["-c", write, "sh", text])
            .arg(&path)
            .status();
        assert!(written.unwrap().success());
        path
    }

    #[tokio::test]
    async fn only_the_whole_answer_means_kvm() {
        let folder = tempfile::tempdir().unwrap();
        for (text, expected) in [
            (
                format!("echo '{} in 3ms'; exit 0", kvm::USABLE_LINE),
                (true, "ran guest code"),
            ),
            (
                "echo running 0 tests; exit 0".to_owned(),
                (false, "ended with"),
            ),
            (
                "echo the guest ran 0.2 million loops; exit 12".to_owned(),
                (false, "0.2 million"),
            ),
            ("kill -9 $$".to_owned(), (false, "ended with")),
            ("exec sleep 60".to_owned(), (false, "stuck")),
        ] {
            let choice = run(&script(folder.path(), &text)).await;
            assert_eq!(choice.kvm, expected.0, "{text}");
            assert!(choice.reason.contains(expected.1), "{}", choice.reason);
        }
    }

    #[test]
    fn an_answer_is_kept_for_this_boot_only() {
        let folder = tempfile::tempdir().unwrap();
        let probe = Probe {
            program: None,
            folder: folder.path(),
        };
        assert_eq!(probe.recall(), None);
        let choice = Choice {
            kvm: false,
            reason: "too slow".to_owned(),
        };
        probe.remember(&choice);
        assert_eq!(probe.recall(), Some(choice));
        fs::write(probe.file(), "another boot\nkvm\nold\n").unwrap();
        assert_eq!(probe.recall(), None);
    }

    #[tokio::test]
    async fn the_operator_may_decide() {
        let folder = tempfile::tempdir().unwrap();
        let probe = Probe {
            program: Some(Path::new("/does/not/exist")),
            folder: folder.path(),
        };
        assert!(!choose(Acceleration::Tcg, probe).await.unwrap().kvm);
        let probe = Probe {
            program: Some(Path::new("/does/not/exist")),
            folder: folder.path(),
        };
        let refused = choose(Acceleration::Kvm, probe).await.unwrap_err();
        assert!(refused.contains("demands KVM"), "{refused}");
    }
}
