//! The small verbs, as they answer when all is well.

use beth_protocol::ItemHash;
use serde_json::json;

use crate::beth::beth;
use crate::network::{Behaviour, FILE, Network};

#[tokio::test]
async fn a_file_goes_to_standard_output_a_place_or_json() {
    let network = Network::start(Behaviour::default()).await;
    let hash = ItemHash::of_bytes(FILE);
    let get = ["file", "get", hash.as_str(), "--node", &network.url];
    assert_eq!(beth(&get).await.stdout.as_bytes(), FILE);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let run = beth(&[&get[..], &["-o", path.to_str().unwrap(), "--json"]].concat()).await;
    assert_eq!(std::fs::read(&path).unwrap(), FILE);
    assert_eq!(
        (&run.object()["size_bytes"], &run.object()["file_hash"]),
        (&json!(6), &json!(hash.as_str()))
    );

    let run = beth(&[&get[..], &["--json"]].concat()).await;
    assert_eq!(run.object()["content"], "hello\n");

    let other = ItemHash::of_bytes(b"other");
    let run = beth(&[
        "file",
        "get",
        other.as_str(),
        "--node",
        &network.url,
        "-o",
        path.to_str().unwrap(),
    ])
    .await;
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("damaged or lies"), "{}", run.stderr);
    assert_eq!(
        std::fs::read(&path).unwrap(),
        FILE,
        "a wrong file must not replace a good one"
    );
}

#[tokio::test]
async fn a_call_shows_what_the_program_says() {
    let network = Network::start(Behaviour::default()).await;
    let hash = ItemHash::of_bytes(b"program");
    let call = |more: &'static [&str]| {
        let arguments = [
            &[
                "program",
                "call",
                hash.as_str(),
                "--compute-node",
                network.url.as_str(),
            ],
            more,
        ]
        .concat();
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        async move { beth(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    assert_eq!(call(&[]).await.stdout, format!("GET /vm/{hash}/\n"));
    assert_eq!(
        call(&["a?b=c", "--data", "x"]).await.stdout,
        format!("POST /vm/{hash}/a?b=c\n")
    );
    let run = call(&["/", "--method", "delete", "--json"]).await;
    assert_eq!((run.code, &run.object()["status"]), (0, &json!(200)));
    assert_eq!(run.object()["body"], format!("DELETE /vm/{hash}/"));
    let run = call(&["/gone", "--json"]).await;
    assert_eq!((run.code, &run.object()["status"]), (1, &json!(404)));
    assert!(
        run.stderr.contains("the program answered 404 to /gone"),
        "{}",
        run.stderr
    );
}

#[tokio::test]
async fn what_is_published_is_named() {
    let network = Network::start(Behaviour::default()).await;
    for line in ["post create --type t --content {}", "aggregate set key {}"] {
        let mut arguments: Vec<&str> = line.split_whitespace().collect();
        arguments.extend(["--node", &network.url, "--json"]);
        let run = beth(&arguments).await;
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(
            run.object()["item_hash"],
            network.messages().pop().unwrap().item_hash.as_str()
        );
    }
    let hash = network.messages().pop().unwrap().item_hash;
    let run = beth(&["message", "get", hash.as_str(), "--node", &network.url]).await;
    let kind = run.stdout.lines().find(|line| line.starts_with("type"));
    assert_eq!(kind.unwrap().split_whitespace().last(), Some("AGGREGATE"));
}
