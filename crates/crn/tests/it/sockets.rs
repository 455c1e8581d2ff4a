//! WebSockets, events and streams of programs in microVMs, through the node's
//! own HTTP side.

use std::sync::Arc;

use beth_crn::api::label_of;
use beth_crn::executor::{Executor, Fault, Machine, Phases, Program};
use beth_protocol::ItemHash;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, SinkExt, StreamExt};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::fake::{FakeCore, TestNode, read, within};
use crate::microvm::fixture::{Fixture, run};

const PROGRAM: &str = r#"
import asyncio
go = asyncio.Event()
seen = []

async def http(scope, receive, send):
    if scope["path"] == "/go":
        go.set()
    if scope["path"] == "/count":
        total, more = 0, True
        while more:
            event = await receive()
            total, more = total + len(event["body"]), event["more_body"]
        seen.append(total)
    kind = b"text/event-stream" if scope["path"] == "/events" else b"text/plain"
    await send({"type": "http.response.start", "status": 200, "headers": [[b"content-type", kind]]})
    if scope["path"] == "/events":
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await go.wait()
        await send({"type": "http.response.body", "body": b"data: 2\n\n", "more_body": True})
        await send({"type": "http.response.body"})
    else:
        await send({"type": "http.response.body", "body": repr(seen).encode()})

async def websocket(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    if scope["path"] == "/refuse":
        return await send({"type": "websocket.close"})
    if scope["path"] == "/deny":
        await send({"type": "websocket.http.response.start", "status": 401, "headers": [[b"x-why", b"no token"]]})
        return await send({"type": "websocket.http.response.body", "body": b"denied"})
    chosen = scope["subprotocols"][-1] if scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": chosen, "headers": [[b"x-colour", b"green"]]})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return seen.append((event["code"], event["reason"]))
        if event["text"] == "close":
            return await send({"type": "websocket.close", "code": 4007, "reason": "as you wish"})
        if event["text"] == "fail":
            raise ValueError("failed")
        if event["text"] is not None:
            await send({"type": "websocket.send", "text": scope["path"] + " " + event["text"]})
        else:
            await send({"type": "websocket.send", "bytes": event["bytes"][::-1]})

async def app(scope, receive, send):
    if scope["type"] == "http":
        await http(scope, receive, send)
    elif scope["type"] == "websocket":
        await websocket(scope, receive, send)
    elif scope["type"] == "aleph.message":
        seen.append((await receive())["body"])
        await send({"type": "aleph.message", "body": b"noted"})
    else:
        assert False
"#;

/// Runs one program, whatever is asked for.
struct One(Fixture);

impl Executor for One {
    fn name(&self) -> &'static str {
        "microvm"
    }

    fn prepare<'a>(&'a self, _: &'a Program, _: Phases) -> BoxFuture<'a, Result<(), Fault>> {
        futures::future::ready(Ok(())).boxed()
    }

    fn start<'a>(
        &'a self,
        _: Arc<Program>,
        phases: Phases,
    ) -> BoxFuture<'a, Result<Box<dyn Machine>, Fault>> {
        async move {
            let program = Arc::new(self.0.program.clone());
            self.0.executor().start(program, phases).await
        }
        .boxed()
    }
}

struct Ground {
    _core: FakeCore,
    node: TestNode,
    program: ItemHash,
}

static GROUND: OnceCell<Ground> = OnceCell::const_new();

async fn ground() -> &'static Ground {
    let make = || async {
        let core = FakeCore::start().await;
        let one = One(Fixture::new("plain", "program:app", PROGRAM.as_bytes()));
        let node = TestNode::start_with(&core, Some(Arc::new(one)), |config| {
            config.program_body_mib = 3;
            config.ready_timeout_seconds = 120;
        })
        .await;
        let code = core.store(Bytes::from_static(PROGRAM.as_bytes()));
        let changes = json!({"/code/entrypoint": "program:app", "/code/interface": "asgi"});
        let program = core.wasm_program(&code, changes);
        Ground {
            _core: core,
            node,
            program,
        }
    };
    GROUND.get_or_init(make).await
}

impl Ground {
    /// By path if `host` is empty.
    async fn connect(
        &self,
        host: &str,
        path: &str,
        subprotocols: &str,
    ) -> Result<(WebSocketStream<TcpStream>, Vec<(String, String)>), Error> {
        let address = self.node.url.trim_start_matches("http://");
        let url = match host {
            "" => format!("ws://{address}/vm/{}{path}", self.program),
            _ => format!("ws://{host}{path}"),
        };
        let mut request = url.into_client_request().unwrap();
        if !subprotocols.is_empty() {
            let name = "sec-websocket-protocol";
            request
                .headers_mut()
                .insert(name, subprotocols.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, response) = within(client_async(request, stream)).await?;
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        Ok((socket, headers.collect()))
    }

    async fn seen(&self) -> String {
        self.node.call(&self.program, "/seen").await.1
    }
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Message {
    within(socket.next()).await.unwrap().unwrap()
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

#[test]
fn messages_pass_both_ways_by_path_and_by_host_name() {
    run(async {
        let ground = ground().await;
        let host = format!("{}.localhost", label_of(&ground.program).unwrap());
        for host in ["", &host] {
            let (mut socket, headers) = ground.connect(host, "/chat", "a, b").await.unwrap();
            assert_eq!(header(&headers, "sec-websocket-protocol"), Some("b"));
            assert_eq!(header(&headers, "x-colour"), Some("green"));
            let named = header(&headers, "aleph-program-itemhash");
            assert_eq!(named, Some(ground.program.as_str()));
            socket.send(Message::text("hé")).await.unwrap();
            assert_eq!(next(&mut socket).await, Message::text("/chat hé"));
            socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
            assert_eq!(next(&mut socket).await, Message::binary(vec![3, 2, 1]));
            socket
                .send(Message::Ping(Bytes::from_static(b"?")))
                .await
                .unwrap();
            assert_eq!(
                next(&mut socket).await,
                Message::Pong(Bytes::from_static(b"?"))
            );
            let large = vec![5; 900_000];
            for _ in 0..3 {
                socket.send(Message::binary(large.clone())).await.unwrap();
            }
            for _ in 0..3 {
                assert_eq!(next(&mut socket).await.into_data().len(), large.len());
            }
        }
    });
}

#[test]
fn closes_carry_their_codes_both_ways() {
    run(async {
        let ground = ground().await;
        let close = |code: u16, reason: &str| {
            Message::Close(Some(CloseFrame {
                code: code.into(),
                reason: reason.into(),
            }))
        };
        let (mut socket, _) = ground.connect("", "/", "").await.unwrap();
        socket.send(Message::text("close")).await.unwrap();
        assert_eq!(next(&mut socket).await, close(4007, "as you wish"));

        let (mut socket, _) = ground.connect("", "/", "").await.unwrap();
        socket.send(Message::text("fail")).await.unwrap();
        assert_eq!(next(&mut socket).await, close(1011, "the program failed"));

        let (mut socket, _) = ground.connect("", "/", "").await.unwrap();
        socket.send(close(4321, "enough")).await.unwrap();
        within(async {
            while !ground.seen().await.contains("(4321, 'enough')") {
                tokio::task::yield_now().await;
            }
        })
        .await;

        let (socket, _) = ground.connect("", "/", "").await.unwrap();
        drop(socket);
        within(async {
            while !ground.seen().await.contains("(1006, '')") {
                tokio::task::yield_now().await;
            }
        })
        .await;
    });
}

#[test]
fn refusals_are_answers() {
    run(async {
        let ground = ground().await;
        for (path, status, body) in [("/refuse", 403, ""), ("/deny", 401, "denied")] {
            match ground.connect("", path, "").await {
                Err(Error::Http(response)) => {
                    assert_eq!(response.status().as_u16(), status);
                    let said = response.body().clone().unwrap_or_default();
                    assert_eq!(String::from_utf8_lossy(&said), body);
                }
                other => panic!("{path}: {:?}", other.map(|(_, headers)| headers)),
            }
        }
    });
}

#[test]
fn events_and_large_requests_pass_the_node_in_pieces() {
    run(async {
        let ground = ground().await;
        let mut events = ground
            .node
            .get(&format!("/vm/{}/events", ground.program))
            .await;
        assert_eq!(
            within(events.chunk()).await.unwrap().unwrap(),
            "data: 1\n\n"
        );
        assert_eq!(ground.node.call(&ground.program, "/go").await.0, 200);
        assert_eq!(
            within(events.chunk()).await.unwrap().unwrap(),
            "data: 2\n\n"
        );
        assert!(within(events.chunk()).await.unwrap().is_none());

        let url = format!("{}/vm/{}/count", ground.node.url, ground.program);
        let post = |pieces: usize| {
            let pieces = (0..pieces).map(|_| Ok::<_, std::io::Error>(vec![1u8; 100_000]));
            let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
            ground.node.client.post(&url).body(body).send()
        };
        let (status, text) = read(within(post(25)).await.unwrap()).await;
        assert!(status == 200 && text.contains("2500000"), "{text}");
        // A client that is refused in the middle may see the connection end instead.
        if let Ok(answer) = within(post(40)).await {
            let (status, text) = read(answer).await;
            assert_eq!(status, 413, "{text}");
            assert!(text.contains("Maximum request body size 3145728"), "{text}");
        }
    });
}
