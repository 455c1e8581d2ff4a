"""Runs an ASGI application as `wasi:http/incoming-handler`.

There is no event loop: a call has an instance of its own, so a coroutine that
awaits only what is ready (as handlers do that call the host's functions) is
driven to its end by `send(None)`.
"""

from urllib.parse import unquote

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.wasi_http_types import (
    Fields,
    IncomingBody,
    IncomingRequest,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)

import streams

METHODS = "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH".split()


def handler(app):
    """The class that the component exports. The application starts up here,
    while the component is built, so that no call has to wait for it."""
    drive(lifespan(app))

    class IncomingHandler(exports.IncomingHandler):
        def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
            drive(answer(app, request, response_out))

    return IncomingHandler


def drive(coroutine):
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    coroutine.close()
    raise RuntimeError("the application awaits something that only an event loop could give it")


async def lifespan(app):
    said = []

    async def receive():
        return {"type": "lifespan.startup"} if not said else {"type": "lifespan.shutdown"}

    async def send(message):
        said.append(message)

    await app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)


async def answer(app, request: IncomingRequest, response_out: ResponseOutparam):
    path, _, query = (request.path_with_query() or "/").partition("?")
    name = type(request.method()).__name__.removeprefix("Method_").upper()
    headers = [(name.lower().encode(), value) for name, value in request.headers().entries()]
    body = request.consume()
    stream = body.stream()
    content = streams.read_all(stream)
    stream.__exit__(None, None, None)
    IncomingBody.finish(body)
    received = [{"type": "http.request", "body": content, "more_body": False}]
    writer = None

    async def receive():
        return received.pop() if received else {"type": "http.disconnect"}

    async def send(message):
        nonlocal writer
        if message["type"] == "http.response.start":
            fields = Fields.from_list([(name.decode(), value) for name, value in message["headers"]])
            response = OutgoingResponse(fields)
            response.set_status_code(message["status"])
            writer = response.body()
            ResponseOutparam.set(response_out, Ok(response))
        elif message["type"] == "http.response.body":
            with writer.write() as output:
                streams.write_all(output, message.get("body", b""))
            if not message.get("more_body"):
                OutgoingBody.finish(writer, None)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": name if name in METHODS else request.method().value,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "server": None,
        "client": None,
    }
    await app(scope, receive, send)
