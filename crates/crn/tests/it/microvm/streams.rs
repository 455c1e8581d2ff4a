//! Bodies in pieces, both ways, and guests that make bad use of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use beth_crn::body::{Body, BodyFault};
use beth_crn::executor::{Call, Fault, Machine};
use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::sync::OnceCell;

use super::fixture::{Fixture, call, get, get_json, run, until};

const PROGRAM: &str = r#"
import asyncio, json, sys
go = asyncio.Event()

def start(*headers):
    return {"type": "http.response.start", "status": 200, "headers": headers}

def body(data, more=False):
    return {"type": "http.response.body", "body": data, "more_body": more}

async def app(scope, receive, send):
    assert scope["type"] == "http"
    path, amount = scope["path"], int(scope["query_string"] or 0)
    if path == "/echo":
        await send(start())
        more = True
        while more:
            event = await receive()
            more = event.get("more_body", False)
            await send(body(event["body"], more))
    elif path == "/count":
        total, more = 0, True
        while more:
            event = await receive()
            total, more = total + len(event["body"]), event["more_body"]
        await send(start())
        await send(body(json.dumps(total).encode()))
    elif path == "/send":
        await send(start())
        piece = bytes(1 << 20)
        for _ in range(amount):
            await send(body(piece, True))
        await send(body(b""))
    elif path == "/endless":
        await send(start())
        try:
            while True:
                await send(body(b"x" * 1000, True))
        finally:
            print("given up", flush=True)
    elif path == "/events":
        await send(start([b"content-type", b"text/event-stream"]))
        await send(body(b"data: 1\n\n", True))
        await go.wait()
        await send(body(b"data: 2\n\n", True))
        await send(body(b""))
    elif path == "/go":
        go.set()
        await send(start())
        await send(body(b"gone"))
    elif path == "/half":
        await send(start())
        await send(body(b"half", True))
        raise ValueError("no more")
    elif path == "/headers":
        await send(start(*([b"x-long", b"y" * 1000] for _ in range(amount))))
        await send(body(b""))
    elif path == "/print":
        for number in range(amount):
            print("line", number)
        await send(start())
        await send(body(b"printed"))
    elif path == "/ignore":
        await send(start())
        await send(body(b"not read"))
    elif path == "/die":
        await send(start())
        await send(body(b"last words", True))
        import os
        os._exit(3)
"#;

static MACHINE: OnceCell<(Fixture, Box<dyn Machine>)> = OnceCell::const_new();

fn fixture() -> Fixture {
    Fixture::new("plain", "program:app", PROGRAM.as_bytes())
}

async fn machine() -> &'static dyn Machine {
    let boot = || async {
        let fixture = fixture();
        let machine = fixture.start().await.unwrap();
        (fixture, machine)
    };
    &*MACHINE.get_or_init(boot).await.1
}

fn post(path: &str, body: Body) -> Call {
    let mut call = call("POST", path);
    call.body = body;
    call
}

/// Pieces of 100 kB; `taken` counts them.
fn pieces(count: u64, taken: Arc<AtomicU64>) -> Body {
    let piece = Bytes::from(vec![7; 100_000]);
    let pieces = stream::iter(0..count).map(move |_| {
        taken.fetch_add(1, Ordering::Relaxed);
        Ok(piece.clone())
    });
    Body::stream(pieces, None)
}

fn resident_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib >> 10
}

#[test]
fn two_hundred_megabytes_pass_both_ways_in_bounded_memory() {
    run(async {
        let machine = machine().await;
        let before = resident_mib();
        let (done, peak) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let watch = tokio::spawn({
            let (done, peak) = (done.clone(), peak.clone());
            async move {
                while !done.load(Ordering::Relaxed) {
                    peak.fetch_max(resident_mib(), Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
        let taken = Arc::new(AtomicU64::new(0));
        let answer = machine.call(post("/echo", pieces(2000, taken))).await;
        let (mut body, mut bytes) = (answer.unwrap().body, 0);
        while let Some(piece) = body.next().await {
            bytes += piece.unwrap().len();
        }
        assert_eq!(bytes, 200_000_000);
        done.store(true, Ordering::Relaxed);
        watch.await.unwrap();
        let grown = peak.load(Ordering::Relaxed).saturating_sub(before);
        // Other tests run beside this one.
        assert!(grown < 100, "{grown} MiB");
    });
}

#[test]
fn a_reader_that_stops_halts_the_program_and_nobody_else() {
    run(async {
        let machine = machine().await;
        let taken = Arc::new(AtomicU64::new(0));
        let answer = machine
            .call(post("/echo", pieces(1000, taken.clone())))
            .await;
        let mut body = answer.unwrap().body;
        body.next().await.unwrap().unwrap();
        let sent = machine.call(call("GET", "/send?200")).await.unwrap();
        // Others are answered, again and again, while these two are not read.
        let mut counted = 0;
        for _ in 0..5 {
            let two = post("/count", pieces(20, Arc::default()));
            let text = machine.call(two).await.unwrap().body.collect(100).await;
            counted += text.unwrap().len();
        }
        assert_eq!(counted, 5 * "2000000".len());
        let before = taken.load(Ordering::Relaxed);
        assert!(before < 50, "{before} pieces of 100 kB were taken ahead");
        drop(sent);
        let mut bytes = 0;
        while let Some(piece) = body.next().await {
            bytes += piece.unwrap().len();
        }
        assert!(bytes > 99_000_000);
    });
}

#[test]
fn events_arrive_when_they_are_sent() {
    run(async {
        let machine = machine().await;
        let answer = machine.call(call("GET", "/events")).await.unwrap();
        let mut body = answer.body;
        assert_eq!(body.next().await.unwrap().unwrap(), "data: 1\n\n");
        // The second comes because of this.
        assert_eq!(get(machine, "/go").await.unwrap().body, "gone");
        assert_eq!(body.next().await.unwrap().unwrap(), "data: 2\n\n");
        assert!(body.next().await.is_none());
    });
}

#[test]
fn endless_answers_end_with_their_reader() {
    run(async {
        let machine = machine().await;
        let mut body = machine.call(call("GET", "/endless")).await.unwrap().body;
        for _ in 0..500 {
            body.next().await.unwrap().unwrap();
        }
        drop(body);
        until(|| machine.logs().contains(&"given up".to_owned())).await;
    });
}

#[test]
fn an_answer_that_breaks_off_says_so() {
    run(async {
        let machine = machine().await;
        let mut body = machine.call(call("GET", "/half")).await.unwrap().body;
        assert_eq!(body.next().await.unwrap().unwrap(), "half");
        let fault = body.next().await.unwrap().unwrap_err();
        assert_eq!(fault, BodyFault::Broken("ValueError: no more".into()));
        until(|| machine.logs().iter().any(|line| line.contains("no more"))).await;
    });
}

#[test]
fn requests_that_break_off_end_their_call() {
    run(async {
        let machine = machine().await;
        let gone = Err(BodyFault::Broken("the client has gone".into()));
        let first = Ok(Bytes::from(vec![1; 100_000]));
        let body = Body::stream(stream::iter([first, gone]), None);
        match machine.call(post("/count", body)).await {
            Err(Fault::Raised { traceback }) => assert!(traceback.contains("has gone")),
            other => panic!("{other:?}"),
        }
        let unread = post("/ignore", pieces(1000, Arc::default()));
        let answer = machine.call(unread).await.unwrap();
        assert_eq!(answer.body.collect(100).await.unwrap(), "not read");
        assert_eq!(get_json(machine, "/count").await, 0);
    });
}

#[test]
fn many_headers_and_many_lines_of_output_harm_nobody() {
    run(async {
        let machine = machine().await;
        assert_eq!(
            get(machine, "/headers?200").await.unwrap().headers.len(),
            200
        );
        assert_eq!(get(machine, "/print?20000").await.unwrap().body, "printed");
        until(|| machine.logs().contains(&"line 19999".to_owned())).await;
        assert!(machine.logs().len() <= beth_crn::limits::LOG_LINES_MAX + 1);
        assert_eq!(get_json(machine, "/count").await, 0);
    });
}

#[test]
fn headers_without_end_and_death_in_the_middle_are_faults() {
    run(async {
        let fixture = fixture();
        let machine = fixture.start().await.unwrap();
        let mut body = machine.call(call("GET", "/die")).await.unwrap().body;
        assert_eq!(body.next().await.unwrap().unwrap(), "last words");
        let fault = body.next().await.unwrap().unwrap_err();
        assert_eq!(fault, BodyFault::Broken("the machine ended".into()));
        assert!(matches!(
            get(&*machine, "/count").await,
            Err(Fault::Died(_))
        ));
        assert!(!machine.is_alive());

        let machine = fixture.start().await.unwrap();
        match get(&*machine, "/headers?9000").await {
            Err(Fault::Died(why)) => assert!(why.contains("at most"), "{why}"),
            other => panic!("{:?}", other.map(|answer| answer.status)),
        }
        until(|| !machine.is_alive()).await;
    });
}
