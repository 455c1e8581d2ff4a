"""Aggregates by the released Python SDK: create, merge, read, list, forget."""

import pytest
from aiohttp import ClientResponseError
from aleph_message.status import MessageStatus
from network import eventually, run


async def write(client, key, content, **options):
    message, status = await client.create_aggregate(key, content, channel="TEST", sync=True, **options)
    assert status == MessageStatus.PROCESSED
    return message


def test_elements_are_merged_and_reach_the_other_node(network, stranger):
    owner = stranger.get_address()

    async def scenario():
        async with network.client(stranger) as here:
            first = await write(here, "profile", {"name": "alice", "bio": "x", "nested": {"a": 1, "b": 2}})
            assert (first.content.key, first.content.address, first.channel) == ("profile", owner, "TEST")
            await write(here, "profile", {"bio": "y", "nested": {"c": 3}})
            # A merge is of the first level only.
            merged = {"name": "alice", "bio": "y", "nested": {"c": 3}}
            assert await here.fetch_aggregate(owner, "profile") == merged
            assert await here.get_aggregate(owner, "profile") == merged
        async with network.reader(1) as there:
            await eventually(lambda: there.fetch_aggregate(owner, "profile"), lambda found: found == merged)

    run(scenario())


def test_several_keys(network, stranger):
    owner = stranger.get_address()
    values = {"one": {"a": 1}, "two": {"b": [1, 2]}, "three": {"c": None, "d": "é"}}

    async def scenario():
        async with network.client(stranger) as client:
            for key, content in values.items():
                await write(client, key, content)
            assert await client.fetch_aggregates(owner) == values
            assert await client.get_aggregates(owner) == values
            chosen = {"one": values["one"], "three": values["three"]}
            assert await client.fetch_aggregates(owner, keys=["one", "three", "missing"]) == chosen
            assert await client.get_aggregates(owner, keys=["one", "three"]) == chosen

    run(scenario())


def test_what_is_not_there(network, stranger):
    owner = stranger.get_address()

    async def scenario():
        async with network.client(stranger) as client:
            assert await client.get_aggregate(owner, "any") is None
            assert await client.get_aggregates(owner) is None
            for ask in (client.fetch_aggregate(owner, "any"), client.fetch_aggregates(owner)):
                with pytest.raises(ClientResponseError) as refused:
                    await ask
                assert refused.value.status == 404
            await write(client, "one", {"a": 1})
            assert await client.get_aggregate(owner, "another") is None

    run(scenario())


def test_content_that_is_not_inline(network, stranger):
    content = {"text": "x" * 60_000}

    async def scenario():
        async with network.client(stranger) as here:
            long = await write(here, "long", content)
            short = await write(here, "short", {"a": 1}, inline=False)
            assert long.item_type == short.item_type == "storage"
        async with network.reader(1) as there:
            wanted = {"long": content, "short": {"a": 1}}
            await eventually(lambda: there.fetch_aggregates(stranger.get_address()), lambda found: found == wanted)

    run(scenario())


def test_lists(network):
    from aleph.sdk.chains.common import generate_key
    from aleph.sdk.chains.ethereum import ETHAccount

    owners = [ETHAccount(generate_key()) for _ in range(2)]
    addresses = [owner.get_address() for owner in owners]

    async def scenario():
        # Made in this order; then the first is written again, so it is the one last modified.
        order = [(0, "list-a"), (1, "list-a"), (0, "list-b"), (1, "list-c")]
        clients = [network.client(owner) for owner in owners]
        async with clients[0], clients[1]:
            for index, (owner, key) in enumerate(order):
                await write(clients[owner], key, {"index": index})
            await write(clients[0], "list-a", {"again": True})
        async with network.reader() as client:

            async def found(**wanted):
                answer = await client.list_aggregates(**{"addresses": addresses, **wanted})
                return [item["content"]["index"] for item in answer.aggregates]

            assert await found() == [0, 3, 2, 1]
            assert await found(sort_order=1) == [1, 2, 3, 0]
            assert await found(sort_by="creation_time") == [3, 2, 1, 0]
            assert await found(sort_by="creation_time", sort_order=1) == [0, 1, 2, 3]
            assert await found(keys=["list-a"]) == [0, 1]
            assert await found(keys=["list-b", "list-c"]) == [3, 2]
            assert await found(addresses=addresses[1:]) == [3, 1]
            assert await found(addresses=addresses[1:], keys=["list-b"]) == []
            assert await found(pagination=3) == [0, 3, 2] and await found(pagination=3, page=2) == [1]
            page = await client.list_aggregates(addresses=addresses, pagination=3, page=2)
            assert (page.pagination_page, page.pagination_per_page, page.pagination_total) == (2, 3, 4)
            assert page.pagination_item == "aggregates"
            [item] = page.aggregates
            assert (item["address"], item["key"]) == (addresses[1], "list-a")
            assert item["created"] == item["last_updated"]
            # Every owner of a key, which only the keys choose.
            answer = await client.list_aggregates(keys=["list-c"])
            assert [item["address"] for item in answer.aggregates] == addresses[1:]

    run(scenario())


def test_forget_of_an_element(network, stranger):
    owner = stranger.get_address()

    async def scenario():
        async with network.client(stranger) as client:
            first = await write(client, "notes", {"a": 1})
            second = await write(client, "notes", {"a": 2, "b": 2})
            await client.forget([second.item_hash], reason="a test", channel="TEST", sync=True)
            assert await client.fetch_aggregate(owner, "notes") == {"a": 1}
            await client.forget([first.item_hash], reason="a test", channel="TEST", sync=True)
            assert await client.get_aggregate(owner, "notes") is None

    run(scenario())
