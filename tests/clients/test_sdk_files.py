"""Files by the released Python SDK: both engines, small and large, folders, lists, downloads."""

import hashlib
import io
import tarfile

import aleph_cid
import pytest
from aiohttp import ClientResponseError
from aleph.sdk.exceptions import ResourceNotFoundError
from aleph.sdk.query.filters import AccountFilesFilter, SortOrder
from aleph.sdk.query.responses import FileType
from aleph.sdk.types import StorageEnum
from aleph_message.models.execution.base import Payment, PaymentType
from aleph_message.status import MessageStatus
from network import eventually, run
from pydantic import ValidationError

ENGINES = [StorageEnum.storage, StorageEnum.ipfs]
MIB = 1024 * 1024
#: One IPFS block is 256 KiB: below, at and above its edges.
SIZES = [1, 21, 256 * 1024, 256 * 1024 + 1, 1_000_003]


def content_of(size, seed=b""):
    """`size` bytes without repetition of blocks."""
    return hashlib.shake_256(seed + str(size).encode()).digest(size)


def hash_of(content, engine):
    return hashlib.sha256(content).hexdigest() if engine == StorageEnum.storage else aleph_cid.compute_cid(content)


@pytest.fixture(scope="module")
def owner(network):
    """An account of this file alone, so that its list of files is exact."""
    from aleph.sdk.chains.common import generate_key
    from aleph.sdk.chains.ethereum import ETHAccount

    owner = ETHAccount(generate_key())
    run(network.give_tokens({owner.get_address(): 100_000}))
    return owner


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", SIZES)
def test_store_and_fetch_at_both_nodes(network, account, engine, size):
    content = content_of(size)

    async def scenario():
        async with network.client(account) as here:
            message, status = await here.create_store(
                file_content=content, storage_engine=engine, channel="TEST", sync=True
            )
            assert status == MessageStatus.PROCESSED
            stored = message.content
            assert (stored.item_hash, stored.item_type.value) == (hash_of(content, engine), engine.value)
            assert await here.download_file(stored.item_hash) == content
        async with network.reader(1) as there:
            await eventually(lambda: there.download_file(stored.item_hash), lambda found: found == content)

    run(scenario())


@pytest.mark.parametrize("engine", ENGINES)
def test_an_empty_file(network, account, engine):
    async def scenario():
        async with network.client(account) as client:
            message, status = await client.create_store(
                file_content=b"", storage_engine=engine, channel="TEST", sync=True
            )
            assert status == MessageStatus.PROCESSED
            assert await client.download_file(message.content.item_hash) == b""

    run(scenario())


@pytest.mark.parametrize("engine", ENGINES)
def test_100_megabytes(network, account, engine, tmp_path):
    """The largest file that the `storage` engine takes: from a path, and streamed back to one."""
    content = content_of(1 * MIB, seed=engine.value.encode()) * 100
    source = tmp_path / "large"
    source.write_bytes(content)

    async def scenario():
        async with network.client(account) as here:
            message, status = await here.create_store(
                file_path=source, storage_engine=engine, channel="TEST", sync=True
            )
            assert status == MessageStatus.PROCESSED
            item_hash = message.content.item_hash
            path = await here.download_file_to_path(item_hash, tmp_path / "folder" / "fetched")
            assert path.read_bytes() == content

            class Counter:
                """Takes what comes, chunk by chunk."""

                chunks, digest = 0, hashlib.sha256()

                def write(self, chunk):
                    self.chunks += 1
                    self.digest.update(chunk)

            counter = Counter()
            await here.download_file_to_buffer(item_hash, counter)
            assert counter.chunks > 100
            assert counter.digest.digest() == hashlib.sha256(content).digest()

    run(scenario())


def test_one_byte_too_many_is_refused(network, account):
    async def scenario():
        async with network.client(account) as client:
            with pytest.raises(ClientResponseError) as refused:
                await client.create_store(file_content=bytes(100 * MIB + 1), channel="TEST", sync=True)
            assert refused.value.status == 413
            with pytest.raises(ClientResponseError) as refused:
                await client.storage_push_file(bytes(25 * MIB + 1))
            assert refused.value.status == 413

    run(scenario())


@pytest.mark.parametrize("engine", ENGINES)
def test_uploads_without_a_message(network, account, engine):
    """A file and a document, and then a STORE message that pins the file by its hash."""
    content = content_of(3000, seed=b"pushed" + engine.value.encode())

    async def scenario():
        async with network.client(account) as client:
            push_file = client.storage_push_file if engine == StorageEnum.storage else client.ipfs_push_file
            push = client.storage_push if engine == StorageEnum.storage else client.ipfs_push
            file_hash = await push_file(content)
            assert file_hash == hash_of(content, engine)
            message, status = await client.create_store(
                file_hash=file_hash, storage_engine=engine, channel="TEST", sync=True,
                extra_fields={"metadata": {"name": "pushed.bin"}},
            )
            assert (message.content.item_hash, status) == (file_hash, MessageStatus.PROCESSED)
            assert await client.download_file(file_hash) == content

            # A document is written in one way only: sorted, compact.
            document_hash = await push({"b": 1})
            assert document_hash == hash_of(b'{"b":1}', engine)
            assert await client.download_file(document_hash) == b'{"b":1}'

    run(scenario())


def test_what_a_store_message_may_say(network, owner):
    content = b"<html><body>a page</body></html>"

    async def scenario():
        async with network.client(owner) as client:
            payment = Payment(chain="ETH", type=PaymentType.hold, receiver=None)
            message, status = await client.create_store(
                file_content=content, guess_mime_type=True, ref="a-page", channel="PAGES", sync=True, payment=payment,
                extra_fields={"metadata": {"name": "page.html"}, "tags": ["page"]},
            )
            assert status == MessageStatus.PROCESSED
            found = await client.get_message(message.item_hash)
            assert found.content.ref == "a-page" and found.content.metadata == {"name": "page.html"}
            assert found.content.payment.type == PaymentType.hold
            [listed] = (await client.get_messages(message_filter=_only(message))).messages
            assert listed.content.tags == ["page"]
            # The released client guesses a type and loses it: its model of STORE contents has no such field.
            assert "mime_type" not in message.item_content

            stored = await client.get_stored_content(message.item_hash)
            # The released client looks for the name as an attribute of a dictionary, and finds none.
            assert stored.error is None and stored.filename is None
            assert stored.hash == message.content.item_hash
            assert stored.url == f"{network.core[0]}/api/v0/storage/raw/{stored.hash}"
            async with client.http_session.get(stored.url) as answer:
                assert await answer.read() == content

            with pytest.raises(ValueError, match="file_content"):
                await client.create_store()
            with pytest.raises(ValueError, match="Unknown storage engine"):
                await client.create_store(file_content=b"x", storage_engine="tape")

    run(scenario())


def _only(message):
    from aleph.sdk.query.filters import MessageFilter

    return MessageFilter(hashes=[message.item_hash])


def test_updates_of_a_file(network, owner):
    """A later STORE whose `ref` is the first: both stay, the tag leads to the latest."""

    async def scenario():
        async with network.client(owner) as client:
            first, _ = await client.create_store(file_content=b"version 1", channel="TEST", sync=True)
            second, status = await client.create_store(
                file_content=b"version 2", ref=first.item_hash, channel="TEST", sync=True
            )
            assert status == MessageStatus.PROCESSED
            latest = network.get(f"/api/v0/storage/by-ref/{first.item_hash}")
            assert latest["file_hash"] == second.content.item_hash

    run(scenario())


def test_stored_content_of_what_has_none(network, owner):
    async def scenario():
        async with network.client(owner) as client:
            unknown = await client.get_stored_content("0" * 64)
            assert unknown.url is None and unknown.error.startswith("Message not found")
            post, _ = await client.create_post({}, "no file", channel="TEST", sync=True)
            other = await client.get_stored_content(post.item_hash)
            assert other.url is None and other.error.startswith("Invalid message type")
            message, _ = await client.create_store(file_content=b"to be forgotten", channel="TEST", sync=True)
            await client.forget([message.item_hash], "a test", channel="TEST", sync=True)
            gone = await client.get_stored_content(message.item_hash)
            assert gone.url is None and gone.error.startswith("Message forgotten")

    run(scenario())


def test_unknown_files(network):
    async def scenario():
        async with network.reader() as client:
            for file_hash in ("0" * 64, aleph_cid.compute_cid(b"nobody stored this")):
                with pytest.raises(ResourceNotFoundError):
                    await client.download_file(file_hash)

    run(scenario())


def test_the_ipfs_gateway(network, account):
    """The public gateway's name leads to the node here; it has the file under its CID."""
    content = content_of(300_000, seed=b"gateway")

    async def scenario():
        async with network.client(account) as client:
            message, _ = await client.create_store(
                file_content=content, storage_engine=StorageEnum.ipfs, channel="TEST", sync=True
            )
            cid = message.content.item_hash
            assert await client.download_file_ipfs(cid) == content
            buffer = io.BytesIO()
            await client.download_file_ipfs_to_buffer(cid, buffer)
            assert buffer.getvalue() == content
            stored = await client.get_stored_content(message.item_hash)
            assert stored.url.endswith(f"/ipfs/{cid}")
            with pytest.raises(ClientResponseError) as refused:
                await client.download_file_ipfs(aleph_cid.compute_cid(b"not there"))
            assert refused.value.status == 404

    run(scenario())


def test_a_folder(network, stranger, tmp_path):
    """Packed by the client as a CAR, read back as an archive."""
    files = {"index.html": b"<html></html>", "assets/app.js": content_of(300_000), "assets/empty": b""}
    for name, content in files.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    async def scenario():
        await network.give_tokens({stranger.get_address(): 100})
        async with network.client(stranger) as client:
            message, status = await client.create_store_folder(tmp_path / "site", channel="SITES", sync=True)
            assert status == MessageStatus.PROCESSED
            root = message.content.item_hash
            assert message.content.item_type.value == "ipfs" and root.startswith("bafy")
            archive = await client.download_file(root)
            with pytest.raises(ValueError, match="Not a directory"):
                await client.create_store_folder(tmp_path / "site" / "index.html")
            # The released client knows only `file` and `directory`; the network says `dir` (core-api.md §7.6).
            assert FileType.DIRECTORY.value == "directory"
            with pytest.raises(ValidationError, match="type"):
                await client.get_account_files(stranger.get_address())
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            found = {
                member.name.split("/", 1)[1]: tar.extractfile(member).read() for member in tar.getmembers() if member.isfile()
            }
        assert found == files

    run(scenario())


def test_files_of_an_account(network, stranger):
    address = stranger.get_address()

    async def scenario():
        await network.give_tokens({address: 100})
        async with network.client(stranger) as client:
            with pytest.raises(ClientResponseError) as refused:
                await client.get_account_files(address)
            assert refused.value.status == 404
            made = []
            for size in (10, 20, 30):
                message, _ = await client.create_store(file_content=content_of(size), channel="TEST", sync=True)
                made.append(message)
            answer = await client.get_account_files(address)
            assert (answer.address, answer.total_size, answer.pagination_total) == (address, 60, 3)
            assert [file.item_hash for file in answer.files] == [message.item_hash for message in reversed(made)]
            assert [file.size for file in answer.files] == [30, 20, 10]
            [newest, *_] = answer.files
            assert newest.file_hash == made[2].content.item_hash and newest.type == FileType.FILE
            assert newest.created.timestamp() == pytest.approx(made[2].content.time)

            oldest_first = AccountFilesFilter(sort_order=SortOrder.ASCENDING)
            answer = await client.get_account_files(address, filter=oldest_first)
            assert [file.size for file in answer.files] == [10, 20, 30]
            answer = await client.get_account_files(address, page_size=2, page=2)
            assert [file.size for file in answer.files] == [10]
            assert (answer.pagination_page, answer.pagination_per_page) == (2, 2)
            for address_of_nobody in ("", "  ", "../0x", "a/b"):
                with pytest.raises(ValueError):
                    await client.get_account_files(address_of_nobody)

    run(scenario())


def test_who_cannot_pay(network, stranger):
    """Nothing is held and nothing is credited: refused before the file is kept."""

    async def scenario():
        async with network.client(stranger) as client:
            for engine in ENGINES:
                # A refusal that comes long before the end of a large body must be readable too.
                for content in (b"unpaid", bytes(5 * MIB)):
                    with pytest.raises(ClientResponseError) as refused:
                        await client.create_store(file_content=content, storage_engine=engine, channel="TEST", sync=True)
                    assert refused.value.status == 402

    run(scenario())
