"""What makes a clone another machine than its siblings, and a paused one young.

    clone ── wake {unix_ns, seed, network} ─▶ clock, kernel's entropy, generators, card ─▶ wake {success}
    paused ─ wake {unix_ns} ───────▶ clock

A clone has every byte of its template: the same random numbers would come next.
The kernel mixes the seed in and discards what it had prepared; generators in
this process that we know of are seeded anew from it.
"""

import asyncio
import copy
import fcntl
import gc
import os
import socket
import struct
import sys
import time
import msgpack
import beth_network

ROUNDS = 12  # the interpreter specialises what ran eight times
WARM_UP_SECONDS = 20
DEVICE = os.open("/dev/urandom", os.O_WRONLY)
RNDADDENTROPY, RNDRESEEDCRNG = 0x40085203, 0x5207


def wake(payload):
    time.clock_settime_ns(time.CLOCK_REALTIME, payload["unix_ns"])
    if payload["seed"]:
        reseed(payload["seed"])
    if payload["network"]:
        beth_network.apply(payload["network"])


def reseed(seed):
    fcntl.ioctl(DEVICE, RNDADDENTROPY, struct.pack("ii", len(seed) * 8, len(seed)) + seed)
    fcntl.ioctl(DEVICE, RNDRESEEDCRNG)
    if (ssl := sys.modules.get("_ssl")) is not None:
        ssl.RAND_add(os.urandom(32), 32.0)
    if (random := sys.modules.get("random")) is not None:
        random.seed()
    if (random := sys.modules.get("numpy.random")) is not None:
        random.seed()
    if (uuid := sys.modules.get("uuid")) is not None:
        uuid._node = None


async def rehearse(runner, config):
    """Runs what a first call would run for the first time, before the machine is
    frozen: our own part, and the program too if its author asks for it."""
    try:
        stand_in = copy.copy(runner.program)
        stand_in.application = silence
        calls = [(stand_in, "/")] * ROUNDS
        if path := config["variables"].get("BETH_WARM_UP"):
            calls.append((runner.program, path))
        await asyncio.wait_for(perform(type(runner), calls), WARM_UP_SECONDS)
    except BaseException as error:
        print(f"warming up failed: {error!r}", file=sys.stderr)
    reseed(os.urandom(64))  # OpenSSL makes its generators when they are first used
    gc.collect()
    gc.freeze()  # a collection in a clone need not write to what is here


async def silence(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [[b"content-type", b"text/plain"]]})
    await send({"type": "http.response.body", "body": b""})


async def perform(kind, calls):
    """Calls as the node would make them, over a socket instead of the port."""
    node, guest = socket.socketpair()
    node.setblocking(False)
    stage = kind(guest.fileno(), 0)
    caller = Caller(node)
    try:
        for program, target in calls:
            stage.program = program
            if error := await caller.get(target):
                print(f"warming up with {target} failed: {error}", file=sys.stderr)
    finally:
        asyncio.get_running_loop().remove_reader(guest.fileno())
        node.close()
        guest.close()


class Caller:
    """The node's side of the frames, as far as a GET needs it (frame.rs)."""

    RUN, REPLY, CHUNK, END, CREDIT = 4, 5, 11, 12, 13
    CHUNK_COST = 64

    def __init__(self, node):
        self.node = node
        self.number = 0
        self.incoming = b""

    async def get(self, target):
        """None, or what went wrong."""
        self.number += 1
        path, _, query = target.partition("?")
        headers = [[b"host", b"localhost"], [b"accept", b"*/*"]]
        scope = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": headers}
        await self.send(self.RUN, {"scope": scope | {"body": b""}})
        while True:
            kind, payload = await self.receive()
            if kind == self.CHUNK:
                await self.send(self.CREDIT, len(payload) + self.CHUNK_COST)
            elif kind == self.END:
                return payload and payload["error"]
            elif kind == self.REPLY and not payload.get("body", {}).get("more_body"):
                return payload.get("error")

    async def send(self, kind, value):
        payload = msgpack.packb(value)
        head = len(payload).to_bytes(4, "big") + self.number.to_bytes(4, "big") + bytes([kind])
        await asyncio.get_running_loop().sock_sendall(self.node, head + payload)

    async def receive(self):
        while len(self.incoming) < 9 or len(self.incoming) < 9 + int.from_bytes(self.incoming[:4], "big"):
            chunk = await asyncio.get_running_loop().sock_recv(self.node, 65_536)
            if not chunk:
                raise EOFError
            self.incoming += chunk
        end = 9 + int.from_bytes(self.incoming[:4], "big")
        kind, payload = self.incoming[8], msgpack.unpackb(self.incoming[9:end])
        self.incoming = self.incoming[end:]
        return kind, payload
