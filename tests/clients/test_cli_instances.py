"""The released command line: instances, as far as no guest has to run (test_cli_machines.py)."""

import json
import re

import pytest
from aleph.sdk.chains.common import generate_key
from cli import until
from network import run

CREDITS = "credit"


@pytest.fixture
def owner(rich):
    return rich.private_key.hex(), rich.get_address()


@pytest.fixture
def rootfs(network, rich):
    """It calls itself an image of a disk and is none, so that machines of it never run."""
    async def store():
        async with network.client(rich) as client:
            message, _ = await client.create_store(file_content=b"QFI\xfb is no image", channel="CLI", sync=True)
            return message.item_hash

    return run(store())


@pytest.fixture
def compute_node(network, internet):
    """The list of compute nodes, in which ours says that it runs instances."""
    node = dict(network.get("/crns.json")["crns"][0])
    node.update(qemu_support=True, version="1.9.0", ipv6_check={"host": True, "vm": True})
    place = ("crns-list.aleph.sh", "/crns.json")
    internet.documents[place] = {"crns": [node]}
    yield node
    del internet.documents[place]


@pytest.fixture
def ssh_key(tmp_path):
    path = tmp_path / "id.pub"
    path.write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHk5 someone@here\n")
    return path


def create(aleph, network, key, rootfs, ssh_key, *options, code=0):
    return aleph(
        "instance", "create", "--payment-chain", "ETH", "--name", "machine", "--rootfs", rootfs, "--compute-units", "1",
        "--rootfs-size", "20480", "--ssh-pubkey-file", ssh_key, "--skip-volume", *options, key=key, answers="\n" * 8,
        code=code,
    )


def instances_of(network, address):
    return network.get(f"/api/v0/messages.json?msgTypes=INSTANCE&addresses={address}")["messages"]


@pytest.fixture
def instance(aleph, network, owner, rootfs, compute_node, ssh_key):
    """Item hash of an instance that asks for our compute node."""
    key, address = owner
    create(aleph, network, key, rootfs, ssh_key, "--payment-type", CREDITS, "--crn-hash", compute_node["hash"])
    [message] = instances_of(network, address)
    return message["item_hash"]


def test_create(aleph, network, owner, rootfs, compute_node, ssh_key):
    key, address = owner
    output = create(
        aleph, network, key, rootfs, ssh_key, "--payment-type", CREDITS, "--crn-hash", compute_node["hash"],
        "--persistent-volume", "name=kept,mount=/kept,size_mib=1024", "--timeout-seconds", "60", "--print-message",
    )
    [message] = instances_of(network, address)
    assert message["item_hash"] in output
    content = message["content"]
    assert content["rootfs"]["parent"]["ref"] == rootfs and content["metadata"] == {"name": "machine"}
    assert content["payment"]["type"] == "credit"
    assert content["requirements"]["node"]["node_hash"] == compute_node["hash"]
    assert content["authorized_keys"] == [ssh_key.read_text().strip()]
    assert [volume["mount"] for volume in content["volumes"]] == ["/kept"]
    # Every instance gets its SSH port.
    ports = until(lambda: network.get(f"/api/v0/aggregates/{address}.json?keys=port-forwarding")["data"]["port-forwarding"])
    assert ports == {message["item_hash"]: {"ports": {"22": {"tcp": True, "udp": False}}}}


def test_tokens_are_not_taken_any_more(aleph, network, owner, rootfs, compute_node, ssh_key):
    """Code 202 (processing.md §15.2), which the program does not know by name."""
    key, address = owner
    output = create(aleph, network, key, rootfs, ssh_key, "--payment-type", "hold", code=1)
    assert "Instance creation failed" in output and "Unknown error code 202" in output
    assert instances_of(network, address) == []


def test_who_cannot_pay(aleph, network, rootfs, compute_node, ssh_key):
    key = generate_key().hex()
    output = create(
        aleph, network, key, rootfs, ssh_key, "--payment-type", CREDITS, "--crn-hash", compute_node["hash"], code=1,
    )
    assert "Insufficient funds (CREDIT)" in output


def test_list_and_delete(aleph, network, owner, instance):
    key, address = owner
    output = aleph("instance", "list", "--json", key=key)
    # The program folds the lines of its JSON, even within texts.
    [listed] = json.loads(output[output.index("[") : output.rindex("]") + 1], strict=False)
    assert listed["instance"]["item_hash"] == instance
    assert listed["allocation"]["crn_url"].rstrip("/") == network.compute[0]
    assert instance[:10] in re.sub(r"\s", "", aleph("instance", "list", "--address", address, key=key))
    output = aleph("instance", "delete", instance, "--reason", "a test", "--print-message", key=key)
    assert f"Instance {instance} has been deleted" in output
    until(lambda: network.get(f"/api/v0/messages/{instance}/status")["status"], lambda status: status == "forgotten")
    assert "already deleted" in aleph("instance", "delete", instance, key=key, code=1)
    assert "does not exist" in aleph("instance", "delete", "0" * 64, key=key, code=1)
    assert "No instance found" in aleph("instance", "list", key=key, code=1)


def test_ports(aleph, network, owner, instance):
    key, address = owner

    def ports():
        whole = network.get(f"/api/v0/aggregates/{address}.json?keys=port-forwarding")["data"]["port-forwarding"]
        return (whole[instance] or {}).get("ports")

    ssh = {"22": {"tcp": True, "udp": False}}
    until(ports, lambda found: found == ssh)
    command = ("instance", "port-forwarder")
    assert "created successfully" in aleph(*command, "create", instance, "8080", "--tcp", "--no-udp", key=key)
    until(ports, lambda found: found == {**ssh, "8080": {"tcp": True, "udp": False}})
    assert "update request was accepted" in aleph(*command, "update", instance, "8080", "--no-tcp", "--udp", key=key)
    until(ports, lambda found: found == {**ssh, "8080": {"tcp": False, "udp": True}})
    for options in ([], ["--vm-id", instance], ["--address", address]):
        table = aleph(*command, "list", *options, key=key)
        assert instance in table and "machine" in table and "8080" in table
    # The compute node is found, and no machine of that image runs on it.
    assert f"{instance} not found on crn" in aleph(*command, "refresh", instance, key=key, code=1)
    assert "delete request was accepted" in aleph(*command, "delete", instance, "--port", "8080", key=key, answers="y\n")
    until(ports, lambda found: found == ssh)
    assert "delete request was accepted" in aleph(*command, "delete", instance, key=key, answers="y\n")
    # It "deletes" every port of a machine by writing the same ports again (see test_sdk_services.py).
    assert ports() == ssh


REFUSED = "the disk image is refused"

#: What an operator may ask of the compute node of a machine whose image is none; test_cli_machines.py has the same
#: for a machine that runs.
OPERATIONS = [
    (["allocate"], [], REFUSED, 0),
    (["start"], [], REFUSED, 0),
    (["stop"], [], "VM stopped on CRN", 0),
    (["reboot"], [], "Status: 400", 0),
    (["reinstall"], [], REFUSED, 1),
    (["reinstall"], ["--keep-data"], REFUSED, 1),
    (["logs"], [], "VM is not running, past logs sent", 0),
    (["backup", "create"], [], "VM must be running to create backup", 1),
    (["backup", "info"], [], "No backup found", 0),
    (["backup", "delete"], ["backup-1"], "Backup does not belong to this VM", 1),
    (["backup", "restore"], ["--volume-ref", "0" * 64], "the core node knows no file of it", 1),
]


@pytest.mark.parametrize("command, options, wanted, code", OPERATIONS, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_operations(aleph, network, owner, instance, compute_node, command, options, wanted, code):
    key, _ = owner

    def ask():
        # Until the scheduler has told the compute node of the machine, the node knows none of that name.
        try:
            return aleph("instance", *command, instance, *options, key=key, answers="y\n" * 4, code=code)
        except AssertionError as other:
            return str(other)

    until(ask, lambda output: wanted in output)


def test_a_backup_is_downloaded_from_where_it_is(aleph, network, owner, instance, tmp_path):
    key, _ = owner
    output = aleph("instance", "backup", "download", "--vm-id", instance, "--output", tmp_path / "b", key=key, code=1)
    assert "No backup found" in output


def test_gpus(aleph, network, internet, owner, rootfs, compute_node, ssh_key):
    key, address = owner
    options = [
        "--payment-chain", "ETH", "--name", "gpu", "--rootfs", rootfs, "--rootfs-size", "61440", "--ssh-pubkey-file", ssh_key,
        "--skip-volume", "--crn-hash", compute_node["hash"],
    ]
    assert "No available GPU found" in aleph("instance", "gpu", *options, key=key, answers="\n" * 8, code=1)


@pytest.mark.parametrize("command", ["confidential-init-session", "confidential-start", "confidential"])
def test_confidential_machines_need_a_tool_of_a_third_party(aleph, owner, instance, command, monkeypatch):
    key, _ = owner
    monkeypatch.setenv("PATH", "")
    assert "sevctl binary is not available" in aleph("instance", command, instance, key=key, code=1)
