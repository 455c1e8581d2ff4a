"""A program of any language that serves HTTP on localhost:8080 (compute.md §14.3).

    file ─▶ /opt/code ─▶ child process ─▶ waits for the port ─▶ one connection a call
"""

import asyncio
import os

from beth_asgi import place_data, read_plain, unpack
from beth_flow import MAX_CHUNK_BYTES
from beth_runner import BadProgram

FOLDER = "/opt/code"
HOST, PORT = "127.0.0.1", 8080
START_SECONDS = 30
PAUSE_SECONDS = 0.05
HOP_BY_HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"upgrade", b"te", b"trailer"}


class Executable:
    def __init__(self, config, code, data):
        place_data(config, data)
        os.makedirs(FOLDER, exist_ok=True)
        self.child = None
        self.path = os.path.normpath(os.path.join(FOLDER, config["entrypoint"]))
        if not self.path.startswith(FOLDER + "/"):
            raise BadProgram(f"the entrypoint {config['entrypoint']!r} leaves the code's folder")
        if config["encoding"] == "zip":
            unpack(code, FOLDER, "code")
        elif config["encoding"] == "plain":
            with open(self.path, "wb") as file:
                file.write(read_plain(code, config["code_size_bytes"]))
        if not os.path.isfile(self.path):
            files = ", ".join(sorted(os.listdir(FOLDER))[:10]) or "nothing"
            raise BadProgram(f"the code has no file {config['entrypoint']!r}; it has: {files}")
        if not os.access(self.path, os.X_OK) and config["encoding"] != "squashfs":
            os.chmod(self.path, 0o755)

    async def start(self):
        try:
            self.child = await asyncio.create_subprocess_exec(self.path, cwd=FOLDER, stdin=asyncio.subprocess.DEVNULL)
        except OSError as error:
            raise BadProgram(f"the program {self.path} cannot be executed: {error}") from error
        ended = asyncio.ensure_future(self.child.wait())
        try:
            await asyncio.wait_for(self.reachable(ended), START_SECONDS)
        except asyncio.TimeoutError:
            raise TimeoutError(f"the program did not listen on port {PORT} within {START_SECONDS} seconds") from None

    async def reachable(self, ended):
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, PORT)
                writer.close()
                return
            except OSError:
                done, _ = await asyncio.wait({ended}, timeout=PAUSE_SECONDS)
                if done:
                    raise RuntimeError(f"the program ended with status {ended.result()} before it listened") from None

    async def answer(self, scope, flow):
        if scope["type"] != "http":
            raise RuntimeError("programs that are executables take neither WebSockets nor events here")
        reader, writer = await asyncio.open_connection(HOST, PORT)
        sending = None
        try:
            first, more = await flow.read()
            size = told_size(scope) if more else len(first)
            writer.write(request(scope, size))
            sending = asyncio.ensure_future(send_body(writer, flow, first, size is None))
            await pass_answer(reader, scope["method"], flow)
        finally:
            if sending:
                sending.cancel()
            writer.close()

    async def stop(self):
        self.child.terminate()
        await self.child.wait()


def told_size(scope):
    """The length of the body, if the caller said it."""
    for name, value in scope["headers"]:
        if name == b"content-length" and bytes(value).isdigit():
            return int(value)
    return None


def request(scope, size):
    """The head of a request; one of unknown size is sent in chunks."""
    from urllib.parse import quote

    query = scope["query_string"]
    query = query.encode() if isinstance(query, str) else query
    target = quote(scope["path"], safe="/:@!$&'()*+,;=~-._").encode() + (b"?" + query if query else b"")
    lines = [scope["method"].encode() + b" " + target + b" HTTP/1.1"]
    lines += [bytes(name) + b": " + bytes(value) for name, value in scope["headers"] if name not in HOP_BY_HOP]
    lines += [b"connection: close"]
    lines += [b"transfer-encoding: chunked" if size is None else b"content-length: %d" % size]
    if all(name != b"host" for name, _ in scope["headers"]):
        lines.append(b"host: localhost:8080")
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def send_body(writer, flow, piece, chunked):
    try:
        while piece is not None:
            if piece:
                writer.write(b"%x\r\n" % len(piece) + piece + b"\r\n" if chunked else piece)
                await writer.drain()
            piece, _ = await flow.read()
        if chunked:
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    except OSError:
        pass  # the program did not want all of it; its answer says why


async def pass_answer(reader, method, flow):
    status = 100
    while status < 200:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
    headers = []
    for line in head[1:-2]:
        name, _, value = line.partition(":")
        headers.append([name.strip().lower().encode("latin-1"), value.strip().encode("latin-1")])
    named = dict((name, value) for name, value in headers)
    head = {"status": status, "headers": [header for header in headers if header[0] not in HOP_BY_HOP]}
    size = named.get(b"content-length")
    if method == "HEAD" or status in (204, 304):
        return flow.reply(head)
    if b"chunked" in named.get(b"transfer-encoding", b""):
        flow.reply(head, more=True)
        while size := int((await reader.readline()).split(b";")[0], 16):
            await pass_bytes(reader, size, flow)
            await reader.readexactly(2)
    elif size is not None and int(size) <= MAX_CHUNK_BYTES:
        return flow.reply(head, await reader.readexactly(int(size)))
    elif size is not None:
        head["headers"].append([b"content-length", size])
        flow.reply(head, more=True)
        await pass_bytes(reader, int(size), flow)
    else:
        flow.reply(head, more=True)
        while chunk := await reader.read(MAX_CHUNK_BYTES):
            await flow.write(chunk)
    flow.end()


async def pass_bytes(reader, size, flow):
    while size:
        chunk = await reader.read(min(size, MAX_CHUNK_BYTES))
        if not chunk:
            raise RuntimeError("the program ended its answer too early")
        size -= len(chunk)
        await flow.write(chunk)
