"""Holds one program inside a microVM and answers the node's calls.

    node ── frames ──▶ Port ──▶ Runner ──▶ program.answer(scope, flow) ──▶ frames

beth-init starts it with the number of the port, the drive with the code and the
drive with the data, and /run/beth/config as the node sent it. The frames are
described in frame.rs. Everything runs on one event loop, as programs expect; a
call that blocks it blocks its neighbours, but nothing here ever polls.
"""

import asyncio
import importlib
import os
import sys
import time
import msgpack
import beth_flow
import beth_network
import beth_wake

HOME = sys.path.pop(0)  # the program must not find our modules
READY, RUN, CANCEL, HALT, PROGRESS, WAKE = 3, 4, 6, 7, 9, 10
HEADER_BYTES = 9
READ_BYTES = 65_536
MAX_TRACEBACK = 65_536
SHUTDOWN_SECONDS = 3


class BadProgram(Exception):
    """The files are no program; the text says what to do."""


class StartupFailed(Exception):
    """The application said that it cannot start; the text is its traceback."""


def uptime_ms():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def describe(error):
    """One line, and the traceback without the frames that are ours."""
    if isinstance(error, StartupFailed):
        text = str(error).strip() or "the application gave no reason"
        return text.splitlines()[-1][:500], text[-MAX_TRACEBACK:]
    import traceback

    trace = error.__traceback__
    while trace is not None and (
        os.path.dirname(trace.tb_frame.f_code.co_filename) == HOME
        or trace.tb_frame.f_code.co_filename.startswith("<frozen importlib")
    ):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    text = "".join(lines)[-MAX_TRACEBACK:]
    summary = "".join(traceback.format_exception_only(type(error), error)).strip()
    if isinstance(error, SyntaxError):
        place = f" ({os.path.basename(error.filename or '?')}, line {error.lineno})"
        summary = f"{type(error).__name__}: {error.msg}{place}"
    if not text.startswith("Traceback"):
        text = "Traceback (most recent call last):\n" + text
    return summary.splitlines()[0][:500], text


def kind_of_program(interface):
    sys.path.insert(0, HOME)
    try:
        if interface == "asgi":
            return importlib.import_module("beth_asgi").Application
        return importlib.import_module("beth_executable").Executable
    finally:
        sys.path.pop(0)


class Port:
    """The frames of a non-blocking character device."""

    def __init__(self, fd, on_frame):
        self.fd = fd
        self.on_frame = on_frame
        self.incoming = bytearray()
        self.outgoing = bytearray()
        self.loop = asyncio.get_running_loop()
        os.set_blocking(fd, False)
        self.loop.add_reader(fd, self._read)

    def _read(self):
        while True:
            try:
                chunk = os.read(self.fd, READ_BYTES)
            except BlockingIOError:
                break
            if not chunk:  # the node has gone, and so shall we
                os._exit(1)
            self.incoming += chunk
        while len(self.incoming) >= HEADER_BYTES:
            end = HEADER_BYTES + int.from_bytes(self.incoming[:4], "big")
            if len(self.incoming) < end:
                return
            call = int.from_bytes(self.incoming[4:8], "big")
            kind = self.incoming[8]
            payload = msgpack.unpackb(bytes(self.incoming[HEADER_BYTES:end]))
            del self.incoming[:end]
            self.on_frame(kind, call, payload)

    def send(self, kind, call, value):
        payload = msgpack.packb(value)
        self.outgoing += len(payload).to_bytes(4, "big") + call.to_bytes(4, "big")
        self.outgoing.append(kind)
        self.outgoing += payload
        self._write()

    def _write(self):
        try:
            while self.outgoing:
                sent = os.write(self.fd, self.outgoing)
                del self.outgoing[:sent]
        except BlockingIOError:
            self.loop.add_writer(self.fd, self._write)
            return
        self.loop.remove_writer(self.fd)

    def flush(self):
        """Writes the rest, waiting for the node to take it."""
        os.set_blocking(self.fd, True)
        self._write()


class Runner:
    def __init__(self, fd, python_ms):
        self.python_ms = python_ms
        self.calls = {}
        self.program = None
        self.started = False
        self.waking = None
        self.ended = asyncio.Event()
        self.port = Port(fd, self.on_frame)

    def on_frame(self, kind, call, payload):
        if kind == RUN:
            flow = beth_flow.Flow(self.port, call, payload["scope"])
            self.calls[call] = flow, asyncio.ensure_future(self.answer(call, payload["scope"], flow))
        elif call in self.calls:
            flow, task = self.calls[call]
            task.cancel() if kind == CANCEL else flow.on_frame(kind, payload)
        elif kind == WAKE:
            self.wake(payload)
        elif kind == HALT:
            self.ended.set()

    async def answer(self, call, scope, flow):
        try:
            await self.program.answer(scope, flow)
        except asyncio.CancelledError:
            flow.fail("cancelled", "")
        except BaseException as error:
            summary, trace = describe(error)
            if flow.begun:
                print(trace, file=sys.stderr)
            flow.fail(summary, trace)
        del self.calls[call]

    def wake(self, payload):
        try:
            beth_wake.wake(payload)
        except BaseException as error:
            summary, trace = describe(error)
            self.port.send(WAKE, 0, {"success": False, "kind": "clone", "error": summary, "traceback": trace})
        else:
            if payload["seed"] and self.started:
                self.port.send(WAKE, 0, {"success": True})
            elif payload["seed"]:  # only now may the program begin
                self.waking = asyncio.ensure_future(self.begin())

    async def begin(self):
        self.port.send(WAKE, 0, await self.attempt(self.start))

    async def start(self):
        await self.program.start()
        self.started = True

    async def prepare(self, config, code, data):
        if config["network"]:
            beth_network.apply(config["network"])
        self.program = kind_of_program(config["interface"])(config, code, data)
        if config["freeze"] and config["interface"] != "asgi":
            return  # we cannot give its process other random numbers
        await self.start()
        if config["freeze"]:
            await beth_wake.rehearse(self, config)

    async def attempt(self, step, *arguments):
        """The payload of the ready frame."""
        try:
            await step(*arguments)
        except BadProgram as error:
            return {"success": False, "kind": "program", "error": str(error), "traceback": ""}
        except BaseException as error:
            summary, trace = describe(error)
            return {"success": False, "kind": "setup", "error": summary, "traceback": trace}
        return {"success": True}

    async def run(self, config, code, data):
        loaded_ms = uptime_ms()
        self.port.send(PROGRESS, 0, None)
        outcome = await self.attempt(self.prepare, config, code, data)
        outcome["phases"] = {
            "python_ms": self.python_ms,
            "runner_ms": loaded_ms,
            "application_ms": uptime_ms(),
        }
        self.port.send(READY, 0, outcome)
        if outcome["success"]:
            await self.ended.wait()
            try:
                if self.started:
                    await asyncio.wait_for(self.program.stop(), SHUTDOWN_SECONDS)
            except BaseException as error:
                print(describe(error)[1], file=sys.stderr)
        self.port.flush()
        sys.stdout.flush()
        sys.stderr.flush()
        # Threads of the program must not keep the machine.
        os._exit(0)


async def main():
    sys.modules["beth_runner"] = sys.modules["__main__"]
    sys.stdout.reconfigure(line_buffering=True)
    _, fd, code, data, python_ms = sys.argv
    with open(os.path.join(HOME, "config"), "rb") as file:
        config = msgpack.unpackb(file.read())
    sys.argv[:] = [config["entrypoint"]]
    await Runner(int(fd), int(python_ms)).run(config, code, data)


asyncio.run(main())
