//! What a healthy FastAPI machine does. One machine for all of these.

use std::sync::Arc;

use beth_crn::executor::{Executor, Fault, Machine, Phases};
use serde_json::json;
use tokio::sync::OnceCell;

use super::fixture::{Fixture, call, get, get_json, run, send, until};

const EXAMPLE: &str = include_str!("../../../../../examples/fastapi/main.py");
const MORE: &str = r#"
import asyncio, os, socket, sys
from fastapi import HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from main import app

print("loading")
present, everybody = 0, asyncio.Event()

@app.on_event("startup")
async def startup():
    print("starting", file=sys.stderr)

@app.get("/meet")
async def meet(people: int):
    global present
    present += 1
    if present == people:
        everybody.set()
    await everybody.wait()
    return present

@app.get("/never")
async def never():
    try:
        await asyncio.Event().wait()
    finally:
        print("given up")

@app.get("/teapot")
async def teapot():
    raise HTTPException(500, "no tea")

@app.get("/stream")
async def stream():
    async def parts():
        for number in range(5):
            yield f"part {number};"
            await asyncio.sleep(0)
    return StreamingResponse(parts(), media_type="text/plain")

@app.get("/cookies")
async def cookies(response: Response):
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return {}

@app.get("/large")
async def large(size: int):
    return Response(os.urandom(1) * size, media_type="application/octet-stream")

@app.get("/where")
async def where(request: Request):
    names = ["ALEPH_INIT_VERSION", "ALEPH_ADDRESS_TO_USE", "COLOUR"]
    return {"host": socket.gethostname(), "url": str(request.url), **{name: os.environ[name] for name in names}}
"#;

static PHASES: OnceCell<Phases> = OnceCell::const_new();
static MACHINE: OnceCell<(Fixture, Box<dyn Machine>)> = OnceCell::const_new();

async fn machine() -> &'static dyn Machine {
    let boot = || async {
        let fixture =
            Fixture::zip("more:app", &[("main.py", EXAMPLE), ("more.py", MORE)]).seconds(5);
        let phases = PHASES
            .get_or_init(|| async { Phases::default() })
            .await
            .clone();
        let machine = fixture
            .executor()
            .start(Arc::new(fixture.program.clone()), phases)
            .await
            .unwrap();
        (fixture, machine)
    };
    &*MACHINE.get_or_init(boot).await.1
}

#[test]
fn the_example_answers() {
    run(async {
        let machine = machine().await;
        assert_eq!(
            get_json(machine, "/").await["message"],
            "Hello from a microVM"
        );
        assert_eq!(
            get_json(machine, "/items/1?shout=true").await,
            json!({"item_id": "1", "name": "HOUSE"})
        );
        let absent = get(machine, "/items/9").await.unwrap();
        assert_eq!(absent.status, 404);
        assert!(String::from_utf8_lossy(&absent.body).contains("there is no item 9"));
        assert!(machine.is_alive());
    });
}

#[test]
fn a_body_and_headers_arrive() {
    run(async {
        let mut echo = call("POST", "/echo");
        let text = "ünïcode ".repeat(50_000);
        echo.body = text.clone().into_bytes().into();
        echo.headers.push((b"x-colour".to_vec(), b"blue".to_vec()));
        let answer = send(machine().await, echo).await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["body"], text);
        assert_eq!(answer["headers"]["x-colour"], "blue");
    });
}

#[test]
fn calls_run_side_by_side() {
    run(async {
        let machine = machine().await;
        let calls = (0..40).map(|_| get(machine, "/meet?people=40"));
        for answer in futures::future::join_all(calls).await {
            assert_eq!(answer.unwrap().body, "40");
        }
    });
}

#[test]
fn errors_of_the_program_are_passed_on_or_traced() {
    run(async {
        let machine = machine().await;
        let refused = get(machine, "/teapot").await.unwrap();
        assert_eq!(
            (refused.status, &refused.body[..]),
            (500, &br#"{"detail":"no tea"}"#[..])
        );
        match get(machine, "/crash").await {
            Err(Fault::Raised { traceback }) => {
                assert!(
                    traceback.starts_with("Traceback (most recent call last):"),
                    "{traceback}"
                );
                assert!(traceback.contains("File \"/opt/main.py\""), "{traceback}");
                assert!(
                    traceback
                        .trim_end()
                        .ends_with("RuntimeError: this is what a traceback looks like")
                );
                assert!(
                    !traceback.contains("/run/beth"),
                    "our own frames are left out: {traceback}"
                );
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_call_without_an_answer_times_out_and_the_machine_lives_on() {
    run(async {
        let machine = machine().await;
        assert!(matches!(get(machine, "/never").await, Err(Fault::Timeout)));
        assert_eq!(get_json(machine, "/items/2").await["name"], "camel");
        until(|| machine.logs().contains(&"given up".to_owned())).await;
    });
}

#[test]
fn streams_large_bodies_and_repeated_headers_come_whole() {
    run(async {
        let machine = machine().await;
        let stream = get(machine, "/stream").await.unwrap();
        assert_eq!(stream.body, "part 0;part 1;part 2;part 3;part 4;");
        let large = get(machine, "/large?size=3000000").await.unwrap();
        assert_eq!(large.body.len(), 3_000_000);
        let cookies = get(machine, "/cookies").await.unwrap();
        assert_eq!(
            cookies
                .headers
                .iter()
                .filter(|(name, _)| name == b"set-cookie")
                .count(),
            2
        );
        let head = send(machine, call("HEAD", "/")).await.unwrap();
        assert_eq!(head.status, 405, "what FastAPI says to HEAD");
    });
}

#[test]
fn the_program_knows_where_it_is() {
    run(async {
        let name = "mp5prno3dt4nszpgurskbs4amkxy47prgfzj4sdtqnbnsvxstlha";
        let expected = json!({
            "host": name, "url": "http://program.example.org/where?a=1%262",
            "ALEPH_INIT_VERSION": "3.0.0", "ALEPH_ADDRESS_TO_USE": name, "COLOUR": "green",
        });
        assert_eq!(get_json(machine().await, "/where?a=1%262").await, expected);
    });
}

#[test]
fn output_and_phases_are_reported() {
    run(async {
        let logs = machine().await.logs();
        for line in ["loading", "starting"] {
            assert!(logs.iter().any(|logged| logged == line), "{line}: {logs:?}");
        }
        let phases = PHASES.get().unwrap().list();
        let names: Vec<&str> = phases.iter().map(|(name, _)| *name).collect();
        let all = [
            "template",
            "create",
            "kernel",
            "init",
            "python",
            "application",
            "freeze",
            "turn",
            "clone",
            "wake",
        ];
        assert_eq!(names, all);
        assert!(phases.iter().all(|(_, took)| !took.is_zero()), "{phases:?}");
    });
}
