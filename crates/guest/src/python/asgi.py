"""An ASGI application: its files, its lifespan, its answers (ASGI 3, HTTP and WebSocket 2.3).

    archive ─▶ /opt ─▶ import ─▶ lifespan start-up ─▶ answer(scope, flow) … ─▶ shutdown
"""

import asyncio
import importlib
import os
import sys

from beth_flow import MAX_CHUNK_BYTES, MAX_MESSAGE_BYTES
from beth_runner import BadProgram, StartupFailed, describe

FOLDER = "/opt"
SQUASHFS_FOLDER = "/opt/code"
PACKAGES = "/opt/packages"
LIFESPAN_SECONDS = 30
MAX_ENTRIES = 20_000
MAX_UNPACKED_BYTES = 512 << 20
RAISE_SECONDS = 1
VERSION = {"version": "3.0", "spec_version": "2.3"}


def unpack(device, folder, what):
    """Unpacks a zip archive that lies on a drive, trusting nothing in it."""
    import shutil
    import stat
    import zipfile

    try:
        with zipfile.ZipFile(device) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_ENTRIES:
                raise BadProgram(f"the {what} archive has {len(entries)} entries; at most {MAX_ENTRIES} are allowed")
            size = sum(entry.file_size for entry in entries)
            if size > MAX_UNPACKED_BYTES:
                raise BadProgram(f"the {what} archive unpacks to {size} bytes; at most {MAX_UNPACKED_BYTES} are allowed")
            for entry in entries:
                mode = entry.external_attr >> 16
                parts = entry.filename.split("/")
                if entry.filename.startswith("/") or ".." in parts or "\\" in entry.filename:
                    raise BadProgram(f"the {what} archive has an entry that leaves its folder: {entry.filename!r}")
                if stat.S_ISLNK(mode):
                    raise BadProgram(f"the {what} archive has a symbolic link: {entry.filename!r}; pack the file itself")
                target = os.path.join(folder, entry.filename)
                if entry.is_dir():
                    os.makedirs(target, exist_ok=True)
                    continue
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with archive.open(entry) as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file)
                if mode & 0o777:
                    os.chmod(target, mode & 0o777 | 0o400)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BadProgram(f"the {what} archive is no valid zip archive ({error}); pack it again") from error
    except OSError as error:
        raise BadProgram(f"the {what} archive cannot be unpacked: {error}") from error


def read_plain(device, size_bytes):
    """The bytes of a file that lies on a drive; the drive is padded."""
    with open(device, "rb") as file:
        return file.read(size_bytes)


def place_data(config, device):
    """Unpacks the data archive; /data always leads to it."""
    if not device:
        return
    mount = config["data_mount"]
    os.makedirs(mount, exist_ok=True)
    unpack(device, mount, "data")
    if mount != "/data":
        try:
            os.rmdir("/data")
            os.symlink(mount, "/data")
        except OSError:
            pass


class Application:
    def __init__(self, config, code, data):
        self.application = None
        self.config = config
        self.background = set()
        self.lifespan = None
        place_data(config, data)
        encoding = config["encoding"]
        entrypoint = config["entrypoint"]
        if encoding == "plain":
            module, _, name = entrypoint.rpartition(":")
            module = module or "program"
            path = os.path.join(FOLDER, module.replace(".", "/") + ".py")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(read_plain(code, config["code_size_bytes"]))
        else:
            module, _, name = entrypoint.partition(":")
            if not module or not name:
                raise BadProgram(f"the entrypoint {entrypoint!r} is not of the form 'module:attribute'")
            if encoding == "zip":
                unpack(code, FOLDER, "code")
        self.module, self.name = module, name
        sys.path[:0] = [PACKAGES, SQUASHFS_FOLDER if encoding == "squashfs" else FOLDER]

    async def start(self):
        os.chdir(sys.path[1])
        try:
            module = importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            if error.name and (self.module + ".").startswith(error.name + "."):
                files = ", ".join(sorted(os.listdir(sys.path[1]))[:10]) or "nothing"
                raise BadProgram(
                    f"the entrypoint is '{self.module}:{self.name}' but the code has no module {error.name!r};"
                    f" it has: {files}"
                ) from error
            raise
        try:
            for part in self.name.split("."):
                module = getattr(module, part)
        except AttributeError as error:
            raise BadProgram(
                f"the entrypoint is '{self.module}:{self.name}' but the module {self.module!r} has no {self.name!r}"
            ) from error
        if not callable(module):
            raise BadProgram(f"'{self.module}:{self.name}' is no ASGI application: it cannot be called")
        self.application = module
        self.lifespan = Lifespan(self.application)
        await asyncio.wait_for(self.lifespan.start(), LIFESPAN_SECONDS)

    async def answer(self, scope, flow):
        exchange = {"websocket": Socket, "http": Exchange}.get(scope["type"], Event)(scope, flow)
        task = asyncio.ensure_future(self.application(exchange.scope, exchange.receive, exchange.send))
        self.background.add(task)
        task.add_done_callback(self.background.discard)
        try:
            await asyncio.wait({task, exchange.complete}, return_when=asyncio.FIRST_COMPLETED)
            # Frameworks answer 500 first and raise then: the traceback says more.
            if not task.done() and not flow.begun and exchange.status >= 500:
                await asyncio.wait({task}, timeout=RAISE_SECONDS)
        except asyncio.CancelledError:
            exchange.gone.set()
            task.cancel()
            raise
        exchange.gone.set()
        if task.done():
            task.result()
        else:
            task.add_done_callback(report)
        await exchange.finish()

    async def stop(self):
        await self.lifespan.stop()


def report(task):
    """Prints what a task raised after its answer was given."""
    if not task.cancelled() and task.exception() is not None:
        print(describe(task.exception())[1], file=sys.stderr)


def surroundings(scope):
    """The members of a scope that HTTP and WebSocket share."""
    headers = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
    named = dict(headers)
    host, _, port = named.get(b"host", b"localhost").decode("latin-1").rpartition(":")
    if not port.isdigit():
        host, port = f"{host}:{port}".strip(":"), 80
    query = scope["query_string"]
    return {
        "type": scope["type"],
        "asgi": VERSION,
        "http_version": "1.1",
        "scheme": named.get(b"x-forwarded-proto", b"http").decode("latin-1"),
        "path": scope["path"],
        "query_string": query.encode() if isinstance(query, str) else query,
        "root_path": "",
        "headers": headers,
        "client": None,
        "server": (host, int(port)),
    }


class Exchange:
    """One request and the answer to it. An answer that is made in one step is one
    frame; the pieces of any other leave as they come."""

    def __init__(self, scope, flow):
        self.flow = flow
        self.scope = surroundings(scope) | {"method": scope["method"]}
        self.more = True  # of the request
        self.status = 0
        self.headers = []
        self.last = b""
        self.complete = asyncio.get_running_loop().create_future()
        self.gone = asyncio.Event()

    async def receive(self):
        if self.more:
            piece, self.more = await self.flow.read()
            return {"type": "http.request", "body": piece or b"", "more_body": self.more}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, event):
        kind = event["type"]
        if kind == "http.response.start":
            if self.status:
                raise RuntimeError("the application began its answer twice")
            self.start(event)
        elif kind == "http.response.body":
            if not self.status:
                raise RuntimeError("the application sent a body before http.response.start")
            await self.body(event)
        else:
            raise RuntimeError(f"the application sent an event that is no HTTP answer: {kind}")

    def start(self, event):
        self.status = int(event["status"])
        self.headers = [[as_bytes(name), as_bytes(value)] for name, value in event.get("headers", ())]

    async def body(self, event):
        if self.complete.done():
            return
        chunk = event.get("body", b"")
        chunk = chunk.encode() if isinstance(chunk, str) else chunk
        if not event.get("more_body", False):
            self.last = chunk
            self.complete.set_result(None)
            await asyncio.sleep(0)
            return
        self.begin()
        await self.flow.write(chunk)

    def begin(self):
        if not self.flow.begun:
            self.flow.reply({"status": self.status, "headers": self.headers}, more=True)

    async def finish(self):
        if not self.complete.done():
            raise RuntimeError("the application returned without a complete answer")
        if not self.flow.begun and len(self.last) <= MAX_CHUNK_BYTES:
            self.flow.reply({"status": self.status, "headers": self.headers}, self.last)
            return
        self.begin()
        await self.flow.write(self.last)
        self.flow.end()


class Socket(Exchange):
    """One WebSocket: the node speaks its protocol, we only pass messages."""

    def __init__(self, scope, flow):
        super().__init__(scope | {"method": "GET"}, flow)
        del self.scope["method"]
        secure = self.scope["scheme"] in ("https", "wss")
        self.scope["scheme"] = "wss" if secure else "ws"
        self.scope["subprotocols"] = scope["subprotocols"]
        self.scope["extensions"] = {"websocket.http.response": {}}
        self.connecting = True
        self.accepted = False

    async def receive(self):
        if self.connecting:
            self.connecting = False
            await self.flow.read()
            return {"type": "websocket.connect"}
        message, _ = await self.flow.read()
        if message is None:
            end = self.flow.farewell or {"code": 1006, "reason": ""}
            self.complete.done() or self.complete.set_result(None)
            return {"type": "websocket.disconnect", "code": end["code"], "reason": end["reason"]}
        text = isinstance(message, str)
        return {"type": "websocket.receive", "text": message if text else None, "bytes": None if text else message}

    async def send(self, event):
        kind = event["type"]
        if self.complete.done():
            return
        if kind == "websocket.accept" and not self.accepted and not self.status:
            self.accepted = True
            headers = [[as_bytes(name), as_bytes(value)] for name, value in event.get("headers", ())]
            self.flow.accept({"subprotocol": event.get("subprotocol"), "headers": headers})
        elif kind == "websocket.send" and self.accepted:
            message = event.get("text") if event.get("text") is not None else bytes(event["bytes"])
            size = len(message.encode() if isinstance(message, str) else message)
            if size > MAX_MESSAGE_BYTES:
                raise RuntimeError(f"the message is longer than {MAX_MESSAGE_BYTES} bytes")
            await self.flow.message(message)
        elif kind == "websocket.close":
            if self.accepted:
                self.flow.end({"code": event.get("code", 1000), "reason": event.get("reason") or ""})
            else:
                self.status = 403
            self.complete.set_result(None)
        elif kind == "websocket.http.response.start" and not self.accepted:
            self.start(event)
        elif kind == "websocket.http.response.body" and self.status:
            await self.body(event)
        else:
            raise RuntimeError(f"the application sent an event that does not fit its WebSocket: {kind}")

    async def finish(self):
        if self.accepted:
            self.flow.end({"code": 1000 if self.complete.done() else 1006, "reason": ""})
        else:
            await super().finish()


class Event(Exchange):
    """Something happened that nobody asks about: what is said to it is logged."""

    def __init__(self, scope, flow):
        self.flow = flow
        self.event = flow.pieces.popleft()
        self.scope = {"type": scope["type"], "asgi": VERSION, "body": self.event}
        self.status = 0
        self.last = b""
        self.complete = asyncio.get_running_loop().create_future()
        self.gone = asyncio.Event()

    async def receive(self):
        if self.event is None:
            await self.gone.wait()
        event, self.event = self.event, None
        return {"type": self.scope["type"], "body": event, "more_body": False}

    async def send(self, event):
        said = event.get("body", b"")
        self.last = (said.encode() if isinstance(said, str) else said)[:MAX_CHUNK_BYTES]

    async def finish(self):
        self.flow.reply({"status": 200, "headers": []}, self.last)


def as_bytes(text):
    return text.encode("latin-1") if isinstance(text, str) else bytes(text)


class Lifespan:
    """Start-up and shutdown events. An application that raises before it asks for
    an event knows nothing of them; one that raises later has failed."""

    def __init__(self, application):
        self.application = application
        self.events = asyncio.Queue()
        self.asked = False
        self.started = asyncio.get_running_loop().create_future()
        self.stopped = asyncio.get_running_loop().create_future()
        self.task = None

    async def start(self):
        self.task = asyncio.ensure_future(self.run())
        await self.events.put({"type": "lifespan.startup"})
        await asyncio.wait({self.task, self.started}, return_when=asyncio.FIRST_COMPLETED)
        if self.started.done():
            self.started.result()
        elif self.asked:
            self.task.result()

    async def stop(self):
        if not self.task.done():
            await self.events.put({"type": "lifespan.shutdown"})
            await asyncio.wait({self.task, self.stopped}, return_when=asyncio.FIRST_COMPLETED)

    async def run(self):
        scope = {"type": "lifespan", "asgi": VERSION, "state": {}}
        await self.application(scope, self.receive, self.send)

    async def receive(self):
        self.asked = True
        return await self.events.get()

    async def send(self, event):
        kind, message = event["type"], event.get("message", "")
        if kind == "lifespan.startup.complete":
            self.started.set_result(None)
        elif kind == "lifespan.startup.failed":
            self.started.set_exception(StartupFailed(message))
        elif kind in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            if message:
                print(message, file=sys.stderr)
            self.stopped.set_result(None)
