"""The network card of the machine: addresses, routes, name servers.

    config, wake {network} ─▶ card down ─▶ addresses ─▶ up ─▶ routes ─▶ /etc/resolv.conf

Done again in a clone, which has other addresses than its template had; what was
there before goes with the card.
"""

import fcntl
import os
import socket
import struct

CARD = "eth0"
ADD_ROUTE, GET_FLAGS, SET_FLAGS, SET_ADDRESS, SET_MASK = 0x890B, 0x8913, 0x8914, 0x8916, 0x891C
UP, GATEWAY = 1, 2
SETTINGS = {"accept_ra": "0", "accept_dad": "0", "accept_redirects": "0"}


def apply(network):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        switch(control, False)
        mask = socket.inet_ntoa(struct.pack("!I", (0xFFFFFFFF << (32 - network["prefix"])) & 0xFFFFFFFF))
        for request, text in ((SET_ADDRESS, network["address"]), (SET_MASK, mask)):
            fcntl.ioctl(control, request, struct.pack("16s16s8x", CARD.encode(), address(text)))
        for name, value in SETTINGS.items():
            write(f"/proc/sys/net/ipv6/conf/{CARD}/{name}", value)
        switch(control, True)
        anywhere = address("0.0.0.0")
        route = struct.pack("L16s16s16sHhLPhPLLH", 0, anywhere, address(network["gateway"]), anywhere,
                            UP | GATEWAY, 0, 0, 0, 0, 0, 0, 0, 0)
        fcntl.ioctl(control, ADD_ROUTE, route)
    if network["ipv6"] and os.path.exists("/proc/sys/net/ipv6"):
        apply6(network["ipv6"])
    write("/etc/resolv.conf", "".join(f"nameserver {server}\n" for server in network["dns_servers"]))


def apply6(network):
    index = socket.if_nametoindex(CARD)
    own, gateway = (socket.inet_pton(socket.AF_INET6, network[name]) for name in ("address", "gateway"))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SET_ADDRESS, struct.pack("16sIi", own, network["prefix"], index))
        route = struct.pack("16s16s16sIHHILIi", bytes(16), bytes(16), gateway, 0, 0, 0, 1, 0, UP | GATEWAY, index)
        fcntl.ioctl(control, ADD_ROUTE, route)


def switch(control, is_up):
    request = struct.pack("16sH22x", CARD.encode(), 0)
    (flags,) = struct.unpack_from("H", fcntl.ioctl(control, GET_FLAGS, request), 16)
    flags = flags | UP if is_up else flags & ~UP
    fcntl.ioctl(control, SET_FLAGS, struct.pack("16sH22x", CARD.encode(), flags))


def address(text):
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
