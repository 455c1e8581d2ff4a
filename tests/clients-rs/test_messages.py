"""Posts, aggregates, authorizations and messages, by the released Rust command line."""

import json
import urllib.error
import urllib.request
import uuid

import pytest
from conftest import Refused, eventually, processed, read

KEY = "11" * 32


def fresh(stem):
    return f"{stem}-{uuid.uuid4().hex[:8]}"


def test_a_post_is_created_amended_listed_and_forgotten(people, network):
    author, channel, tag = people[1], fresh("POSTS"), fresh("tag")
    kind = fresh("note")
    post = processed(author("post", "create", "--type", kind, "--content", json.dumps({"a": 1, "tags": [tag]}), "--channel", channel))
    amend = processed(author("post", "amend", "--ref", post, "--content", json.dumps({"a": 2, "tags": [tag]}), "--channel", channel))
    filters = [
        ["--hashes", post], ["--channels", channel], ["--post-types", kind], ["--tags", tag],
        ["--addresses", author.address, "--channels", channel], ["--channels", channel, "--start-date", "1"],
        ["--channels", channel, "--sort-by", "tx-time", "--sort-order", "asc", "--pagination", "5", "--page", "1"],
    ]
    for node in network.core:
        for wanted in filters:
            posts = eventually(lambda: author.aleph("post", "list", *wanted, node=node), lambda said: len(said) == 1)
            assert posts[0]["content"]["a"] == 2, wanted
            assert posts[0]["item_hash"] == amend and posts[0]["original_item_hash"] == post
        old = author.aleph("post", "list", "--api-version", "0", "--hashes", post, node=node)
        assert [old[0]["type"], old[0]["original_type"], old[0]["item_hash"]] == ["amend", kind, amend]
    assert author.aleph("post", "list", "--channels", channel, "--end-date", "1") == []
    assert author.aleph("post", "list", "--refs", fresh("none")) == []
    processed(author("message", "forget", post, "--reason", "no more", "--yes"))
    assert author.aleph("post", "list", "--hashes", post) == []
    assert author.aleph("message", "get", post)["status"] == "forgotten"


def test_messages_are_listed_by_every_filter(people, network):
    author, channel, key, kind, tag = people[2], fresh("MESSAGES"), fresh("key"), fresh("kind"), fresh("tag")
    post = processed(author("post", "create", "--type", kind, "--content", json.dumps({"tags": [tag]}), "--channel", channel))
    aggregate = processed(author("aggregate", "create", "--key", key, "--content", '{"a": 1}', "--channel", channel))
    one, both = {post}, {post, aggregate}
    cases = [
        (["--channels", channel], both), (["--channels", channel, "--message-type", "post"], one),
        (["--channels", channel, "--message-types", "post,aggregate"], both), (["--content-types", kind], one),
        (["--content-keys", key], {aggregate}), (["--tags", tag], one), (["--hashes", post], one),
        (["--channels", channel, "--addresses", author.address], both), (["--channels", channel, "--owners", author.address], both),
        (["--channels", channel, "--chains", "ETH"], both), (["--channels", channel, "--chains", "SOL"], set()),
        (["--channels", channel, "--start-date", "1"], both), (["--channels", channel, "--end-date", "1"], set()),
        (["--channels", channel, "--message-statuses", "processed"], both), (["--refs", fresh("none")], set()),
        (["--content-hashes", "ab" * 32], set()), (["--channels", channel, "--sort-by", "time", "--sort-order", "asc"], both),
    ]
    for node in network.core:
        for words, wanted in cases:
            found = eventually(lambda: author.aleph("message", "list", *words, node=node), lambda said: len(said) == len(wanted))
            assert {message["item_hash"] for message in found} == wanted, words
    assert len(author.aleph("message", "list", "--count", "1")) == 1
    found = author.aleph("message", "get", post)
    assert found["status"] == "processed" and found["message"]["content"]["content"] == {"tags": [tag]}
    with pytest.raises(Refused, match="not found"):
        author.aleph("message", "get", "ab" * 32)


def test_aggregates(people, aleph):
    author, key = people[3], fresh("key")
    first = processed(author("aggregate", "create", "--key", key, "--content", '{"a": 1, "b": {"c": 2}}'))
    processed(author("aggregate", "edit", "--key", key, "--content", '{"a": 3, "b": {"c": 2}, "d": 4}', "--yes"))
    assert aleph("aggregate", "get", key, "--address", author.address) == {key: {"a": 3, "b": {"c": 2}, "d": 4}}
    processed(author("aggregate", "edit", "--key", key, "--subkey", "b", "--content", '{"c": 5}', "--yes"))
    processed(author("aggregate", "unset", "--key", key, "--subkey", "d", "--yes"))
    value = aleph("aggregate", "get", key, "--address", author.address)[key]
    assert value["a"] == 3 and value["b"] == {"c": 5} and not value.get("d")
    assert key in json.dumps(aleph("aggregate", "list", "--address", author.address))
    # A bug of the client: it names an element where the protocol wants the key, so the FORGET waits for ever.
    assert author("aggregate", "forget", first, "--yes")["message_status"] == "pending"
    assert aleph("aggregate", "get", key, "--address", author.address)[key] == value


def test_rights_are_given_used_seen_and_taken(people, aleph):
    owner, helper = people[4], people[5]
    content = ["--type", "note", "--content", "{}", "--on-behalf-of", owner.address, "--channel", "SHARED"]
    with pytest.raises(Refused, match="(?i)permission|authorized|rejected"):
        helper("post", "create", *content)
    processed(owner(
        "authorization", "add", helper.address, "--channels", "SHARED", "--message-types", "post,aggregate",
        "--post-types", "note", "--aggregate-keys", "profile", "--delegate-chain", "eth",
    ))
    post = processed(helper("post", "create", *content))
    assert aleph("message", "get", post)["message"]["content"]["address"] == owner.address
    with pytest.raises(Refused):
        helper("post", "create", *content[:-1], "OTHER")
    given = json.dumps(aleph("authorization", "list", "--address", owner.address))
    assert helper.address in given and "SHARED" in given
    assert helper.address in json.dumps(aleph("authorization", "list", "--address", owner.address, "--delegate", helper.address))
    assert owner.address in json.dumps(aleph("authorization", "received", "--address", helper.address))
    assert owner.address in json.dumps(aleph("authorization", "received", "--address", helper.address, "--granter", owner.address))
    processed(owner("authorization", "revoke", helper.address))
    assert helper.address not in json.dumps(aleph("authorization", "list", "--address", owner.address))
    with pytest.raises(Refused):
        helper("post", "create", *content)
    owner("authorization", "add", helper.address)
    processed(owner("authorization", "revoke", "--all"))


def test_a_rejected_message_is_told_and_sent_again(people, aleph, network):
    helper, owner = people[5], people[6]
    words = ["post", "create", "--type", "note", "--content", "{}", "--on-behalf-of", owner.address]
    with pytest.raises(Refused) as told:
        helper(*words)
    assert '"rejection_code": 2' in str(told.value)
    signed = helper(*words, "--dry-run")
    assert sent(network.core[0], signed) == 422
    rejected = aleph("message", "get", signed["item_hash"])
    assert [rejected["status"], rejected["error_code"]] == ["rejected", 2]
    processed(owner("authorization", "add", helper.address))
    assert aleph("message", "retry", signed["item_hash"], "--dry-run")["signature"] == signed["signature"]
    assert processed(aleph("message", "retry", signed["item_hash"])) == signed["item_hash"]


def sent(node, message):
    """Sends a message as it is; answers the status of HTTP."""
    body = json.dumps({"sync": True, "message": message}).encode()
    request = urllib.request.Request(f"{node}/api/v0/messages", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_messages_are_carried_to_another_node(people, network, aleph):
    post = processed(people[1]("post", "create", "--type", "carried", "--content", "{}", "--channel", fresh("SYNC")))
    eventually(lambda: read(f"{network.core[1]}/api/v0/messages/{post}"))
    aleph("message", "sync", "--source", network.core[0], "--target", network.core[1], "--count", "50", "--dry-run")
    aleph("message", "sync", "--source", network.core[0], "--target", network.core[1], "--count", "50")


def test_nothing_is_sent_when_tried_dry(people, aleph):
    said = people[1]("post", "create", "--type", "dry", "--content", "{}", "--dry-run")
    with pytest.raises(Refused):
        aleph("message", "get", said["item_hash"])


EVM = "base avax bsc arb op pol sonic zora blast bob cyber etherlink frax hype ink lens linea lisk metis mode unichain wld"

REFUSED = {"aurora": 0, "stt": 0}
"""Chains that the command line signs for and the network cannot verify, and the code it gives."""


@pytest.mark.parametrize("chain", ["sol", "es", *EVM.split()])
def test_other_chains(aleph, chain):
    processed(aleph("post", "create", "--type", "note", "--content", "{}", "--chain", chain, key=KEY))


@pytest.mark.parametrize("chain", REFUSED)
def test_chains_that_the_network_does_not_verify(aleph, chain):
    with pytest.raises(Refused) as told:
        aleph("post", "create", "--type", "note", "--content", "{}", "--chain", chain, key=KEY)
    assert f'"rejection_code": {REFUSED[chain]}' in str(told.value)
