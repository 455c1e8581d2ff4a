//! Real sockets against the server: the slow, the many, and the end.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use beth_http::{Bounds, Counts, Least, Networks, Peer, Server, Stats};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_millis(150);
const LATE: Duration = Duration::from_secs(20);
const GET: &[u8] = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";

struct Running {
    address: SocketAddr,
    stats: Arc<Stats>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
    /// `/wait` is answered when this is notified.
    go: Arc<Notify>,
    /// Notified when `/wait` was asked.
    asked: Arc<Notify>,
}

impl Running {
    async fn start(configure: impl FnOnce(&mut Bounds)) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut bounds = Bounds::default();
        configure(&mut bounds);
        let (stats, cancel) = (Arc::new(Stats::default()), CancellationToken::new());
        let (go, asked) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (wake, ask) = (go.clone(), asked.clone());
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let (wake, ask) = (wake.clone(), ask.clone());
            async move {
                assert!(request.extensions().get::<Peer>().is_some());
                let body = match request.uri().path() {
                    "/panic" => panic!("as asked"),
                    "/wait" => {
                        ask.notify_one();
                        wake.notified().await;
                        Bytes::from_static(b"late")
                    }
                    "/much" => Bytes::from(vec![b'x'; 64 << 20]),
                    _ => Bytes::from_static(b"hello"),
                };
                Ok::<_, Infallible>(Response::new(Full::new(body)))
            }
        });
        let server = Server {
            listener,
            service,
            bounds,
            stats: stats.clone(),
        };
        let task = tokio::spawn(server.run(cancel.clone()));
        Running {
            address,
            stats,
            cancel,
            task,
            go,
            asked,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn until(&self, reached: impl Fn(Counts) -> bool) {
        let waiting = async {
            while !reached(self.stats.counts()) {
                tokio::task::yield_now().await;
            }
        };
        let done = timeout(LATE, waiting).await;
        assert!(done.is_ok(), "only {:?}", self.stats.counts());
    }
}

/// Sends and reads until the server has sent `end` or closed.
async fn ask(stream: &mut TcpStream, request: &[u8], end: &str) -> String {
    stream.write_all(request).await.unwrap();
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&text).contains(end) {
        let read = timeout(LATE, stream.read(&mut piece))
            .await
            .expect("the server is silent");
        match read {
            Ok(0) | Err(_) => break,
            Ok(bytes) => text.extend_from_slice(&piece[..bytes]),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_many_requests() {
    let server = Running::start(|_| {}).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        let answer = ask(&mut stream, GET, "hello").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
    assert_eq!(server.stats.counts().accepted, 1);
    // A long head is taken, a longer one is not.
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(40_000));
    assert!(
        ask(&mut stream, long.as_bytes(), "hello")
            .await
            .contains("200 OK")
    );
    let longer = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n",
        "x".repeat(80_000)
    );
    let answer = ask(&mut stream, longer.as_bytes(), "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_a_head_too_slowly_is_cut() {
    let server = Running::start(|bounds| bounds.head_timeout = SOON).await;
    let mut silent = server.connect().await;
    assert_eq!(ask(&mut silent, b"", "never").await, "");
    let mut slow = server.connect().await;
    assert_eq!(ask(&mut slow, b"GET / HTTP/1.1\r\nHo", "never").await, "");
    // Also after a first request that was quick.
    let mut later = server.connect().await;
    let answer = ask(&mut later, GET, "hello").await;
    assert!(answer.contains("200 OK"));
    assert_eq!(ask(&mut later, b"GET ", "never").await, "");
    server
        .until(|counts| counts.cut_head == 3 && counts.open == 0)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed() {
    let server = Running::start(|bounds| bounds.idle_timeout = SOON).await;
    let mut stream = server.connect().await;
    let answer = ask(&mut stream, GET, "never").await;
    assert!(answer.ends_with("hello"), "{answer}");
    server
        .until(|counts| counts.open == 0 && counts.cut_head == 0)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_cut() {
    let server = Running::start(|bounds| bounds.write_timeout = SOON).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    server
        .until(|counts| counts.cut_write == 1 && counts.open == 0)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_in_drops_is_cut() {
    let least = |bytes_per_second| Least {
        window: Duration::from_millis(20),
        bytes_per_second,
    };
    for (rate, is_cut) in [(u64::MAX, true), (1, false)] {
        let server = Running::start(|bounds| bounds.least = least(rate)).await;
        let mut stream = server.connect().await;
        let request = b"GET /much HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let (mut taken, mut drop) = (0, vec![0; 64 << 10]);
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        while let Ok(bytes @ 1..) = timeout(LATE, stream.read(&mut drop)).await.unwrap() {
            taken += bytes;
            tick.tick().await;
        }
        assert_eq!(server.stats.counts().cut_write, u64::from(is_cut));
        assert_eq!(taken < 64 << 20, is_cut, "{taken}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_too_many_is_told_so() {
    let server = Running::start(|bounds| bounds.connections_max = 2).await;
    let (mut first, _second) = (server.connect().await, server.connect().await);
    server.until(|counts| counts.open == 2).await;
    let mut third = server.connect().await;
    let answer = ask(&mut third, GET, "later").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("Retry-After: 5"), "{answer}");
    assert!(ask(&mut first, GET, "hello").await.contains("200 OK"));
    assert_eq!(server.stats.counts().refused_full, 1);
    drop(first);
    server.until(|counts| counts.open == 1).await;
    assert!(
        ask(&mut server.connect().await, GET, "hello")
            .await
            .contains("200 OK")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_this_machine_count_in_the_whole_alone() {
    let server = Running::start(|bounds| {
        bounds.client_connections_max = 1;
        bounds.trusted_proxies = Networks::parse(&["192.0.2.1"]).unwrap();
    })
    .await;
    let mut many = vec![server.connect().await, server.connect().await];
    for stream in &mut many {
        assert!(ask(stream, GET, "hello").await.contains("200 OK"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_its_connection_alone() {
    let server = Running::start(|_| {}).await;
    let mut stream = server.connect().await;
    let answer = ask(
        &mut stream,
        b"GET /panic HTTP/1.1\r\nHost: x\r\n\r\n",
        "never",
    )
    .await;
    assert_eq!(answer, "");
    assert!(
        ask(&mut server.connect().await, GET, "hello")
            .await
            .contains("200 OK")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_answered_before_the_end() {
    let server = Running::start(|bounds| bounds.drain_timeout = LATE).await;
    let mut idle = server.connect().await;
    assert!(ask(&mut idle, GET, "hello").await.contains("200 OK"));
    let mut waiting = server.connect().await;
    waiting
        .write_all(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    server.asked.notified().await;
    server.cancel.cancel();
    // The idle one is closed at once.
    assert_eq!(ask(&mut idle, b"", "never").await, "");
    server.go.notify_one();
    assert!(ask(&mut waiting, b"", "never").await.ends_with("late"));
    timeout(LATE, server.task).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_is_cut() {
    let server = Running::start(|bounds| bounds.drain_timeout = SOON).await;
    let mut waiting = server.connect().await;
    waiting
        .write_all(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    server.asked.notified().await;
    server.cancel.cancel();
    timeout(LATE, server.task).await.unwrap().unwrap();
    assert_eq!(ask(&mut waiting, b"", "never").await, "");
}
