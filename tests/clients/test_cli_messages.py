"""The released command line: messages, aggregates, authorizations."""

import json
import stat

import pytest
from cli import until
from network import run


@pytest.fixture
def owner(stranger):
    """Key and address of a new account."""
    return stranger.private_key.hex(), stranger.get_address()


def post_of(network, address):
    return network.get(f"/api/v0/posts.json?addresses={address}")["posts"]


def said(output):
    """The JSON document in an output."""
    return json.loads(output[output.index("{") : output.rindex("}") + 1])


def test_a_post_and_its_amend(aleph, network, owner, tmp_path, monkeypatch):
    key, address = owner
    path = tmp_path / "post.json"
    path.write_text('{"title": "first"}')
    output = aleph("message", "post", "--path", path, "--type", "note", "--ref", "a-ref", "--channel", "CLI", key=key)
    message = said(output)
    [post] = until(lambda: post_of(network, address))
    assert (post["item_hash"], post["type"], post["ref"], post["channel"]) == (message["item_hash"], "note", "a-ref", "CLI")
    assert post["content"] == {"title": "first"}

    shown = aleph("message", "get", post["item_hash"])
    assert "processed" in shown and '"title": "first"' in shown

    editor = tmp_path / "editor"
    # In place: the command keeps the file open.
    editor.write_text('#!/bin/sh\ntext=$(sed s/first/second/ "$1") && printf "%s" "$text" > "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("EDITOR", str(editor))
    aleph("message", "amend", post["item_hash"], key=key)
    [amended] = until(lambda: post_of(network, address), lambda posts: posts[0]["type"] == "amend")
    assert amended["content"] == {"title": "second"} and amended["original_item_hash"] == post["item_hash"]


def test_a_post_typed_in(aleph, network, owner):
    key, address = owner
    aleph("message", "post", "--type", "typed", key=key, answers='{"typed":\n true}\n')
    [post] = until(lambda: post_of(network, address))
    assert post["content"] == {"typed": True}
    assert "Not valid JSON" in aleph("message", "post", key=key, answers="no JSON\n", code=2)


def test_messages_are_found(aleph, network, owner):
    key, address = owner
    aleph("message", "post", "--type", "found", "--channel", "CLI-FIND", key=key, answers='{"tags": ["cli-tag"]}\n')
    [post] = until(lambda: post_of(network, address))

    def hashes(*filters):
        output = aleph("message", "find", "--addresses", address, *filters)
        return [message["item_hash"] for message in said(output)["messages"]]

    chosen = (
        ["--message-types", "POST"], ["--content-types", "found,other"], ["--tags", "cli-tag"], ["--chains", "ETH"],
        ["--hashes", post["item_hash"]], ["--channels", "CLI-FIND"], ["--start-date", "2020-01-01"],
        ["--end-date", "2100-01-01"], ["--pagination", "1", "--page", "1"], [],
    )
    for filters in chosen:
        assert hashes(*filters) == [post["item_hash"]], filters
    for filters in (
        ["--message-types", "STORE"], ["--content-keys", "k"], ["--refs", "r"], ["--end-date", "2020-01-01"],
        ["--pagination", "1", "--page", "2"],
    ):
        assert hashes(*filters) == [], filters


def test_forget(aleph, network, owner):
    key, address = owner
    aleph("message", "post", key=key, answers="{}\n")
    [post] = until(lambda: post_of(network, address))
    aleph("message", "forget", post["item_hash"], "--reason", "a test", "--channel", "CLI", key=key)
    until(lambda: post_of(network, address), lambda posts: posts == [])
    assert "has been forgotten" in aleph("message", "get", post["item_hash"])
    assert "does not exist" in aleph("message", "get", "0" * 64)


def test_a_message_is_signed(aleph, owner):
    key, address = owner
    message = {"chain": "ETH", "sender": address, "type": "POST", "item_hash": "0" * 64}
    by_option = said(aleph("message", "sign", "--message", json.dumps(message), key=key))
    by_input = said(aleph("message", "sign", key=key, answers=json.dumps(message) + "\n"))
    assert by_option == by_input and by_option["signature"].startswith("0x") and len(by_option["signature"]) == 132


def test_amends_are_watched(aleph, network, account):
    """By the executable, which watches until it is stopped."""

    async def write(content, post_type, ref=None):
        async with network.client(account) as client:
            message, _ = await client.create_post(content, post_type, ref=ref, channel="CLI", sync=True)
            return message.item_hash

    original = run(write({"v": 1}, "watched"))
    before = run(write({"v": 2}, "amend", ref=original))
    process = aleph.program("message", "watch", original)
    try:
        assert json.loads(process.stdout.readline())["item_hash"] == before
        after = run(write({"v": 3}, "amend", ref=original))
        assert json.loads(process.stdout.readline())["item_hash"] == after
    finally:
        process.kill()
        process.communicate()


def test_aggregates(aleph, network, owner):
    key, address = owner

    def value():
        return network.get(f"/api/v0/aggregates/{address}.json")["data"]

    output = aleph("aggregate", "post", "profile", '{"name": "alice", "bio": "x"}', "--sync", "--inline", key=key)
    assert "has been created/updated" in output
    aleph("aggregate", "post", "profile", "y", "--subkey", "bio", "--channel", "CLI", "--sync", key=key)
    assert value() == {"profile": {"name": "alice", "bio": "y"}}
    assert said(aleph("aggregate", "get", "profile", key=key)) == {"name": "alice", "bio": "y"}
    assert said(aleph("aggregate", "get", "profile", "--subkeys", "bio", "--address", address, key=key)) == {"bio": "y"}
    assert "No aggregate found" in aleph("aggregate", "get", "nothing", key=key)
    assert said(aleph("aggregate", "list", "--json", "--address", address, key=key)) == value()
    assert "alice" in aleph("aggregate", "list", key=key)
    aleph("aggregate", "forget", "profile", "--subkeys", "bio", "--sync", key=key)
    assert value() == {"profile": {"name": "alice", "bio": None}}
    aleph("aggregate", "forget", "profile", "--sync", key=key)
    assert value() == {"profile": {"name": None, "bio": None}}
    assert "not found" in aleph("aggregate", "forget", "nothing", key=key, code=1)


def test_authorizations(aleph, network, owner):
    key, address = owner
    delegate, other = network.addresses[2], network.addresses[3]

    def granted():
        return said_list(aleph("authorizations", "list", "--json", key=key))

    def said_list(output):
        return json.loads(output[output.index("[") : output.rindex("]") + 1])

    assert granted() == []
    aleph(
        "authorizations", "add", delegate, "--channels", "A,B", "--message-types", "post,aggregate", "--post-types", "n",
        "--aggregate-keys", "k", key=key,
    )
    first = {"address": delegate, "chain": None, "channels": ["A", "B"], "types": ["POST", "AGGREGATE"],
             "post_types": ["n"], "aggregate_keys": ["k"]}
    until(granted, lambda found: found == [first])
    aleph("authorizations", "add", other, "--chain", "ETH", key=key)
    until(granted, lambda found: len(found) == 2)
    assert "n" in aleph("authorizations", "list", "--address", address, "--delegate", delegate)
    aleph("authorizations", "revoke", delegate, key=key)
    until(granted, lambda found: [entry["address"] for entry in found] == [other])
    aleph("authorizations", "revoke", "--all", key=key)
    until(granted, lambda found: found == [])
    assert "provide a delegate address" in aleph("authorizations", "revoke", key=key, code=1)
