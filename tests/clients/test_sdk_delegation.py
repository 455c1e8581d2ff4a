"""The `security` aggregate by the released Python SDK: who may act for whom, and who may not."""

import pytest
from aleph.sdk.chains.common import generate_key
from aleph.sdk.chains.ethereum import ETHAccount
from aleph.sdk.chains.solana import SOLAccount
from aleph.sdk.exceptions import InvalidMessageError
from aleph.sdk.query.filters import PostFilter
from aleph.sdk.types import AuthorizationBuilder
from aleph_message.models import Chain, MessageType
from aleph_message.status import MessageStatus
from network import eventually, run


def new_account():
    return ETHAccount(generate_key())


async def grant(client, *authorizations):
    """The helpers of the client do not wait for the message; reading it does."""
    await client.update_all_authorizations(list(authorizations))
    owner = client.account.get_address()
    await eventually(lambda: client.get_authorizations(owner), lambda found: found == list(authorizations))


async def refused(act):
    with pytest.raises(InvalidMessageError):
        await act


def test_the_helpers(network):
    owner, delegate, other = new_account(), new_account().get_address(), new_account().get_address()
    first = AuthorizationBuilder(delegate).message_type(MessageType.post).post_type("note").channel("A").build()
    second = AuthorizationBuilder(other).chain(Chain.SOL).build()
    third = AuthorizationBuilder(delegate).message_type(MessageType.aggregate).aggregate_key("k").build()

    async def scenario():
        async with network.client(owner) as client:
            address = owner.get_address()
            await grant(client, first)
            for added, found in ((second, [first, second]), (third, [first, second, third])):
                await client.add_authorization(added)
                await eventually(lambda: client.get_authorizations(address), lambda now: now == found)
            content = await client.fetch_aggregate(address, "security")
            assert content["authorizations"][0] == {
                "address": delegate, "chain": None, "channels": ["A"], "types": ["POST"],
                "post_types": ["note"], "aggregate_keys": [],
            }
            granted = network.get(f"/api/v0/authorizations/granted/{address}.json")["authorizations"]
            assert set(granted) == {delegate, other} and len(granted[delegate]) == 2
            received = network.get(f"/api/v0/authorizations/received/{delegate}.json")["authorizations"]
            assert set(received) == {address}
            await client.revoke_all_authorizations(delegate)
            await eventually(lambda: client.get_authorizations(address), lambda now: now == [second])
        async with network.reader(1) as there:
            await eventually(lambda: there.get_authorizations(address), lambda now: now == [second])

    run(scenario())


def test_the_builder_refuses_what_makes_no_sense():
    with pytest.raises(ValueError):
        AuthorizationBuilder("0x1").post_type("note")
    with pytest.raises(ValueError):
        AuthorizationBuilder("0x1").message_type(MessageType.post).aggregate_key("key")


def test_everything_is_allowed(network):
    owner, delegate = new_account(), new_account()
    address = owner.get_address()

    async def scenario():
        await network.give_tokens({address: 100})
        async with network.client(owner) as granting, network.client(delegate) as acting:
            await refused(acting.create_post({"n": 0}, "note", address=address, channel="TEST", sync=True))
            await grant(granting, AuthorizationBuilder(delegate.get_address()).build())

            post, status = await acting.create_post({"n": 1}, "note", address=address, channel="TEST", sync=True)
            assert status == MessageStatus.PROCESSED
            assert (post.sender, post.content.address) == (delegate.get_address(), address)
            [found] = (await acting.get_posts(post_filter=PostFilter(addresses=[address]))).posts
            assert found.content == {"n": 1} and found.address == address
            await acting.create_post({"n": 2}, "amend", ref=post.item_hash, address=address, channel="TEST", sync=True)
            await acting.create_aggregate("profile", {"by": "delegate"}, address=address, channel="TEST", sync=True)
            assert await acting.fetch_aggregate(address, "profile") == {"by": "delegate"}
            stored, _ = await acting.create_store(address=address, file_content=b"for another", channel="TEST", sync=True)
            assert [file.item_hash for file in (await acting.get_account_files(address)).files] == [stored.item_hash]
            await acting.forget([post.item_hash], reason="a test", address=address, channel="TEST", sync=True)
            assert await acting.get_message_status(post.item_hash) == MessageStatus.FORGOTTEN

            await granting.revoke_all_authorizations(delegate.get_address())
            await eventually(lambda: granting.get_authorizations(address), lambda found: found == [])
            await refused(acting.create_post({"n": 3}, "note", address=address, channel="TEST", sync=True))

    run(scenario())


#: What an authorization allows, and of each kind of message whether it is.
RESTRICTIONS = {
    "types": (
        lambda entry: entry.message_type(MessageType.post),
        {"post": True, "other post": True, "aggregate": False},
    ),
    "two types": (
        lambda entry: entry.message_type(MessageType.post).message_type(MessageType.aggregate),
        {"post": True, "aggregate": True},
    ),
    "post types": (
        lambda entry: entry.message_type(MessageType.post).post_type("note"),
        {"post": True, "other post": False, "aggregate": False},
    ),
    "aggregate keys": (
        lambda entry: entry.message_type(MessageType.aggregate).aggregate_key("profile"),
        {"aggregate": True, "other aggregate": False, "post": False},
    ),
    "channels": (
        lambda entry: entry.channel("TEST"),
        {"post": True, "aggregate": True, "elsewhere": False},
    ),
    "chain": (
        lambda entry: entry.chain(Chain.ETH),
        {"post": True, "aggregate": True},
    ),
    "another chain": (
        lambda entry: entry.chain(Chain.SOL),
        {"post": False, "aggregate": False},
    ),
    "all together": (
        lambda entry: entry.chain(Chain.ETH).channel("TEST").message_type(MessageType.post).post_type("note"),
        {"post": True, "other post": False, "elsewhere": False, "aggregate": False},
    ),
}


def acts(client, address):
    """Each kind of message, by name."""
    options = {"address": address, "channel": "TEST", "sync": True}
    return {
        "post": lambda: client.create_post({}, "note", **options),
        "other post": lambda: client.create_post({}, "blog", **options),
        "elsewhere": lambda: client.create_post({}, "note", **{**options, "channel": "ELSEWHERE"}),
        "aggregate": lambda: client.create_aggregate("profile", {"a": 1}, **options),
        "other aggregate": lambda: client.create_aggregate("settings", {"a": 1}, **options),
    }


@pytest.mark.parametrize("restriction", RESTRICTIONS)
def test_restrictions(network, restriction):
    owner, delegate = new_account(), new_account()
    restrict, allowed = RESTRICTIONS[restriction]

    async def scenario():
        async with network.client(owner) as granting, network.client(delegate) as acting:
            await grant(granting, restrict(AuthorizationBuilder(delegate.get_address())).build())
            for name, is_allowed in allowed.items():
                act = acts(acting, owner.get_address())[name]
                if is_allowed:
                    _, status = await act()
                    assert status == MessageStatus.PROCESSED, name
                else:
                    await refused(act())

    run(scenario())


def test_a_delegate_of_another_chain(network):
    owner, delegate = new_account(), SOLAccount(generate_key())

    async def scenario():
        async with network.client(owner) as granting, network.client(delegate) as acting:
            entry = AuthorizationBuilder(delegate.get_address()).chain(Chain.SOL).message_type(MessageType.post)
            await grant(granting, entry.build())
            post, status = await acting.create_post(
                {"from": "SOL"}, "note", address=owner.get_address(), channel="TEST", sync=True
            )
            assert (post.chain, status) == (Chain.SOL, MessageStatus.PROCESSED)

    run(scenario())


def test_rights_are_not_passed_on(network):
    """A allows B and B allows C: C may act for B and not for A."""
    first, second, third = new_account(), new_account(), new_account()

    async def scenario():
        clients = [network.client(account) for account in (first, second, third)]
        async with clients[0] as a, clients[1] as b, clients[2] as c:
            await grant(a, AuthorizationBuilder(second.get_address()).message_type(MessageType.post).build())
            await grant(b, AuthorizationBuilder(third.get_address()).message_type(MessageType.post).build())
            for client, address in ((b, first), (c, second)):
                _, status = await client.create_post(
                    {}, "note", address=address.get_address(), channel="TEST", sync=True
                )
                assert status == MessageStatus.PROCESSED
            await refused(c.create_post({}, "note", address=first.get_address(), channel="TEST", sync=True))

    run(scenario())
