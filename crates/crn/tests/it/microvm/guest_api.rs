//! What programs in machines get from their node on `/tmp/socat-socket`.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::IntoResponse;
use beth_crn::core_node::CoreNode;
use beth_crn::executor::Machine;
use beth_crn::guest_api::GuestApi;
use beth_protocol::{ItemHash, Message};
use serde_json::{Value, json};

use super::fixture::{Fixture, call, run, send};

/// Passes each body to the node's socket as it is, and the answer back.
const PASSING: &str = r#"
import asyncio, http.client, os, socket

class Node(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["ALEPH_API_UNIX_SOCKET"])

# The API is there before the program is.
node = Node("localhost")
node.request("PUT", "/cache/imported", b"while importing")
assert node.getresponse().read() == b"true"

async def app(scope, receive, send):
    assert scope["type"] == "http"
    reader, writer = await asyncio.open_unix_connection("/tmp/socat-socket")
    async def ask():
        more = True
        while more:
            event = await receive()
            more = event.get("more_body", False)
            writer.write(event["body"])
            await writer.drain()
        writer.write_eof()
    async def hear():
        return await reader.read()
    asking = asyncio.ensure_future(ask())
    answer = await hear()
    asking.cancel()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": answer})
"#;

/// What the core node was asked.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// A core node that repeats what it is asked.
async fn core() -> (CoreNode, Asked) {
    async fn repeat(State(asked): State<Asked>, request: Request) -> impl IntoResponse {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let line = format!("{} {}", head.method, head.uri);
        asked.lock().unwrap().push((line.clone(), body));
        let large = "/api/v0/large";
        match (head.method, head.uri.path()) {
            (Method::GET, path) if path == large => "x".repeat(5 << 20),
            _ => line,
        }
    }
    let asked = Asked::default();
    let router = Router::new().fallback(repeat).with_state(asked.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (CoreNode::new(&url).unwrap(), asked)
}

fn passing(api: &GuestApi) -> Fixture {
    let mut fixture = Fixture::zip("main:app", &[("main.py", PASSING)]);
    fixture.config.guest_api = Some(api.clone());
    fixture
}

/// Status and body of the answer to these bytes.
async fn ask_raw(machine: &dyn Machine, bytes: &[u8]) -> (u16, String) {
    let mut call = call("POST", "/");
    call.body = bytes.to_vec().into();
    let answer = send(machine, call).await.unwrap();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").expect(&text);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

async fn ask(machine: &dyn Machine, line: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
    ask_raw(machine, format!("{head}{body}").as_bytes()).await
}

fn done(text: &str) -> (u16, String) {
    (200, text.to_owned())
}

#[test]
fn clones_share_a_cache_that_no_other_program_sees() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (core, _) = core().await;
        let api = GuestApi::open(folder.path(), core.clone()).unwrap();
        let fixture = passing(&api);
        let executor = fixture.executor();
        let one = fixture.start_on(&executor).await.unwrap();
        let two = fixture.start_on(&executor).await.unwrap();
        assert_eq!(ask(&*one, "PUT /cache/colour", "blue").await, done("true"));
        assert_eq!(ask(&*two, "GET /cache/colour", "").await, done("blue"));
        assert_eq!(ask(&*two, "PUT /cache/empty", "").await, done("true"));
        assert_eq!(ask(&*one, "GET /cache/empty", "").await, done(""));
        let keys = r#"["colour","empty","imported"]"#;
        assert_eq!(ask(&*one, "GET /cache/", "").await, done(keys));
        let some = ask(&*one, "GET /cache/?pattern=%2Ap*", "").await;
        assert_eq!(some, done(r#"["empty","imported"]"#));
        assert_eq!(ask(&*two, "DELETE /cache/colour", "").await, done("1"));
        assert_eq!(ask(&*two, "DELETE /cache/colour", "").await, done("0"));
        let missing = (404, "No such key in cache".to_owned());
        assert_eq!(ask(&*one, "GET /cache/colour", "").await, missing);

        let mut other = passing(&api);
        other.program.item_hash = ItemHash::of_bytes(b"another program");
        let other = other.start().await.unwrap();
        assert_eq!(
            ask(&*other, "GET /cache/", "").await,
            done(r#"["imported"]"#)
        );
        assert_eq!(ask(&*other, "GET /cache/empty", "").await, missing);
        ask(&*other, "DELETE /cache/imported", "").await;

        // It outlives the machines and the node.
        drop((one, two, executor));
        let mut fixture = fixture;
        fixture.config.guest_api = Some(GuestApi::open(folder.path(), core).unwrap());
        let again = fixture.start().await.unwrap();
        let kept = ask(&*again, "GET /cache/imported", "").await;
        assert_eq!(kept, done("while importing"));
    });
}

#[test]
fn a_program_signs_and_publishes_in_its_own_name_and_reads_the_network() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (core, asked) = core().await;
        let api = GuestApi::open(folder.path(), core).unwrap();
        let fixture = passing(&api);
        let machine = fixture.start().await.unwrap();
        let (status, properties) = ask(&*machine, "GET /properties", "").await;
        let properties: Value = serde_json::from_str(&properties).unwrap();
        assert_eq!((status, &properties["chain"]), (200, &json!("ETH")));
        let address = properties["address"].as_str().unwrap();

        let name = fixture.program.item_hash.as_str();
        let content = |owner: &str| {
            let content = json!({"address": owner, "time": 1.0}).to_string();
            json!({"type": "POST", "item_hash": "ab".repeat(32), "item_content": content})
        };
        let (status, signed) = ask(&*machine, "POST /sign", &content(name).to_string()).await;
        let signed: Value = serde_json::from_str(&signed).unwrap();
        assert_eq!((status, signed["sender"].as_str()), (200, Some(address)));
        let (status, text) = ask(&*machine, "POST /sign", &content("0x1").to_string()).await;
        assert_eq!(status, 400, "{text}");

        let post = json!({"address": "anybody", "time": 1.0, "type": "note", "content": {"n": 1}});
        let data = json!({"type": "POST", "channel": "TEST", "item_content": post.to_string()});
        let body = json!({"topic": "ALEPH-QUEUE", "data": data.to_string()}).to_string();
        let (status, text) = ask(&*machine, "POST /api/v0/ipfs/pubsub/pub", &body).await;
        assert_eq!(status, 200, "{text}");
        let (line, sent) = asked.lock().unwrap().pop().unwrap();
        assert_eq!(line, "POST /api/v0/messages");
        let message = Message::parse(&sent["message"]).unwrap();
        let content = message.inline_content().unwrap().unwrap();
        assert_eq!(
            content.typed.address(),
            address,
            "its own, whatever it asked for"
        );
        beth_protocol::signature::verify(&message).unwrap();

        let read = ask(&*machine, "GET /api/v0/aggregates/0x1.json?keys=a%20b", "").await;
        assert_eq!(read, done("GET /api/v0/aggregates/0x1.json?keys=a%20b"));
        assert_eq!(ask(&*machine, "HEAD /api/v0/x", "").await, done(""));
        let (status, text) = ask(&*machine, "GET /api/v0/large", "").await;
        assert!(status == 502 && text.contains("too long"), "{text}");
        let (status, text) = ask(&*machine, "GET /about/config", "").await;
        assert!(status == 404 && text.contains("no such route"), "{text}");
        let (status, _) = ask(&*machine, "GET /api/%2e%2e/metrics", "").await;
        assert_eq!(status, 400);
    });
}

#[test]
fn nonsense_is_answered_with_what_is_wrong() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (core, _) = core().await;
        let api = GuestApi::open(folder.path(), core).unwrap();
        let machine = passing(&api).start().await.unwrap();
        let long_head = format!("GET /{} HTTP/1.1\r\n", "a".repeat(100_000));
        for (bytes, status, reason) in [
            (&b"\x00\xff garbage"[..], 400, "broke off"),
            (b"garbage\r\n\r\n", 400, "request line"),
            (
                b"PUT /cache/a HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n",
                413,
                "1 MiB",
            ),
            (
                b"PUT /cache/a HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                400,
                "content-length",
            ),
            (
                b"PUT /cache/a HTTP/1.1\r\nContent-Length: 9\r\n\r\nshort",
                400,
                "broke off",
            ),
            (
                b"PUT /cache/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                411,
                "content-length",
            ),
            (long_head.as_bytes(), 431, "too long"),
            (b"PUT /cache/../secret HTTP/1.1\r\n\r\n", 400, "Invalid key"),
            (b"POST /cache/a HTTP/1.1\r\n\r\n", 405, "PUT"),
            (b"POST /sign HTTP/1.1\r\n\r\n", 400, "JSON"),
            (b"POST /api/v0/p2p/pubsub/pub HTTP/1.1\r\n\r\n", 400, "JSON"),
        ] {
            let (answered, text) = ask_raw(&*machine, bytes).await;
            let what = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
            assert_eq!(answered, status, "{what}: {text}");
            assert!(text.contains(reason), "{what}: {text}");
        }
        let whole = "x".repeat(1 << 20);
        let (status, text) = ask(&*machine, "PUT /cache/largest", &whole).await;
        assert_eq!(status, 200, "{text}");
        let (_, kept) = ask(&*machine, "GET /cache/largest", "").await;
        assert_eq!(kept.len(), whole.len());
    });
}
