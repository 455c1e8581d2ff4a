"""The stream of messages by the released Python SDK: history, live messages, filters."""

import asyncio

import pytest
from aleph.sdk.query.filters import MessageFilter
from aleph_message.models import MessageType
from network import eventually, run

WITHIN_SECONDS = 20


async def collect(client, message_filter, number):
    """The first messages of a stream."""
    found = []
    async for message in client.watch_messages(message_filter=message_filter):
        found.append(message)
        if len(found) == number:
            return found


@pytest.mark.parametrize("node", [0, 1], ids=["where they were sent", "at the other node"])
def test_history_and_live(network, stranger, node):
    """Ten messages from before, oldest first, and then each new one, once."""

    async def scenario():
        async with network.client(stranger) as here, network.reader(node) as watcher:
            sent = []

            async def send():
                message, _ = await here.create_post({"n": len(sent)}, "watched", channel="WATCHED", sync=True)
                sent.append(message.item_hash)

            for _ in range(12):
                await send()
            await eventually(lambda: watcher.get_message(sent[-1]))
            chosen = MessageFilter(addresses=[stranger.get_address()])
            stream = watcher.watch_messages(message_filter=chosen)
            history = [await anext(stream) for _ in range(10)]
            assert [message.item_hash for message in history] == sent[2:]
            for _ in range(5):
                await send()
                message = await anext(stream)
                assert message.item_hash == sent[-1]
                assert (message.content.content, message.channel) == ({"n": len(sent) - 1}, "WATCHED")
            await stream.aclose()

    run(asyncio.wait_for(scenario(), WITHIN_SECONDS))


#: Each filter, and which of the messages below it lets pass.
FILTERS = {
    "type": ({"message_types": [MessageType.aggregate]}, ["aggregate"]),
    "two types": ({"message_types": [MessageType.aggregate, MessageType.forget]}, ["aggregate", "forget"]),
    "content type": ({"content_types": ["kind-a"]}, ["kind-a"]),
    "content key": ({"content_keys": ["stream-key"]}, ["aggregate"]),
    "ref": ({"refs": ["stream-ref"]}, ["kind-b"]),
    "tag": ({"tags": ["stream-tag"]}, ["kind-b"]),
    "channel": ({"channels": ["STREAM-1"]}, ["kind-a", "aggregate"]),
    "chain": ({"chains": ["ETH"]}, ["kind-a", "kind-b", "aggregate", "forget"]),
    "status": ({"message_statuses": ["processed"]}, ["kind-a", "kind-b", "aggregate", "forget"]),
    "together": ({"message_types": [MessageType.post], "channels": ["STREAM-2"], "tags": ["stream-tag"]}, ["kind-b"]),
}


async def publish(client):
    """One message of each kind; the last is of every filter's sender and passes none but the sender's."""
    made = {}
    made["kind-a"], _ = await client.create_post({}, "kind-a", channel="STREAM-1", sync=True)
    made["kind-b"], _ = await client.create_post(
        {"tags": ["stream-tag"]}, "kind-b", ref="stream-ref", channel="STREAM-2", sync=True
    )
    made["aggregate"], _ = await client.create_aggregate("stream-key", {"a": 1}, channel="STREAM-1", sync=True)
    gone, _ = await client.create_post({}, "gone", channel="STREAM-3", sync=True)
    made["gone"] = gone
    made["forget"], _ = await client.forget([gone.item_hash], "a test", channel="STREAM-2", sync=True)
    return made


@pytest.mark.parametrize("name", FILTERS)
def test_filters_of_the_history(network, stranger, name):
    wanted, passing = FILTERS[name]

    async def scenario():
        async with network.client(stranger) as client:
            made = await publish(client)
            chosen = MessageFilter(addresses=[stranger.get_address()], **wanted)
            found = await collect(client, chosen, len(passing))
            assert [message.item_hash for message in found] == [made[kind].item_hash for kind in passing]

    run(asyncio.wait_for(scenario(), WITHIN_SECONDS))


@pytest.mark.parametrize("name", FILTERS)
def test_filters_of_live_messages(network, stranger, name):
    """The upstream node ignores some of these filters for live messages; ours does not (core-api.md §11.1)."""
    wanted, passing = FILTERS[name]

    async def scenario():
        async with network.client(stranger) as client:
            first = await publish(client)
            chosen = MessageFilter(addresses=[stranger.get_address()], **wanted)
            stream = client.watch_messages(message_filter=chosen)
            # The history first, so that the stream is known to be open.
            assert [(await anext(stream)).item_hash for _ in passing] == [first[kind].item_hash for kind in passing]
            live = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            second = await publish(client)
            found = [(await live).item_hash]
            # A post that was forgotten since was seen by whoever watched.
            seen = [kind for kind in second if kind in passing or (kind == "gone" and name in ("chain", "status"))]
            while len(found) < len(seen):
                found.append((await anext(stream)).item_hash)
            assert found == [second[kind].item_hash for kind in seen]
            await stream.aclose()

    run(asyncio.wait_for(scenario(), WITHIN_SECONDS))


def test_hashes_and_dates(network, stranger):
    async def scenario():
        async with network.client(stranger) as client:
            made = list((await publish(client)).values())
            address = stranger.get_address()
            [found] = await collect(client, MessageFilter(hashes=[made[1].item_hash]), 1)
            assert found.item_hash == made[1].item_hash
            since = MessageFilter(addresses=[address], start_date=made[2].time)
            assert [item.item_hash for item in await collect(client, since, 2)] == [made[2].item_hash, made[4].item_hash]
            until = MessageFilter(addresses=[address], end_date=made[2].time)
            assert [item.item_hash for item in await collect(client, until, 2)] == [made[0].item_hash, made[1].item_hash]

    run(asyncio.wait_for(scenario(), WITHIN_SECONDS))


def test_a_refused_filter(network):
    import aiohttp

    async def scenario():
        async with network.reader() as client:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await anext(client.watch_messages(message_filter=MessageFilter(start_date=20.0, end_date=10.0)))
            assert refused.value.status == 422

    run(asyncio.wait_for(scenario(), WITHIN_SECONDS))


def test_without_a_filter(network, stranger):
    async def scenario():
        async with network.client(stranger) as client:
            stream = client.watch_messages()
            for _ in range(10):
                await anext(stream)
            live = asyncio.ensure_future(anext(stream))
            message, _ = await client.create_post({}, "unfiltered", channel="TEST", sync=True)
            while (found := await live).item_hash != message.item_hash:
                live = asyncio.ensure_future(anext(stream))
            assert found.content.type == "unfiltered"
            await stream.aclose()

    run(asyncio.wait_for(scenario(), WITHIN_SECONDS))
