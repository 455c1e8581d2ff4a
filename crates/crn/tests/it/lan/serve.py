"""Answers connections with the address they come from; notes and answers
datagrams. Arguments: log file, TCP ports, UDP ports (with commas)."""

import select
import socket
import sys

log = open(sys.argv[1], "a", buffering=1)
sockets = {}
for kind, ports in ((socket.SOCK_STREAM, sys.argv[2]), (socket.SOCK_DGRAM, sys.argv[3])):
    for port in filter(None, ports.split(",")):
        server = socket.socket(socket.AF_INET6, kind)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("::", int(port)))
        if kind == socket.SOCK_STREAM:
            server.listen(64)
        sockets[server] = kind
print("ready", flush=True)
kept = []
while True:
    for server in select.select(list(sockets), [], [])[0]:
        if sockets[server] == socket.SOCK_STREAM:
            client, peer = server.accept()
            client.sendall(peer[0].replace("::ffff:", "").encode() + b"\n")
            kept.append(client)
        else:
            data, peer = server.recvfrom(2048)
            log.write(peer[0].replace("::ffff:", "") + " " + data.decode() + "\n")
            server.sendto(data, peer)
