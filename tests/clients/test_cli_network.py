"""The released command line: nodes, prices, its version."""

import json

import pytest
from network import run


def test_nodes(aleph, network):
    [compute] = json.loads(aleph("node", "compute", "--json"))
    assert compute["hash"] == network.compute_hashes[0] and compute["address"] == network.compute[0]
    cores = json.loads(aleph("node", "core", "--json", "--active"))
    assert sorted(core["address"] for core in cores) == sorted(network.core)
    assert compute["hash"] in aleph("node", "compute") and all(core["hash"] in aleph("node", "core") for core in cores)

    owner = network.foundation.get_address()
    [parent] = [core["hash"] for core in cores if compute["hash"] in core["resource_nodes"]]
    for matching in (
        ["--active"], ["--address", owner], ["--crn-url", network.compute[0]], ["--crn-hash", compute["hash"]],
        ["--ccn-hash", parent],
    ):
        assert json.loads(aleph("node", "compute", "--json", *matching)) == [compute], matching
    for other in (["--address", "0x0"], ["--crn-hash", "0" * 64], ["--payg-receiver", "0x1"]):
        assert json.loads(aleph("node", "compute", "--json", *other)) == [], other
    assert [core["hash"] for core in json.loads(aleph("node", "core", "--json", "--ccn-hash", parent))] == [parent]
    assert json.loads(aleph("node", "core", "--json", "--address", "0x0")) == []


@pytest.mark.parametrize("service", ["storage", "website", "program", "instance", "confidential", "gpu", "all"])
def test_prices(aleph, service):
    assert aleph("pricing", service).strip()
    assert all(documents(aleph("pricing", service, "--json")))


def documents(output):
    """The program prints one document for each price, one after another."""
    found, rest = [], output[output.index("{") :].strip()
    while rest.startswith("{"):
        document, end = json.JSONDecoder().raw_decode(rest)
        found.append(document)
        rest = rest[end:].strip()
    assert not rest, rest
    return found


def test_prices_of_a_tier(aleph):
    output = aleph("pricing", "instance", "--tier", "2", "--payment-type", "credit", "--no-null", "--json")
    assert "14250" in output
    assert aleph("pricing", "gpu", "--with-current-availability").strip()


def test_version(aleph):
    # The program ends with 1 after its version, on purpose or not.
    assert "Aleph CLI Version: 1.9.3" in aleph("about", "version", code=1)


def test_a_domain(aleph, network, rich):
    """What the aggregate `domains` of an account says of a name; an IPFS site needs no name server."""
    key = rich.private_key.hex()
    assert "not configured" in aleph("domain", "info", "example.org", key=key)
    site = {"message_id": "a" * 64, "type": "ipfs", "programType": "ipfs", "options": {"catch_all_path": "/404.html"}}

    async def attach():
        async with network.client(rich) as client:
            await client.create_aggregate("domains", {"example.org": site}, channel="TEST", sync=True)

    run(attach())
    output = aleph("domain", "info", "example.org", key=key)
    assert "a" * 64 in output and "/404.html" in output


@pytest.mark.parametrize("words", [
    ["attach", "example.org", "--item-hash", "0" * 64, "--no-ask"], ["detach", "example.org", "--no-ask"],
    ["add", "example.org", "--target", "ipfs", "--item-hash", "0" * 64, "--no-ask"],
], ids=lambda words: words[0])
def test_names_are_not_resolved_by_the_released_program(aleph, rich, words):
    """It asks name servers of third parties, and installs with two libraries that do not fit each other."""
    aleph("domain", *words, key=rich.private_key.hex(), code=1)
    assert isinstance(aleph.failure, TypeError) and "Channel.query()" in str(aleph.failure)
