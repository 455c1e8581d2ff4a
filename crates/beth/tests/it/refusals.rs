//! What goes wrong before anything works: sentences and exit codes.

use tokio::net::TcpListener;

use crate::beth::beth;

const HASH: &str = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[tokio::test]
async fn every_verb_says_when_no_node_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("main.py"), "app = 1").unwrap();
    let (root, file) = (
        folder.path().display().to_string(),
        folder.path().join("main.py").display().to_string(),
    );
    for line in [
        format!("program deploy {root}"),
        format!("program call {HASH}"),
        "post create --type t --content {}".to_owned(),
        "post list".to_owned(),
        "aggregate set key {}".to_owned(),
        "aggregate get key".to_owned(),
        format!("file put {file}"),
        format!("file get {HASH}"),
        format!("message get {HASH}"),
        "message watch".to_owned(),
        "account show".to_owned(),
    ] {
        let mut arguments = words(&line);
        arguments.extend(["--json", "--node", &url]);
        let run = beth(&arguments).await;
        assert_eq!(run.code, 1, "{line}: {}", run.stderr);
        let sentence = run.object()["error"].as_str().unwrap().to_owned();
        assert!(
            sentence.contains(&url) && sentence.contains("make up"),
            "{line}: {sentence}"
        );
        assert_eq!(run.stdout.lines().count(), 1, "{line}");
    }
}

#[tokio::test]
async fn wrong_usage_is_exit_code_2() {
    for (line, part) in [
        ("message get abc", "not an item hash"),
        ("post create --type t --content {a", "--content is no JSON"),
        ("post create --type amend --content {}", "--ref HASH"),
        ("aggregate set key []", "is a JSON object"),
        ("account show --node 127.0.0.1:4024", "is no node address"),
        (
            "account show --key 123",
            "neither a private key nor an existing file",
        ),
        ("account show --node https://api.example.org", "pass --key"),
        ("program deploy . --memory 0", "--memory"),
        ("file put /nowhere/at/all", "cannot read"),
        ("message watch --type NOTE", "one of POST"),
        ("nonsense", "unrecognized"),
    ] {
        let run = beth(&words(line)).await;
        assert_eq!(run.code, 2, "{line}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{line}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{line}");
    }
}

#[tokio::test]
async fn a_folder_without_a_program_is_refused_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    for (arguments, part) in [
        (
            vec!["program", "deploy", "/nowhere/at/all"],
            "there is no folder",
        ),
        (vec!["program", "deploy", root], "holds no program"),
        (
            vec!["program", "deploy", root, "--entrypoint", "main:app"],
            "no module `main`",
        ),
    ] {
        let run = beth(&arguments).await;
        assert_eq!(run.code, 1, "{}", run.stderr);
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
}
