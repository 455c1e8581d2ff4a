"""Stands in for Firecracker with a guest: the same arguments, configuration
file and Unix sockets, and a guest that says what recorded guests said.

Its behaviour is the entrypoint of the program that it is configured with.
"""

import json
import os
import socket
import sys
import threading

STATE = {}
WORDS = json.load(open(os.environ["BETH_WORDS"]))


def word(*path):
    entry = WORDS
    for name in path:
        entry = entry[name]
    return bytes.fromhex(entry["msgpack_hex"])


def configured(stream):
    length = b""
    while not length.endswith(b"\n"):
        length += stream.recv(1)
    payload = b""
    while len(payload) < int(length):
        payload += stream.recv(65536)
    print("configured with", len(payload), "bytes")
    if b"missing:app" in payload:
        return word("config_reply_error")
    return word("config_reply_ok")


def ask(request):
    """What a guest's socat passes on to port 53 of the host."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(STATE["socket"] + "_53")
        stream.sendall(request)
        answer = b""
        while chunk := stream.recv(65536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    return f"{head.split(b' ')[1].decode()} {body.decode()}"


def called(payload):
    if b"/ask" in payload:
        for request in (
            b"PUT /cache/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n42",
            b"GET /cache/a HTTP/1.1\r\nHost: x\r\n\r\n",
            b"PUT /cache/b HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n" + bytes(1048577),
            b"nonsense\r\n\r\n",
        ):
            print("asked:", ask(request), flush=True)
    if b"/raise" in payload:
        return word("guest_replies", "http_exception")
    if b"/nothing" in payload:
        return b""
    if b"/garbage" in payload:
        return b"\xc1 no MessagePack"
    if b"/leave" in payload:
        os._exit(3)
    if b"/never" in payload:
        threading.Event().wait()
    return word("guest_replies", "http_ok")


def serve(stream, state):
    line = b""
    while not line.endswith(b"\n"):
        line += stream.recv(1)
    assert line == b"CONNECT 52\n", line
    stream.sendall(b"OK 1073741824\n")
    if not state["configured"]:
        state["configured"] = True
        stream.sendall(configured(stream))
        return
    payload = stream.recv(1 << 20)
    if payload == b"halt":
        stream.sendall(b"STOP\nSTOPZ\n")
        print("halted", flush=True)
        os._exit(0)
    stream.sendall(called(payload))
    stream.close()


def main():
    config = json.load(open(sys.argv[sys.argv.index("--config-file") + 1]))
    path = STATE["socket"] = config["vsock"]["uds_path"]
    for drive in config["drives"]:
        assert os.path.isfile(drive["path_on_host"]), drive
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    ready = socket.socket(socket.AF_UNIX)
    ready.connect(path + "_52")
    ready.sendall(word("ready_signal_v2"))
    ready.close()
    state = {"configured": False}
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=serve, args=(stream, state), daemon=True).start()


main()
