//! Other encodings and interfaces, data and volumes.

use std::io::Write;

use beth_protocol::content::machine::{EphemeralVolume, Volume};

use super::fixture::{Fixture, file, get, get_json, run, send};

const FILES: &str = r#"
import json, os

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    names = {folder: sorted(os.listdir(folder)) for folder in ("/data", "/mnt/volume", "/opt/code", "/scratch")}
    names["helper"] = __import__("helper").WORD
    try:
        open("/mnt/volume/new", "w")
    except OSError as error:
        names["error"] = error.strerror
    open("/scratch/new", "w").write("fine")
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": json.dumps(names).encode()})
"#;

const SERVER: &str = r#"#!/usr/bin/python3
import http.server

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = f"{self.path} {self.headers['x-colour']} {len(body)}".encode()
        self.send_response(201)
        self.send_header("transfer-encoding", "chunked")
        self.send_header("x-answer", "yes")
        self.end_headers()
        for byte in answer:
            self.wfile.write(b"1\r\n" + bytes([byte]) + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

http.server.HTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"#;

#[test]
fn squashfs_code_finds_its_data_and_volumes() {
    let (code, packages) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let image = Fixture::squash(code.path(), &[("main.py", FILES)]);
    let mut fixture = Fixture::new("squashfs", "main:app", &std::fs::read(image).unwrap());
    let volume = Fixture::squash(
        packages.path(),
        &[("helper.py", "WORD = 'from the volume'")],
    );
    let mut archive =
        zip::ZipWriter::new(std::fs::File::create(fixture.folder.path().join("data")).unwrap());
    archive
        .start_file("table.csv", zip::write::SimpleFileOptions::default())
        .unwrap();
    archive.write_all(b"1,2,3").unwrap();
    archive.finish().unwrap();
    fixture.program.data = Some(file(&fixture.folder.path().join("data")));
    let mut content = serde_json::to_value(&fixture.program.content).unwrap();
    let reference = content["code"]["ref"].clone();
    content["data"] = serde_json::json!({"encoding": "zip", "mount": "/data", "ref": reference});
    fixture.program.content = serde_json::from_value(content).unwrap();
    let scratch = EphemeralVolume {
        comment: None,
        mount: Some("/scratch".to_owned()),
        ephemeral: true,
        size_mib: 4,
    };
    fixture.program.content.volumes = vec![Volume::Ephemeral(scratch)];
    let fixture = fixture
        .volume(&volume, "/opt/packages")
        .volume(&volume, "/mnt/volume");
    run(async {
        let machine = fixture.start().await.unwrap();
        let seen = get_json(&*machine, "/").await;
        let expected = serde_json::json!({
            "/data": ["table.csv"], "/mnt/volume": ["helper.py"], "/opt/code": ["main.py"], "/scratch": [],
            "helper": "from the volume", "error": "Read-only file system",
        });
        assert_eq!(seen, expected);
    });
}

#[test]
fn plain_code_is_one_module() {
    let fixture = Fixture::new("plain", "app", super::fixture::SMALL.as_bytes());
    let mut fixture = fixture;
    fixture.program.content.code.interface = serde_json::from_value("asgi".into()).unwrap();
    run(async {
        let machine = fixture.start().await.unwrap();
        assert_eq!(get(&*machine, "/").await.unwrap().body, "small");
    });
}

#[test]
fn an_executable_answers_through_its_port() {
    let fixture = Fixture::zip("serve", &[("serve", SERVER)]);
    run(async {
        let machine = fixture.start().await.unwrap();
        let mut call = super::fixture::call("POST", "/a path?b=c%20d");
        call.body = vec![0; 100_000].into();
        call.headers.push((b"x-colour".to_vec(), b"red".to_vec()));
        let length = (b"content-length".to_vec(), b"100000".to_vec());
        call.headers.push(length);
        let answer = send(&*machine, call).await.unwrap();
        assert_eq!(
            (answer.status, &answer.body[..]),
            (201, &b"/a%20path?b=c%20d red 100000"[..])
        );
        assert!(
            answer
                .headers
                .contains(&(b"x-answer".to_vec(), b"yes".to_vec()))
        );
        assert!(
            answer
                .headers
                .iter()
                .all(|(name, _)| name != b"transfer-encoding")
        );
    });
}
