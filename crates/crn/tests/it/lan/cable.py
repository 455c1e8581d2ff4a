"""A cable from a tap here to an interface of a network namespace: what a
virtual machine is to its tap. Arguments: tap, namespace file, MAC."""

import ctypes
import fcntl
import os
import select
import struct
import subprocess
import sys

TUNSETIFF, IFF_TAP, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 2, 0x1000, 0x40000000


def opened(name):
    device = os.open("/dev/net/tun", os.O_RDWR)
    request = struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI)
    fcntl.ioctl(device, TUNSETIFF, request)
    return device


tap, namespace, mac = sys.argv[1:]
near = opened(tap)
there = os.open(namespace, os.O_RDONLY)
if ctypes.CDLL(None, use_errno=True).setns(there, CLONE_NEWNET) != 0:
    raise OSError(ctypes.get_errno(), "setns")
far = opened("eth0")
subprocess.run(["ip", "link", "set", "eth0", "address", mac], check=True)
subprocess.run(["ip", "link", "set", "eth0", "up"], check=True)
print("ready", flush=True)
while True:
    for source in select.select([near, far], [], [])[0]:
        try:
            frame = os.read(source, 65536)
            os.write(far if source == near else near, frame)
        except OSError as error:
            if source == near:
                sys.exit(str(error))
