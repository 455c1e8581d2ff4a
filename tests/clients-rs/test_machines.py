"""Programs, instances and nodes, by the released Rust command line."""

import json
import uuid

import pytest
from conftest import Refused, eventually, processed

SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "B" * 43


@pytest.fixture(scope="module")
def owner(people):
    return people[6]


@pytest.fixture(scope="module")
def image(owner, tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "image.bin"
    path.write_bytes(uuid.uuid4().bytes * 100)
    return processed(owner("file", "upload", path, "--storage-engine", "storage"))


@pytest.fixture(scope="module")
def instance(owner, image, tmp_path_factory):
    key = tmp_path_factory.mktemp("ssh") / "key.pub"
    key.write_text(SSH)
    said = owner(
        "instance", "create", "web", "--image", image, "--vcpus", "1", "--memory", "2GiB", "--disk-size", "20GiB",
        "--ssh-pubkey-file", key, "--persistent-volume", "name=data,mount=/data,size=1GiB",
    )
    return processed(said)


def test_a_program_is_created_updated_shown_and_deleted(owner, image, tmp_path):
    app = tmp_path / "app"
    app.mkdir()
    (app / "main.py").write_text("app = None\n")
    said = owner(
        "program", "create", app, "main:app", "--name", "demo", "--runtime", image, "--vcpus", "1", "--memory", "256MiB",
        "--timeout-seconds", "20", "--internet", "--updatable", "--env-vars", "A=b", "--ephemeral-volume", "mount=/tmp2,size=5MiB",
        "--payment-type", "credit",
    )
    assert [message["type"] for message in said] == ["STORE", "PROGRAM"]
    program = processed(said[1])
    content = owner.aleph("message", "get", program)["message"]["content"]
    assert [content["resources"]["memory"], content["variables"], content["runtime"]["ref"]] == [256, {"A": "b"}, image]
    assert program in json.dumps(owner.aleph("program", "list", "--address", owner.address))
    assert "demo" in json.dumps(owner.aleph("program", "show", program))
    (app / "main.py").write_text("app = 1\n")
    owner("program", "update", program, app)
    owner("program", "delete", program, "--yes")
    assert owner.aleph("message", "get", program)["status"] == "forgotten"


def test_an_instance_is_created_listed_and_shown(owner, instance, image):
    content = owner.aleph("message", "get", instance)["message"]["content"]
    assert content["rootfs"]["parent"]["ref"] == image and content["authorized_keys"] == [SSH]
    assert content["payment"]["type"] == "credit" and content["resources"]["memory"] == 2048
    assert instance in json.dumps(owner.aleph("instance", "list", "--address", owner.address))
    assert instance in json.dumps(eventually(lambda: owner.aleph("instance", "show", instance)))


def test_prices(owner, published):
    said = owner.aleph("instance", "price", "--vcpus", "2", "--memory", "4GiB", "--disk-size", "40GiB", node=published)
    assert any(character.isdigit() for character in json.dumps(said))


def test_ports_are_forwarded(owner, instance):
    listed = lambda: json.dumps(owner.aleph("instance", "port-forward", "list", "--address", owner.address))
    owner("instance", "port-forward", "create", instance, "8080")
    assert "8080" in listed()
    owner("instance", "port-forward", "update", instance, "8080", "--udp", "true")
    owner("instance", "port-forward", "delete", instance, "--port", "8080", "--yes")
    assert "8080" not in listed()


def test_an_instance_is_deleted(owner, image, tmp_path):
    key = tmp_path / "key.pub"
    key.write_text(SSH)
    created = processed(owner("instance", "create", "gone", "--image", image, "--vcpus", "1", "--memory", "2GiB", "--disk-size", "20GiB", "--ssh-pubkey-file", key))
    eventually(lambda: owner("instance", "delete", created, "--yes") is not None)
    assert owner.aleph("message", "get", created)["status"] == "forgotten"


def test_nodes(people, network):
    operator, tag = people[9], ["--network-tag", "local"]
    [registry, *_] = operator.aleph("message", "list", "--content-keys", "corechannel")
    listed = operator.aleph("node", "list", "--all", "--corechannel-address", registry["sender"])
    assert sorted(node["type"] for node in listed) == ["ccn", "ccn", "crn"]
    core = processed(operator("node", "create-ccn", "core", "--multiaddress", "/ip4/127.0.0.1/tcp/4025/p2p/QmZkurbY2G2hWay59yiTgQNaQxHSNzKZFt2jbnwJhQcKgV", *tag))
    compute = processed(operator("node", "create-crn", "compute", "--url", "https://crn.example.org", *tag))
    for words in [
        ["link", "--crn", compute], ["unlink", "--crn", compute], ["stake", "--node", core], ["unstake", "--node", core],
        ["amend", "--node", core, "--name", "renamed", "--locked", "true"], ["drop", "--node", core],
    ]:
        sent = processed(operator("node", *words, *tag))
        content = operator.aleph("message", "get", sent)["message"]["content"]
        assert content["type"] == "corechan-operation" and content["content"]["tags"], words
