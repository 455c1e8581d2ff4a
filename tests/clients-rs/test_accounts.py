"""Accounts, settings and credits, by the released Rust command line."""

import json
import uuid

import pytest
from conftest import Refused, processed

PASSWORD = {"ALEPH_PASSWORD": "one two three"}
KEY = "11" * 32
ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "B" * 43


def test_accounts_are_kept_encrypted(aleph, tmp_path):
    made = aleph("account", "create", "alice", "--encrypted", environment=PASSWORD)
    assert made["address"].startswith("0x")
    key = tmp_path / "key.txt"
    key.write_text(KEY)
    for name, words in [("bob", ["--private-key", KEY]), ("carol", ["--from-file", key])]:
        said = aleph("account", "import", name, *words, "--encrypted", environment=PASSWORD)
        assert said["address"] == ADDRESS
    aleph("account", "use", "bob")
    assert {"alice", "bob", "carol"} <= {entry["name"] for entry in aleph("account", "list")}
    assert aleph("account", "show", "bob")["address"] == ADDRESS
    assert processed(aleph("post", "create", "--type", "encrypted", "--content", "{}", environment=PASSWORD))
    assert KEY in json.dumps(aleph("account", "export", "bob", "--yes", environment=PASSWORD))
    aleph("account", "set", "bob", "--chain", "base")
    aleph("account", "set", "bob", "--name", "robert")
    assert aleph("account", "show", "robert")["chain"].upper() == "BASE"
    aleph("account", "remove", "carol", "--yes")
    assert "carol" not in {entry["name"] for entry in aleph("account", "list")}


def test_accounts_of_the_python_client_are_taken_over(aleph, tmp_path):
    said = aleph("account", "migrate", "--python-home", tmp_path, "--dry-run")
    assert said["migrated"] == []


def test_names_for_addresses(aleph, people):
    friend = people[7]
    aleph("account", "alias", "add", "friend", friend.address)
    assert friend.address in json.dumps(aleph("account", "alias", "list"))
    assert aleph("account", "balance", "friend")["address"] == friend.address
    aleph("account", "alias", "remove", "friend")
    with pytest.raises(Refused):
        aleph("account", "balance", "friend")


def test_balances(aleph, people):
    said = aleph("account", "balance", people[8].address)
    assert float(said["aleph_tokens"]) == 1_000_000
    assert int(said["credits"]) > 0
    assert float(said["locked_aleph_tokens"]) >= 0


def test_keys_of_ssh(aleph, people, tmp_path):
    author = people[7]
    file = tmp_path / "key.pub"
    file.write_text(SSH)
    processed(author("account", "ssh-key", "add", "laptop", file))
    assert "laptop" in json.dumps(aleph("account", "ssh-key", "list", "--address", author.address))
    author("account", "ssh-key", "remove", "laptop", "--yes")
    assert "laptop" not in json.dumps(aleph("account", "ssh-key", "list", "--address", author.address))


def test_credits(aleph, people):
    giver = people[7]
    history = aleph("credit", "history", "--address", giver.address, "--page-size", "5", "--page", "1")
    [grant] = history["credit_history"]
    assert grant["amount"] > 0 and grant["message_timestamp"]
    assert aleph("credit", "summary", "--address", giver.address)["total_incoming"] == grant["amount"]
    for filters in [["--expenses"], ["--resource-type", "store"], ["--resource", "ab" * 32], ["--end", "2020-01-01"]]:
        assert aleph("credit", "summary", "--address", giver.address, *filters)["entry_count"] == 0
    assert aleph("credit", "summary", "--address", giver.address, "--top-ups", "--since", "7d")["entry_count"] == 1
    with pytest.raises(Refused):
        giver("credit", "transfer", "--to", people[8].address, "--amount", "10", "--yes", "--expiration", "2001-01-01T00:00:00Z")
    assert processed(giver("credit", "transfer", "--to", people[8].address, "--amount", "10", "--yes"))


def test_settings(aleph, network):
    name = f"net{uuid.uuid4().hex[:6]}"
    plain = lambda *words: aleph(*words, node="")
    plain("config", "network", "add", name, "--scheduler-url", "http://127.0.0.1:1")
    plain("config", "network", "set", "--network", name, "--scheduler-url", network.core[0])
    assert network.core[0] in json.dumps(plain("config", "network", "show", name))
    assert name in json.dumps(plain("config", "network", "list"))
    plain("config", "ccn", "add", "there", network.core[1], "--network", name)
    plain("config", "ccn", "use", "there", "--network", name)
    assert network.core[1] in json.dumps(plain("config", "ccn", "show", "there", "--network", name))
    assert network.core[1] in json.dumps(plain("config", "ccn", "list", "--network", name))
    plain("config", "ccn", "remove", "there", "--network", name, "--yes")
    plain("config", "network", "remove", name, "--yes")
    assert name not in json.dumps(plain("config", "network", "list"))
    assert "aleph" in aleph("completions", "bash", node="")
