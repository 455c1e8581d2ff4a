"""Messages by the released Python SDK: every filter, pages, cursors, one message in every status."""

import pytest
from aiohttp import ClientResponseError
from aleph.sdk.exceptions import ForgottenMessageError, InvalidMessageError, MessageNotFoundError
from aleph.sdk.query.filters import MessageFilter, SortBy, SortOrder
from aleph_message.models import AggregateMessage, MessageType, PostMessage, StoreMessage
from aleph_message.status import MessageStatus
from network import eventually, run

UNKNOWN = "0" * 63 + "1"


@pytest.fixture(scope="module")
def published(network):
    """An account and one message after another: two posts, two aggregates, a file, a forget."""
    from aleph.sdk.chains.common import generate_key
    from aleph.sdk.chains.ethereum import ETHAccount

    owner = ETHAccount(generate_key())

    async def publish():
        await network.give_tokens({owner.get_address(): 10})
        async with network.client(owner) as client:
            answers = [
                await client.create_post({"tags": ["red"]}, "type-a", channel="MESSAGES-1", ref="m-1", sync=True),
                await client.create_post({"tags": ["red", "blue"]}, "type-b", channel="MESSAGES-2", sync=True),
                await client.create_aggregate("key-a", {"x": 1}, channel="MESSAGES-1", sync=True),
                await client.create_aggregate("key-b", {"tags": ["blue"]}, channel="MESSAGES-3", sync=True),
                await client.create_store(file_content=b"of messages", ref="m-2", channel="MESSAGES-2", sync=True),
            ]
            gone, _ = await client.create_post({}, "gone", channel="MESSAGES-1", sync=True)
            answers.append(await client.forget([gone.item_hash], "a test", channel="MESSAGES-4", sync=True))
            assert {status for _, status in answers} == {MessageStatus.PROCESSED}
            return [message for message, _ in answers], gone

    made, gone = run(publish())
    return owner.get_address(), made, gone


@pytest.mark.parametrize(
    "wanted, found",
    [
        ({}, [5, 4, 3, 2, 1, 0]),
        ({"message_types": [MessageType.post]}, [1, 0]),
        ({"message_types": [MessageType.store, MessageType.forget]}, [5, 4]),
        ({"message_types": [MessageType.program]}, []),
        ({"message_statuses": ["processed"]}, [5, 4, 3, 2, 1, 0]),
        ({"message_statuses": ["processed", "removing"]}, [5, 4, 3, 2, 1, 0]),
        ({"message_statuses": ["pending", "rejected"]}, []),
        ({"content_types": ["type-b"]}, [1]),
        ({"content_types": ["type-a", "type-b"]}, [1, 0]),
        ({"content_keys": ["key-b"]}, [3]),
        ({"content_keys": ["key-a", "key-b", "no key"]}, [3, 2]),
        ({"refs": ["m-1"]}, [0]),
        ({"refs": ["m-1", "m-2"]}, [4, 0]),
        ({"tags": ["red"]}, [1, 0]),
        ({"tags": ["blue"]}, [3, 1]),
        ({"channels": ["MESSAGES-1"]}, [2, 0]),
        ({"channels": ["MESSAGES-3", "MESSAGES-4"]}, [5, 3]),
        ({"chains": ["ETH"]}, [5, 4, 3, 2, 1, 0]),
        ({"chains": ["SOL"]}, []),
        ({"sort_order": SortOrder.ASCENDING}, [0, 1, 2, 3, 4, 5]),
        ({"sort_by": SortBy.TIME}, [5, 4, 3, 2, 1, 0]),
        ({"sort_by": SortBy.TX_TIME, "sort_order": SortOrder.ASCENDING}, [0, 1, 2, 3, 4, 5]),
        ({"message_types": [MessageType.post], "tags": ["red"], "channels": ["MESSAGES-2"]}, [1]),
    ],
    ids=str,
)
def test_filters(network, published, wanted, found):
    address, made, _ = published
    hashes = [made[index].item_hash for index in found]

    async def scenario():
        async with network.reader() as client:
            message_filter = MessageFilter(addresses=[address], **wanted)
            page = await client.get_messages(message_filter=message_filter, ignore_invalid_messages=False)
            assert [message.item_hash for message in page.messages] == hashes
            assert page.pagination_total == len(hashes)
            if wanted.get("sort_by") != SortBy.TX_TIME:
                by_cursor = await client.get_messages_cursor(message_filter=message_filter)
                assert [message.item_hash for message in by_cursor.messages] == hashes

    run(scenario())


def test_filters_of_hashes_and_dates(network, published):
    address, made, _ = published

    async def scenario():
        async with network.reader() as client:

            async def found(**wanted):
                page = await client.get_messages(message_filter=MessageFilter(addresses=[address], **wanted))
                return [[message.item_hash for message in made].index(item.item_hash) for item in page.messages]

            assert await found(hashes=[made[0].item_hash, made[4].item_hash]) == [4, 0]
            assert await found(start_date=made[2].time) == [5, 4, 3, 2]
            assert await found(end_date=made[2].time) == [1, 0]
            assert await found(start_date=made[1].time, end_date=made[4].time) == [3, 2, 1]
            many = [f"{number:064x}" for number in range(99)]
            assert await found(hashes=[*many, made[1].item_hash]) == [1]

    run(scenario())


def test_pages_cursors_and_iterator(network, published):
    address, made, _ = published
    newest_first = [message.item_hash for message in reversed(made)]

    async def scenario():
        async with network.reader() as client:
            message_filter = MessageFilter(addresses=[address])
            first = await client.get_messages(page_size=4, page=1, message_filter=message_filter)
            second = await client.get_messages(page_size=4, page=2, message_filter=message_filter)
            assert [message.item_hash for message in first.messages + second.messages] == newest_first
            assert (second.pagination_page, second.pagination_per_page, second.pagination_total) == (2, 4, 6)
            assert second.pagination_item == "messages"

            cursor, pages = "", []
            while cursor is not None:
                answer = await client.get_messages_cursor(page_size=4, cursor=cursor, message_filter=message_filter)
                assert answer.pagination_per_page == 4
                pages.append([message.item_hash for message in answer.messages])
                cursor = answer.next_cursor
            assert pages == [newest_first[:4], newest_first[4:]]
            every = [message.item_hash async for message in client.get_messages_iterator(message_filter=message_filter)]
            assert every == newest_first
            with pytest.raises(ValueError, match="tx-time"):
                await client.get_messages_cursor(message_filter=MessageFilter(sort_by=SortBy.TX_TIME))
            with pytest.raises(ClientResponseError) as refused:
                await client.get_messages_cursor(cursor="no cursor")
            assert refused.value.status == 422

    run(scenario())


def test_a_refused_filter(network):
    async def scenario():
        async with network.reader() as client:
            with pytest.raises(ClientResponseError) as refused:
                await client.get_messages(message_filter=MessageFilter(start_date=20.0, end_date=10.0))
            assert refused.value.status == 422

    run(scenario())


def test_one_message(network, published):
    address, made, _ = published

    async def scenario():
        async with network.reader(1) as client:
            kinds = [PostMessage, PostMessage, AggregateMessage, AggregateMessage, StoreMessage]
            for message, kind in zip(made, kinds):
                found, status = await eventually(
                    lambda: client.get_message(message.item_hash, message_type=kind, with_status=True)
                )
                assert isinstance(found, kind) and status == MessageStatus.PROCESSED
                assert found.content.model_dump(exclude_none=True) == message.content.model_dump(exclude_none=True)
                for name in ("sender", "chain", "signature", "item_content", "item_type", "item_hash", "channel"):
                    assert getattr(found, name) == getattr(message, name)
                assert found.time == message.time
            with pytest.raises(TypeError, match="does not match the expected type"):
                await client.get_message(made[0].item_hash, message_type=StoreMessage)
            assert await client.get_message_error(made[0].item_hash) is None

    run(scenario())


def test_unknown_messages(network):
    async def scenario():
        async with network.reader() as client:
            for ask in (client.get_message, client.get_message_error, client.get_message_status):
                with pytest.raises(MessageNotFoundError, match=UNKNOWN):
                    await ask(UNKNOWN)
            with pytest.raises(ClientResponseError) as refused:
                await client.get_message("no hash")
            assert refused.value.status == 400

    run(scenario())


def test_a_forgotten_message(network, published):
    _, made, gone = published

    async def scenario():
        async with network.reader() as client:
            assert await client.get_message_status(gone.item_hash) == MessageStatus.FORGOTTEN
            for ask in (client.get_message, client.get_message_error):
                with pytest.raises(ForgottenMessageError, match=made[5].item_hash):
                    await ask(gone.item_hash)
        async with network.reader(1) as there:
            await eventually(
                lambda: there.get_message_status(gone.item_hash), lambda found: found == MessageStatus.FORGOTTEN
            )

    run(scenario())


def test_a_rejected_message(network, stranger, account):
    """A post in the name of another account who has not allowed it."""

    async def scenario():
        async with network.client(stranger) as client:
            content = {"type": "x", "address": account.get_address(), "content": {}, "time": 1.0}
            message, status, answer = await client.submit(
                content, MessageType.post, channel="TEST", sync=True, raise_on_rejected=False
            )
            assert status == MessageStatus.REJECTED
            published = {"status": "success", "failed": []}
            assert answer == {"publication_status": published, "message_status": "rejected"}
            assert await client.get_message_status(message.item_hash) == MessageStatus.REJECTED
            error = await client.get_message_error(message.item_hash)
            assert error["error_code"] == 2
            assert stranger.get_address() in error["details"]["errors"][0]
            with pytest.raises(InvalidMessageError) as refused:
                await client.submit(content, MessageType.post, channel="TEST", sync=True)
            assert refused.value.errors["message_status"] == "rejected"

    run(scenario())


def test_a_wrong_signature_is_refused(network, account):
    class Forger(type(account)):
        async def sign_message(self, message):
            return {**await super().sign_message(message), "signature": "0x" + "11" * 64 + "1b"}

    async def scenario():
        async with network.client(Forger(account.private_key)) as client:
            with pytest.raises(InvalidMessageError):
                await client.create_post({"a": 2}, post_type="note", channel="TEST", sync=True)

    run(scenario())


def test_a_message_that_waits(network, stranger):
    """An amend whose original nobody has yet; then the original comes."""

    async def scenario():
        async with network.client(stranger) as client:
            content = {"type": "later", "address": stranger.get_address(), "content": {"v": 1}, "time": 1_700_000_000.0}
            original = await client.generate_signed_message(MessageType.post, content, channel="TEST")
            amend, status = await client.create_post({"v": 2}, "amend", ref=original.item_hash, channel="TEST")
            assert status == MessageStatus.PENDING
            assert await client.get_message_status(amend.item_hash) == MessageStatus.PENDING
            with pytest.raises(KeyError):
                # A pending message has no `message`; the client does not expect that.
                await client.get_message(amend.item_hash)
            _, status, _ = await client.submit(content, MessageType.post, channel="TEST", sync=True)
            assert status == MessageStatus.PROCESSED
            await eventually(
                lambda: client.get_message_status(amend.item_hash), lambda found: found == MessageStatus.PROCESSED
            )

    run(scenario())


@pytest.mark.parametrize("sync", [True, False])
def test_submission_and_repetition(network, stranger, sync):
    async def scenario():
        async with network.client(stranger) as client:
            content = {"type": "t", "address": stranger.get_address(), "content": {"s": sync}, "time": 1_700_000_000.5}
            message, status, answer = await client.submit(content, MessageType.post, channel="TEST", sync=sync)
            assert status == (MessageStatus.PROCESSED if sync else MessageStatus.PENDING)
            assert answer["publication_status"] == {"status": "success", "failed": []}
            await eventually(
                lambda: client.get_message_status(message.item_hash), lambda found: found == MessageStatus.PROCESSED
            )
            again, status, _ = await client.submit(content, MessageType.post, channel="TEST", sync=True)
            assert (again.item_hash, status) == (message.item_hash, MessageStatus.PROCESSED)

    run(scenario())


def test_who_may_forget(network, published, stranger):
    address, made, _ = published

    async def scenario():
        async with network.client(stranger) as client:
            with pytest.raises(InvalidMessageError):
                await client.forget([made[0].item_hash], reason="not mine", channel="TEST", sync=True)
            assert await client.get_message_status(made[0].item_hash) == MessageStatus.PROCESSED

    run(scenario())
