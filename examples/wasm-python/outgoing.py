"""Requests by `wasi:http/outgoing-handler`."""

from urllib.parse import urlsplit

from wit_world.imports import outgoing_handler
from wit_world.imports.wasi_http_types import (
    Fields,
    IncomingBody,
    OutgoingBody,
    OutgoingRequest,
    Scheme_Http,
    Scheme_Https,
)

import streams


def get(url: str) -> tuple[int, bytes]:
    """Status and body of the answer; raises `Err` with the host's error code."""
    parts = urlsplit(url)
    request = OutgoingRequest(Fields.from_list([("accept", b"*/*")]))
    request.set_scheme(Scheme_Http() if parts.scheme == "http" else Scheme_Https())
    request.set_authority(parts.netloc)
    request.set_path_with_query(parts.path + ("?" + parts.query if parts.query else ""))
    OutgoingBody.finish(request.body(), None)
    future = outgoing_handler.handle(request, None)
    with future.subscribe() as ready:
        ready.block()
    # Ready, asked for once, and then the host's own result.
    response = unwrap(unwrap(future.get()))
    with response:
        status = response.status()
        body = response.consume()
        with body.stream() as stream:
            content = streams.read_all(stream)
        IncomingBody.finish(body)
    return status, content


def unwrap(result):
    if hasattr(result, "value") and type(result).__name__ == "Err":
        raise result
    return result.value
