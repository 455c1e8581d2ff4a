"""Tries to reach somebody; prints what is heard, or `silence`. Arguments:
tcp|udp|hold, address, port, text or count, source address (optional)."""

import socket
import sys

what, host, port, text = sys.argv[1:5]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
source = (sys.argv[5], 0) if len(sys.argv) > 5 else None


def heard(kind):
    client = socket.socket(family, kind)
    client.settimeout(1.5)
    if source:
        client.bind(source)
    client.connect((host, int(port)))
    if kind == socket.SOCK_DGRAM:
        client.send(text.encode())
    return client, client.recv(2048).decode().strip()


try:
    if what == "hold":
        clients = []
        try:
            for _ in range(int(text)):
                clients.append(heard(socket.SOCK_STREAM))
        except TimeoutError:
            pass
        print(len(clients))
    else:
        print(heard(socket.SOCK_DGRAM if what == "udp" else socket.SOCK_STREAM)[1])
except (TimeoutError, ConnectionError, OSError) as error:
    print("silence" if isinstance(error, TimeoutError) else f"error: {error}")
