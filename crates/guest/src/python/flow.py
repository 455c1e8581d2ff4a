"""One call on the frames: its request comes in pieces, and so may its answer.

    run (first piece) ─ chunk … end ─▶ read()     write(), reply() ─▶ reply ─ chunk … end
                     ◀── credit ──                                 ◀── credit ──

Either side may begin a chunk while it has credit; who takes one gives its cost
back. See frame.rs.
"""

import asyncio
import collections

REPLY, CHUNK, END, CREDIT = 5, 11, 12, 13
WINDOW_BYTES = 256 << 10
CHUNK_COST = 64
MAX_CHUNK_BYTES = 64 << 10
MAX_MESSAGE_BYTES = 1 << 20


class Flow:
    def __init__(self, port, call, scope):
        self.port = port
        self.call = call
        self.pieces = collections.deque([scope.pop("body", b"")])
        self.first = True  # it came with the call and cost nothing
        self.more = scope.pop("more_body", False) or scope["type"] == "websocket"
        self.farewell = None
        self.arrived = asyncio.Event()
        self.credit = WINDOW_BYTES
        self.refilled = asyncio.Event()
        self.untold = 0
        self.begun = self.ended = False

    def on_frame(self, kind, payload):
        if kind == CHUNK:
            self.pieces.append(payload)
            self.arrived.set()
        elif kind == END:
            self.more, self.farewell = False, payload
            self.arrived.set()
        elif kind == CREDIT:
            self.credit += payload
            self.refilled.set()

    async def read(self):
        """The next piece of the request and whether others may follow; after the
        last, None."""
        while not self.pieces:
            if not self.more:
                return None, False
            self.arrived.clear()
            await self.arrived.wait()
        piece = self.pieces.popleft()
        if self.more and not self.first:
            self.untold += len(piece.encode() if isinstance(piece, str) else piece) + CHUNK_COST
            if self.untold >= WINDOW_BYTES // 4:
                self.port.send(CREDIT, self.call, self.untold)
                self.untold = 0
        self.first = False
        return piece, self.more or bool(self.pieces)

    def reply(self, head, body=b"", more=False):
        """The head of the answer; the whole of it if no more follows."""
        self.begun, self.ended = True, not more
        answer = {"headers": head, "body": {"body": bytes(body)}}
        if more:
            answer["body"]["more_body"] = True
        self.port.send(REPLY, self.call, answer)

    def accept(self, details):
        self.begun = True
        self.port.send(REPLY, self.call, {"accept": details})

    async def write(self, body):
        """Sends a piece of the answer when there is room for it."""
        view = memoryview(body)
        for start in range(0, len(view), MAX_CHUNK_BYTES):
            await self.message(bytes(view[start : start + MAX_CHUNK_BYTES]))

    async def message(self, message):
        """Sends one chunk as it is."""
        size = len(message.encode() if isinstance(message, str) else message)
        while self.credit <= 0:
            self.refilled.clear()
            await self.refilled.wait()
        if self.ended:
            return
        self.credit -= size + CHUNK_COST
        self.port.send(CHUNK, self.call, message)

    def end(self, payload=None):
        if not self.ended:
            self.ended = True
            self.port.send(END, self.call, payload)

    def fail(self, error, traceback):
        """Nothing more comes of this call, and why."""
        reason = {"error": error, "traceback": traceback}
        if self.begun:
            self.end(reason)
        else:
            self.begun = self.ended = True
            self.port.send(REPLY, self.call, reason)
