"""A FastAPI application as a component: `examples/wasm-python/build.sh`."""

import json
import os

from componentize_py_types import Err
from fastapi import FastAPI, HTTPException, Request
from wit_world.imports import blobstore, wasi_config_store, wasi_keyvalue_store
from wit_world.imports.logging import Level, log
from wit_world.imports.wasi_blobstore_types import IncomingValue

import asgi
import outgoing

app = FastAPI(title="Hello from Wasm")

ITEMS = {"1": "house", "2": "camel", "3": "door"}


@app.get("/")
async def hello():
    return {"message": "Hello from Wasm", "name": os.environ.get("NAME")}


@app.get("/items/{item_id}")
async def item(item_id: str, shout: bool = False):
    if item_id not in ITEMS:
        raise HTTPException(404, f"there is no item {item_id}; there are {', '.join(ITEMS)}")
    name = ITEMS[item_id]
    return {"item_id": item_id, "name": name.upper() if shout else name}


@app.post("/echo")
async def echo(request: Request):
    return {"headers": dict(request.headers), "body": (await request.body()).decode()}


@app.get("/log/{text}")
async def write_log(text: str):
    print("printed", text)
    log(Level.WARN, "example", text)
    return text


@app.get("/variables/{name}")
async def variable(name: str):
    return wasi_config_store.get(name)


@app.get("/aggregates")
async def aggregates():
    """The names of all aggregates of the program's owner."""
    with stated():
        return wasi_keyvalue_store.open("default").list_keys(None).keys


@app.get("/aggregates/{name}/{key}")
async def member(name: str, key: str):
    """One member of an aggregate of the owner."""
    with stated():
        value = wasi_keyvalue_store.open(name).get(key)
    return None if value is None else json.loads(value)


@app.put("/aggregates/{name}/{key}")
async def write_member(name: str, key: str, request: Request):
    body = await request.body()
    with stated():
        wasi_keyvalue_store.open(name).set(key, body)


@app.get("/files/{file_hash}")
async def part_of_file(file_hash: str, start: int = 0, end: int = 99):
    """A part of a file that somebody stored."""
    with stated():
        value = blobstore.get_container("files").get_data(file_hash, start, end)
        return IncomingValue.incoming_value_consume_sync(value).decode()


@app.get("/fetch")
async def fetch(url: str):
    """What another server answers."""
    with stated():
        status, body = outgoing.get(url)
    return {"status": status, "body": body.decode(errors="replace")}


@app.get("/crash")
async def crash():
    raise RuntimeError("this is what a traceback looks like")


class stated:
    """Makes an error of the host an answer of status 502 that names it."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, Err):
            said = error.value if isinstance(error.value, str) else repr(error.value)
            raise HTTPException(502, said)


IncomingHandler = asgi.handler(app)
