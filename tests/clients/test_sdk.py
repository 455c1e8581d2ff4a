"""The released Python SDK, unmodified, pointed at the local network."""

import asyncio
import time

import pytest
from aleph.sdk.client import AlephHttpClient, AuthenticatedAlephHttpClient
from aleph.sdk.query.filters import MessageFilter, PostFilter
from aleph_message.models import MessageType
from aleph_message.status import MessageStatus

VISIBLE_SECONDS = 10


def run(coroutine):
    return asyncio.run(coroutine)


async def eventually(ask, accept):
    """Asks again and again until the answer is accepted, or fails."""
    deadline = time.monotonic() + VISIBLE_SECONDS
    while True:
        answer, failure = None, None
        try:
            answer = await ask()
            if accept(answer):
                return answer
        except Exception as error:  # not visible yet
            failure = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not visible within {VISIBLE_SECONDS} s: {answer!r} {failure!r}")
        await asyncio.sleep(0.02)


def test_post_amend_and_read_at_the_other_node(network, account):
    async def scenario():
        async with AuthenticatedAlephHttpClient(account, api_server=network.core[0]) as here:
            message, status = await here.create_post(
                post_content={"title": "hello", "tags": ["news"]}, post_type="note", channel="TEST", sync=True
            )
            assert status == MessageStatus.PROCESSED
            amend, status = await here.create_post(
                post_content={"title": "hello again"}, post_type="amend", ref=message.item_hash, channel="TEST", sync=True
            )
            assert status == MessageStatus.PROCESSED
        async with AlephHttpClient(api_server=network.core[1]) as there:
            posts = await eventually(
                lambda: there.get_posts(post_filter=PostFilter(hashes=[message.item_hash])),
                lambda posts: posts.posts and posts.posts[0].item_hash == amend.item_hash,
            )
            assert posts.posts[0].content == {"title": "hello again"}
            assert posts.posts[0].original_item_hash == message.item_hash
            found = await there.get_message(message.item_hash)
            assert found.content.content == {"title": "hello", "tags": ["news"]}
            listed = await there.get_messages(message_filter=MessageFilter(tags=["news"], channels=["TEST"]))
            assert message.item_hash in [item.item_hash for item in listed.messages]

    run(scenario())


def test_aggregate(network, account):
    async def scenario():
        async with AuthenticatedAlephHttpClient(account, api_server=network.core[0]) as here:
            await here.create_aggregate("profile", {"name": "alice", "bio": "x"}, channel="TEST", sync=True)
            await here.create_aggregate("profile", {"bio": "y"}, channel="TEST", sync=True)
            assert await here.fetch_aggregate(account.get_address(), "profile") == {"name": "alice", "bio": "y"}
        async with AlephHttpClient(api_server=network.core[1]) as there:
            await eventually(
                lambda: there.fetch_aggregate(account.get_address(), "profile"),
                lambda value: value == {"name": "alice", "bio": "y"},
            )

    run(scenario())


@pytest.mark.parametrize("size", [0, 21, 1_000_003])
def test_file(network, account, size):
    content = (b"Hello file. " * (size // 12 + 1))[:size] + b"!"

    async def scenario():
        async with AuthenticatedAlephHttpClient(account, api_server=network.core[0]) as here:
            message, status = await here.create_store(file_content=content, channel="TEST", sync=True)
            assert status == MessageStatus.PROCESSED
            assert await here.download_file(message.content.item_hash) == content
        async with AlephHttpClient(api_server=network.core[1]) as there:
            await eventually(
                lambda: there.download_file(message.content.item_hash), lambda found: found == content
            )

    run(scenario())


def test_content_too_long_to_be_inline(network, account):
    async def scenario():
        async with AuthenticatedAlephHttpClient(account, api_server=network.core[0]) as here:
            text = "x" * 60_000
            message, _ = await here.create_post(
                post_content={"text": text}, post_type="long", channel="TEST", sync=True
            )
            assert message.item_type == "storage"
        async with AlephHttpClient(api_server=network.core[1]) as there:
            found = await eventually(lambda: there.get_message(message.item_hash), lambda found: found is not None)
            assert found.content.content["text"] == text

    run(scenario())


def test_forget(network, account):
    async def scenario():
        async with AuthenticatedAlephHttpClient(account, api_server=network.core[0]) as here:
            message, _ = await here.create_post(post_content={"a": 1}, post_type="note", channel="TEST", sync=True)
            _, status = await here.forget([message.item_hash], reason="test", channel="TEST", sync=True)
            assert status == MessageStatus.PROCESSED
            assert await here.get_message_status(message.item_hash) is not None
        async with AlephHttpClient(api_server=network.core[1]) as there:
            await eventually(
                lambda: there.get_message_status(message.item_hash), lambda found: found == MessageStatus.FORGOTTEN
            )

    run(scenario())


def test_watch(network, account):
    async def scenario():
        async with AuthenticatedAlephHttpClient(account, api_server=network.core[0]) as here:
            async with AlephHttpClient(api_server=network.core[1]) as there:
                stream = there.watch_messages(
                    message_filter=MessageFilter(message_types=[MessageType.post], channels=["WATCHED"])
                )
                first = asyncio.ensure_future(anext(stream))
                # The subscription is made when the stream is first asked.
                while not first.done():
                    await here.create_post(
                        post_content={"t": time.time()}, post_type="watched", channel="WATCHED", sync=True
                    )
                    await asyncio.wait([first], timeout=0.2)
                assert first.result().channel == "WATCHED"

    run(asyncio.wait_for(scenario(), VISIBLE_SECONDS))


def test_balance(network, account):
    async def scenario():
        async with AlephHttpClient(api_server=network.core[1]) as there:
            balance = await there.get_balances(account.get_address())
            assert balance.balance >= 1000

    run(scenario())


def test_a_wrong_signature_is_refused(network, account):
    from aleph.sdk.exceptions import InvalidMessageError

    class Forger(type(account)):
        async def sign_message(self, message):
            message = await super().sign_message(message)
            return {**message, "signature": "0x" + "11" * 64 + "1b"}

    async def scenario():
        forger = Forger(account.private_key)
        async with AuthenticatedAlephHttpClient(forger, api_server=network.core[0]) as here:
            with pytest.raises(InvalidMessageError):
                await here.create_post(post_content={"a": 2}, post_type="note", channel="TEST", sync=True)

    run(scenario())
