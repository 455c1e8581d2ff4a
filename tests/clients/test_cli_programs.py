"""The released command line: programs that a compute node runs, updated, persisted, deleted."""

import json
import re
import shutil
import urllib.request

import pytest
from aleph.sdk.conf import settings
from cli import until
from network import ROOT

EXAMPLE = ROOT / "examples/fastapi"
ANSWER_SECONDS = 120


@pytest.fixture
def owner(rich):
    return rich.private_key.hex(), rich.get_address()


@pytest.fixture
def app(tmp_path):
    # The program writes an archive beside the folder.
    folder = tmp_path / "app"
    shutil.copytree(EXAMPLE, folder)
    return folder


def created(output):
    """Item hash of the program that an output speaks of."""
    found = re.search(r"Your program ([0-9a-f]{64})", output)
    assert found, output
    return found[1]


def create(aleph, app, key, *options, command="create"):
    return created(aleph(
        "program", command, app, "main:app", "--name", "hello", "--skip-volume", "--skip-env-var", "--compute-units", "1",
        "--timeout-seconds", "30", *options, key=key, answers="\n" * 8,
    ))


def content_of(network, item_hash):
    return network.get(f"/api/v0/messages/{item_hash}")["message"]["content"]


def status_of(network, item_hash):
    return network.get(f"/api/v0/messages/{item_hash}/status")["status"]


def test_a_program_answers(aleph, network, owner, app):
    """By the installed executable itself, as a developer runs it."""
    key, _ = owner
    item_hash = created(aleph.run(
        "program", "create", app, "main:app", "--name", "hello", "--skip-volume", "--skip-env-var", "--compute-units", "1",
        "--timeout-seconds", "30", key=key, answers="\n" * 8,
    ))
    with urllib.request.urlopen(f"{network.compute[0]}/vm/{item_hash}/", timeout=ANSWER_SECONDS) as answer:
        assert answer.status == 200
        assert answer.headers["Aleph-Program-ItemHash"] == item_hash
        assert json.load(answer)


def test_every_option_of_a_program(aleph, network, owner, app, tmp_path):
    key, address = owner
    output = aleph(
        "program", "upload", app, "main:app", "--name", "full", "--runtime",
        "63f07193e6ee9d207b7d1fcf8286f9aee34e6f12f101d2ec77c1229f92964696", "--vcpus", "2", "--memory", "4096",
        "--timeout-seconds", "15", "--internet", "--updatable", "--ephemeral-volume", "mount=/tmp/x,size_mib=10",
        "--env-vars", "KEY=value,OTHER=more", "--payment-chain", "ETH", "--channel", "CLI", "--address", address,
        "--print-messages", "--print-code-message", "--print-program-message", key=key, answers="\n" * 8,
    )
    content = content_of(network, created(output))
    assert content["metadata"] == {"name": "full"} and content["allow_amend"]
    assert (content["resources"]["vcpus"], content["resources"]["memory"], content["resources"]["seconds"]) == (2, 4096, 15)
    assert content["environment"]["internet"] and content["variables"] == {"KEY": "value", "OTHER": "more"}
    assert [volume["mount"] for volume in content["volumes"]] == ["/tmp/x"]
    assert content["payment"]["type"] == "hold"


def test_update_list_and_delete(aleph, network, owner, app):
    key, address = owner
    item_hash = create(aleph, app, key)
    code = content_of(network, item_hash)["code"]["ref"]
    (app / "main.py").write_text((app / "main.py").read_text() + "\n# changed\n")
    assert "has been updated" in aleph("program", "update", item_hash, app, key=key)
    tag = until(
        lambda: network.get(f"/api/v0/storage/by-ref/{code}"),
        lambda found: found["file_hash"] != network.get(f"/api/v0/messages/{code}")["message"]["content"]["item_hash"],
    )
    assert tag["owner"] == address

    table = aleph("program", "list", "--address", address, key=key)
    assert "hello" in table and item_hash in table
    # The released program prints JSON by a call that its own models refuse since their version 2.
    aleph("program", "list", "--json", key=key, code=1)
    assert isinstance(aleph.failure, TypeError) and "dumps_kwargs" in str(aleph.failure)

    output = aleph("program", "delete", item_hash, "--reason", "a test", key=key)
    assert f"Program {item_hash} has been deleted" in output
    until(lambda: status_of(network, item_hash), lambda status: status == "forgotten")
    until(lambda: status_of(network, code), lambda status: status == "forgotten")
    assert "already deleted" in aleph("program", "delete", item_hash, key=key)


def test_persistent_programs_hold_no_tokens_any_more(aleph, network, owner, app):
    """The program always pays by holding; new persistent programs are refused that (processing.md §15.2).

    `persist` does not wait for the node: it says that it worked, and the node has rejected the message.
    """
    key, _ = owner
    item_hash = create(aleph, app, key, "--updatable")
    output = aleph("program", "persist", item_hash, "--keep-prev", key=key)
    assert "now persistent" in output and "INTACT" in output
    [successor] = [found for found in re.findall(r"[0-9a-f]{64}", output) if found != item_hash][:1]
    error = until(
        lambda: network.get(f"/api/v0/messages/{successor}"), lambda found: found["status"] == "rejected"
    )
    assert error["error_code"] == 202
    assert status_of(network, item_hash) == "processed"
    assert "already unpersistent" in aleph("program", "unpersist", item_hash, key=key)


def test_who_cannot_pay(aleph, network, stranger, app):
    from network import run

    key = stranger.private_key.hex()
    run(network.give_tokens({stranger.get_address(): 10}))
    output = aleph(
        "program", "create", app, "main:app", "--name", "poor", "--skip-volume", "--skip-env-var", "--compute-units", "1",
        key=key, answers="\n" * 8, code=1,
    )
    assert "Insufficient funds" in output


def test_programs_of_nobody(aleph, stranger, app):
    key = stranger.private_key.hex()
    assert "No program found" in aleph("program", "list", key=key, code=1)
    for command in (["update", "0" * 64, app], ["persist", "0" * 64], ["unpersist", "0" * 64], ["delete", "0" * 64]):
        assert "does not exist" in aleph("program", *command, key=key)


def test_logs(aleph, network, owner, app):
    key, _ = owner
    item_hash = create(aleph, app, key)
    # Nothing has called the program yet, so no compute node has logs of it.
    output = aleph("program", "logs", item_hash, "--domain", network.compute[0], key=key)
    assert "Server didn't found any execution of this program" in output


def test_the_runtime_checker(aleph, owner, monkeypatch):
    """It deploys a program of its own and asks aleph.sh for its answer: that name leads to our compute node.

    It waits 15 s for the first answer; a compute node that emulates its processor may need longer.
    """
    key, _ = owner
    monkeypatch.setattr(type(settings), "HTTP_REQUEST_TIMEOUT", ANSWER_SECONDS)
    runtime = "63f07193e6ee9d207b7d1fcf8286f9aee34e6f12f101d2ec77c1229f92964696"
    output = aleph("program", "runtime-checker", runtime, key=key, answers="\n" * 8)
    assert "Python: 3." in output and "Distribution: Debian" in output
