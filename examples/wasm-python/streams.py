"""Bytes from and to the streams of `wasi:io`."""

from componentize_py_types import Err
from wit_world.imports.streams import StreamError_Closed

AT_ONCE = 64 * 1024


def read_all(stream) -> bytes:
    parts = []
    while True:
        try:
            parts.append(stream.blocking_read(AT_ONCE))
        except Err as error:
            if isinstance(error.value, StreamError_Closed):
                return b"".join(parts)
            raise


def write_all(stream, content: bytes) -> None:
    for start in range(0, len(content), 4096):
        stream.blocking_write_and_flush(content[start : start + 4096])
