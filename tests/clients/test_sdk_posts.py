"""Posts by the released Python SDK: create, amend, list by every filter, forget."""

import datetime
import json

import pytest
from aleph.sdk.exceptions import InvalidMessageError
from aleph.sdk.query.filters import PostFilter, SortBy, SortOrder
from aleph.sdk.types import StorageEnum
from aleph_message.status import MessageStatus
from network import eventually, run

#: Type, channel, tags and ref of the posts that the filters choose among.
POSTS = [
    ("kind-a", "CHANNEL-1", ["red"], "ref-1"),
    ("kind-b", "CHANNEL-1", ["red", "green"], "ref-2"),
    ("kind-a", "CHANNEL-2", ["green"], None),
    ("kind-c", "CHANNEL-2", [], "ref-1"),
    ("kind-b", "CHANNEL-3", ["blue"], None),
]


@pytest.fixture(scope="module")
def published(network):
    """An account and its posts, oldest first."""
    from aleph.sdk.chains.common import generate_key
    from aleph.sdk.chains.ethereum import ETHAccount

    owner = ETHAccount(generate_key())

    async def publish():
        async with network.client(owner) as client:
            made = []
            for index, (kind, channel, tags, ref) in enumerate(POSTS):
                message, status = await client.create_post(
                    {"index": index, "tags": tags}, post_type=kind, channel=channel, ref=ref, sync=True
                )
                assert status == MessageStatus.PROCESSED
                made.append(message)
            return made

    return owner.get_address(), run(publish())


def indexes(posts):
    return [post.content["index"] for post in posts]


@pytest.mark.parametrize(
    "wanted, found",
    [
        ({}, [4, 3, 2, 1, 0]),
        ({"types": ["kind-a"]}, [2, 0]),
        ({"types": ["kind-a", "kind-c"]}, [3, 2, 0]),
        ({"refs": ["ref-1"]}, [3, 0]),
        ({"refs": ["ref-1", "ref-2"]}, [3, 1, 0]),
        ({"tags": ["green"]}, [2, 1]),
        ({"tags": ["red", "blue"]}, [4, 1, 0]),
        ({"channels": ["CHANNEL-2"]}, [3, 2]),
        ({"channels": ["CHANNEL-1", "CHANNEL-3"]}, [4, 1, 0]),
        ({"chains": ["ETH"]}, [4, 3, 2, 1, 0]),
        ({"sort_order": SortOrder.ASCENDING}, [0, 1, 2, 3, 4]),
        ({"sort_order": SortOrder.DESCENDING}, [4, 3, 2, 1, 0]),
        ({"sort_by": SortBy.TIME, "sort_order": SortOrder.ASCENDING}, [0, 1, 2, 3, 4]),
        # Nothing is confirmed on a chain: the time of the message decides.
        ({"sort_by": SortBy.TX_TIME}, [4, 3, 2, 1, 0]),
        ({"types": ["kind-a"], "tags": ["green"], "channels": ["CHANNEL-2"]}, [2]),
        ({"types": ["nothing is of this type"]}, []),
    ],
    ids=str,
)
def test_filters(network, published, wanted, found):
    address, _ = published

    async def scenario():
        async with network.reader() as client:
            post_filter = PostFilter(addresses=[address], **wanted)
            page = await client.get_posts(post_filter=post_filter)
            assert indexes(page.posts) == found
            assert page.pagination_total == len(found)
            if wanted.get("sort_by") != SortBy.TX_TIME:
                by_cursor = await client.get_posts_cursor(post_filter=post_filter)
                assert indexes(by_cursor.posts) == found
                assert by_cursor.next_cursor is None

    run(scenario())


def test_filters_of_hashes_and_dates(network, published):
    address, made = published

    async def scenario():
        async with network.reader() as client:

            async def found(**wanted):
                page = await client.get_posts(post_filter=PostFilter(addresses=[address], **wanted))
                return indexes(page.posts)

            assert await found(hashes=[made[1].item_hash, made[3].item_hash]) == [3, 1]
            # The start belongs to the range, the end does not.
            start, end = made[1].content.time, made[3].content.time
            assert await found(start_date=start) == [4, 3, 2, 1]
            assert await found(end_date=end) == [2, 1, 0]
            assert await found(start_date=start, end_date=end) == [2, 1]
            moment = datetime.datetime.fromtimestamp(start, datetime.timezone.utc)
            assert await found(start_date=moment, end_date=moment + datetime.timedelta(days=1)) == [4, 3, 2, 1]

    run(scenario())


def test_pages(network, published):
    address, _ = published

    async def scenario():
        async with network.reader() as client:
            post_filter = PostFilter(addresses=[address])
            found = []
            for page in (1, 2, 3, 4):
                answer = await client.get_posts(page_size=2, page=page, post_filter=post_filter)
                assert (answer.pagination_page, answer.pagination_per_page) == (page, 2)
                assert answer.pagination_item == "posts"
                assert answer.pagination_total == 5 or page > 3
                found.append(indexes(answer.posts))
            assert found == [[4, 3], [2, 1], [0], []]

    run(scenario())


def test_cursor_and_iterator(network, published):
    address, _ = published

    async def scenario():
        async with network.reader() as client:
            post_filter = PostFilter(addresses=[address])
            cursor, found = "", []
            while cursor is not None:
                answer = await client.get_posts_cursor(page_size=2, cursor=cursor, post_filter=post_filter)
                assert answer.pagination_per_page == 2
                found.append(indexes(answer.posts))
                cursor = answer.next_cursor
            assert found == [[4, 3], [2, 1], [0]]
            assert indexes([post async for post in client.get_posts_iterator(post_filter=post_filter)]) == [4, 3, 2, 1, 0]
            with pytest.raises(ValueError, match="tx-time"):
                await client.get_posts_cursor(post_filter=PostFilter(sort_by=SortBy.TX_TIME))

    run(scenario())


def test_what_a_post_says(network, published):
    address, made = published

    async def scenario():
        async with network.reader() as client:
            page = await client.get_posts(
                post_filter=PostFilter(hashes=[made[0].item_hash]), ignore_invalid_messages=False
            )
            [post] = page.posts
            message = made[0]
            assert post.chain == "ETH" and post.type == post.original_type == "kind-a"
            assert post.item_hash == post.hash == post.original_item_hash == message.item_hash
            assert post.sender == post.address == address
            assert (post.channel, post.ref) == ("CHANNEL-1", "ref-1")
            assert post.signature == post.original_signature == message.signature
            assert post.item_content == message.item_content and post.size == len(message.item_content)
            assert post.time == pytest.approx(message.content.time)
            assert (post.confirmed, post.confirmations) == (False, [])

    run(scenario())


def test_amends(network, stranger):
    async def scenario():
        async with network.client(stranger) as here:
            original, status = await here.create_post({"text": "first"}, post_type="note", channel="TEST", sync=True)
            assert status == MessageStatus.PROCESSED
            for text in ("second", "third"):
                amend, status = await here.create_post(
                    {"text": text}, post_type="amend", ref=original.item_hash, channel="TEST", sync=True
                )
                assert status == MessageStatus.PROCESSED
        async with network.reader(1) as there:
            by_original = PostFilter(hashes=[original.item_hash])
            page = await eventually(
                lambda: there.get_posts(post_filter=by_original),
                lambda page: page.posts and page.posts[0].item_hash == amend.item_hash,
            )
            [post] = page.posts
            assert post.content == {"text": "third"}
            assert (post.original_item_hash, post.original_type, post.type) == (original.item_hash, "note", "amend")
            assert post.original_signature == original.signature
            # The message itself says what was signed, for ever.
            message = await there.get_message(original.item_hash)
            assert message.content.content == {"text": "first"}
            listed = await there.get_posts(post_filter=PostFilter(addresses=[stranger.get_address()]))
            assert [post.item_hash for post in listed.posts] == [amend.item_hash]

    run(scenario())


def test_an_amend_by_another_account_is_refused(network, published, stranger):
    _, made = published

    async def scenario():
        async with network.client(stranger) as client:
            with pytest.raises(InvalidMessageError):
                await client.create_post(
                    {"text": "mine now"}, post_type="amend", ref=made[0].item_hash, channel="TEST", sync=True
                )

    run(scenario())


@pytest.mark.parametrize("engine", [StorageEnum.storage, StorageEnum.ipfs])
@pytest.mark.parametrize("how", ["asked for", "too long"])
def test_content_that_is_not_inline(network, stranger, engine, how):
    content = {"text": "x" * 60_000} if how == "too long" else {"text": f"short, {engine.value}"}

    async def scenario():
        async with network.client(stranger) as here:
            message, status = await here.create_post(
                content, post_type="long", channel="TEST", inline=how == "too long", storage_engine=engine, sync=True
            )
            assert (message.item_type.value, status) == (engine.value, MessageStatus.PROCESSED)
            assert message.item_content is None
        async with network.reader(1) as there:
            found = await eventually(lambda: there.get_message(message.item_hash))
            assert found.content.content == content
            [post] = (await there.get_posts(post_filter=PostFilter(hashes=[message.item_hash]))).posts
            assert post.content == content and post.item_content is None
            assert post.size == len(json.dumps(message.content.model_dump(exclude_none=True), separators=(",", ":")))

    run(scenario())


def test_forget(network, stranger):
    async def scenario():
        async with network.client(stranger) as client:
            original, _ = await client.create_post({"text": "a"}, post_type="note", channel="TEST", sync=True)
            amend, _ = await client.create_post(
                {"text": "b"}, post_type="amend", ref=original.item_hash, channel="TEST", sync=True
            )
            only = PostFilter(addresses=[stranger.get_address()])
            # Without its amend the post says again what it said.
            await client.forget([amend.item_hash], reason="a test", channel="TEST", sync=True)
            [post] = (await client.get_posts(post_filter=only)).posts
            assert (post.item_hash, post.content) == (original.item_hash, {"text": "a"})
            await client.forget([original.item_hash], reason="a test", channel="TEST", sync=True)
            assert (await client.get_posts(post_filter=only)).posts == []

    run(scenario())
