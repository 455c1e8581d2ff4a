//! Runs the program.

use std::process::Stdio;

use serde_json::Value;

/// What a run left behind.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The last line of standard output as an object.
    pub fn object(&self) -> Value {
        let last = self.stdout.lines().last().unwrap_or_default();
        let value: Value = serde_json::from_str(last)
            .unwrap_or_else(|error| panic!("{error}: {last:?}\n{}", self.stderr));
        assert!(value.is_object(), "{last}");
        value
    }
}

/// Runs `beth` with these arguments and nothing of this machine's settings.
pub async fn beth(arguments: &[&str]) -> Run {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_beth"))
        .args(arguments)
        .env_remove("BETH_NODE")
        .env_remove("BETH_CHAIN")
        .env_remove("BETH_KEY")
        .env_remove("BETH_SCHEDULER")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    Run {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
