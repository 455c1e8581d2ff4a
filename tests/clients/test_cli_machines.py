"""The released command line and a machine of its own: created, entered by SSH, operated, backed up, erased.

One Debian guest goes through everything, because a boot under emulation takes a while.
"""

import json
import socket
import subprocess
import tarfile
import urllib.request

import pytest
from cli import until

#: A boot under emulation on a busy computer.
BOOT_SECONDS = 400


class Machine:
    """An instance as its owner sees it."""

    def __init__(self, network, item_hash, identity):
        self.network, self.item_hash, self.identity = network, item_hash, identity

    def execution(self):
        """What the compute node says of it, if anything."""
        with urllib.request.urlopen(self.network.compute[0] + "/v2/about/executions/list") as answer:
            return json.load(answer).get(self.item_hash)

    def is_running(self):
        execution = self.execution()
        return bool(execution) and execution["running"] is True

    def ssh(self, command):
        """What a command prints in the guest; raises until the guest lets us in."""
        port = self.execution()["networking"]["mapped_ports"]["22"]["host"]
        options = [
            "-i", self.identity, "-p", str(port), "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null",
            "-oBatchMode=yes", "-oConnectTimeout=10", "-oLogLevel=ERROR",
        ]
        done = subprocess.run(
            ["ssh", *options, "root@127.0.0.1", command], capture_output=True, text=True, timeout=60, check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def enter(self, command):
        return until(lambda: attempt(lambda: self.ssh(command)), lambda output: output is not None, BOOT_SECONDS)


def attempt(action):
    try:
        return action()
    except (AssertionError, KeyError, TypeError, OSError, subprocess.TimeoutExpired):
        return None


@pytest.fixture
def compute_node(network, internet):
    """The list of compute nodes, in which ours says that it runs instances."""
    node = dict(network.get("/crns.json")["crns"][0])
    node.update(qemu_support=True, version="1.9.0", ipv6_check={"host": True, "vm": True})
    place = ("crns-list.aleph.sh", "/crns.json")
    internet.documents[place] = {"crns": [node]}
    yield node
    del internet.documents[place]


def test_a_machine_from_its_creation_to_its_end(aleph, network, rich, compute_node, tmp_path):
    key, address = rich.private_key.hex(), rich.get_address()
    identity = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", identity], check=True)
    output = aleph(
        "instance", "create", "--payment-chain", "ETH", "--payment-type", "credit", "--name", "machine",
        "--rootfs", network.images["debian12"], "--compute-units", "1", "--rootfs-size", "20480", "--skip-volume",
        "--ssh-pubkey-file", identity.with_suffix(".pub"), "--crn-hash", compute_node["hash"], key=key, answers="\n" * 8,
    )
    assert "has been deployed" in output, output
    [message] = network.get(f"/api/v0/messages.json?msgTypes=INSTANCE&addresses={address}")["messages"]
    machine = Machine(network, message["item_hash"], identity)
    aleph_instance = lambda *words, **more: aleph("instance", *words, key=key, **more)  # noqa: E731

    assert "debian" in machine.enter("cat /etc/os-release && touch /root/kept && sync")
    first_boot = machine.ssh("cat /proc/sys/kernel/random/boot_id")
    listed = aleph_instance("list", "--json")
    [listed] = json.loads(listed[listed.index("[") : listed.rindex("]") + 1], strict=False)
    assert listed["instance"]["item_hash"] == machine.item_hash

    open_a_port(aleph_instance, machine)

    assert "VM rebooted on CRN" in aleph_instance("reboot", machine.item_hash)
    machine.enter(f"test $(cat /proc/sys/kernel/random/boot_id) != {first_boot.strip()} && test -e /root/kept")

    back_up_and_restore(aleph_instance, machine, tmp_path)

    assert "VM stopped on CRN" in aleph_instance("stop", machine.item_hash)
    until(machine.is_running, lambda running: not running)
    assert "VM allocated on CRN" in aleph_instance("start", machine.item_hash)
    machine.enter("test -e /root/kept")

    assert "VM reinstalled on CRN" in aleph_instance("reinstall", machine.item_hash, answers="y\n")
    machine.enter("test ! -e /root/kept")

    output = aleph_instance("delete", machine.item_hash, "--reason", "a test")
    assert f"Instance {machine.item_hash} has been deleted" in output
    until(machine.execution, lambda execution: execution is None)


def open_a_port(aleph_instance, machine):
    """A port that the owner asks for leads to the guest at once; nothing begins anew for it."""
    aleph_instance("port-forwarder", "create", machine.item_hash, "8080", "--tcp", "--no-udp")
    ports = lambda: machine.execution()["networking"]["mapped_ports"]  # noqa: E731
    mapping = until(ports, lambda ports: "8080" in ports)["8080"]
    assert mapping["tcp"] is True and mapping["udp"] is False
    machine.ssh("systemd-run --unit=web systemd-socket-activate --listen=0.0.0.0:8080 --inetd --accept /bin/echo here")
    said = until(lambda: attempt(lambda: hear(mapping["host"])), bool)
    assert said == "here\n"


def hear(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        return connection.makefile().read()


def back_up_and_restore(aleph_instance, machine, folder):
    """What was written before the backup is there after the restoration, what came later is not."""
    assert "Backup" in aleph_instance("backup", "create", machine.item_hash)
    until(
        lambda: attempt(lambda: aleph_instance("backup", "info", machine.item_hash)),
        lambda output: output is not None and "No backup" not in output and "Expires" in output, BOOT_SECONDS,
    )
    archive = folder / "backup.tar"
    aleph_instance("backup", "download", "--vm-id", machine.item_hash, "--output", archive)
    with tarfile.open(archive) as members:
        members.extract("rootfs.qcow2", folder, filter="data")
    machine.ssh("touch /root/later && sync")
    output = aleph_instance("backup", "restore", machine.item_hash, "--file", folder / "rootfs.qcow2", answers="y\n")
    assert "restored" in output.lower(), output
    machine.enter("test -e /root/kept && test ! -e /root/later")
