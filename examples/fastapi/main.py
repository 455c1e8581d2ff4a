"""A small FastAPI application: `beth program deploy examples/fastapi`."""

import platform
import time

from fastapi import FastAPI, HTTPException, Request

app = FastAPI(title="Hello from a microVM")
started = time.time()

ITEMS = {"1": "house", "2": "camel", "3": "door"}


@app.get("/")
async def hello():
    return {
        "message": "Hello from a microVM",
        "python": platform.python_version(),
        "kernel": platform.release(),
        "up_seconds": round(time.time() - started, 3),
    }


@app.get("/items/{item_id}")
async def item(item_id: str, shout: bool = False):
    if item_id not in ITEMS:
        raise HTTPException(404, f"there is no item {item_id}; there are {', '.join(ITEMS)}")
    name = ITEMS[item_id]
    return {"item_id": item_id, "name": name.upper() if shout else name}


@app.post("/echo")
async def echo(request: Request):
    return {"headers": dict(request.headers), "body": (await request.body()).decode()}


@app.get("/crash")
async def crash():
    raise RuntimeError("this is what a traceback looks like")
