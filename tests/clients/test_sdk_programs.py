"""Programs, instances and their prices by the released Python SDK."""

import io
import time
import zipfile

import pytest
from aiohttp import ClientResponseError
from aleph.sdk.chains.common import generate_key
from aleph.sdk.chains.ethereum import ETHAccount
from aleph.sdk.conf import settings
from aleph.sdk.exceptions import InsufficientFundsError, InvalidHashError
from aleph.sdk.query.filters import MessageFilter
from aleph.sdk.utils import make_instance_content, make_program_content
from aleph_message.models import InstanceMessage, MessageType, ProgramMessage
from aleph_message.models.execution.base import Encoding, Payment, PaymentType
from aleph_message.models.execution.environment import HostRequirements, NodeRequirements
from aleph_message.status import MessageStatus
from network import run
from pydantic import ValidationError

HOLD = Payment(chain="ETH", type=PaymentType.hold, receiver=None)
CREDIT = Payment(chain="ETH", type=PaymentType.credit, receiver=None)
CREDITS = 10**12


@pytest.fixture(scope="module")
def owner(network):
    owner = ETHAccount(generate_key())

    async def give():
        await network.give_tokens({owner.get_address(): 100_000})
        await network.give_credits([owner.get_address()], amount=CREDITS)

    run(give())
    return owner


@pytest.fixture(scope="module")
def code(network, owner):
    """Item hash of a STORE message of an archive with a program."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("main.py", "async def app(scope, receive, send):\n    pass\n")
    return run(_store(network, owner, buffer.getvalue()))


@pytest.fixture(scope="module")
def rootfs(network, owner):
    """Item hash of a STORE message of a file that stands for an image of a disk."""
    return run(_store(network, owner, b"an image of a disk"))


async def _store(network, account, content):
    async with network.client(account) as client:
        message, status = await client.create_store(file_content=content, channel="TEST", sync=True)
        assert status == MessageStatus.PROCESSED
        return message.item_hash


def program(code, **options):
    return {
        "program_ref": code, "entrypoint": "main:app", "runtime": settings.DEFAULT_RUNTIME_ID, "channel": "TEST",
        "sync": True, **options,
    }


def instance(rootfs, **options):
    return {"rootfs": rootfs, "rootfs_size": 20_480, "channel": "TEST", "sync": True, "payment": CREDIT, **options}


@pytest.mark.parametrize("payment", [None, HOLD, CREDIT], ids=["default", "hold", "credit"])
def test_a_program(network, owner, code, payment):
    async def scenario():
        async with network.client(owner) as client:
            message, status = await client.create_program(**program(code, payment=payment, metadata={"name": "mine"}))
            assert status == MessageStatus.PROCESSED
            found = await client.get_message(message.item_hash, message_type=ProgramMessage)
            assert found.content.code.ref == code and found.content.code.entrypoint == "main:app"
            assert found.content.metadata == {"name": "mine"} and found.content.on.http
            price = await client.get_program_price(message.item_hash)
            assert price.payment_type == (payment.type.value if payment else "hold") and price.required_tokens > 0
            assert await client.instance.get_name_of_executable(message.item_hash) == "mine"

    run(scenario())


def test_every_option_of_a_program(network, owner, code):
    volumes = [
        {"mount": "/data", "ephemeral": True, "size_mib": 100},
        {"mount": "/libs", "ref": code, "use_latest": True},
        {"mount": "/kept", "persistence": "host", "name": "kept", "size_mib": 50},
    ]

    async def scenario():
        async with network.client(owner) as client:
            message, status = await client.create_program(**program(
                code, payment=CREDIT, vcpus=2, memory=512, timeout_seconds=12.0, internet=False, aleph_api=False,
                allow_amend=True, encoding=Encoding.zip, persistent=True, volumes=volumes,
                environment_variables={"KEY": "value"}, subscriptions=[{"channel": "TEST"}],
            ))
            assert status == MessageStatus.PROCESSED
            content = (await client.get_message(message.item_hash)).content
            assert (content.resources.vcpus, content.resources.memory, content.resources.seconds) == (2, 512, 12)
            assert not content.environment.internet and not content.environment.aleph_api
            assert content.allow_amend and content.on.persistent
            assert [subscription.channel for subscription in content.on.message] == ["TEST"]
            assert content.variables == {"KEY": "value"}
            assert [volume.mount for volume in content.volumes] == ["/data", "/libs", "/kept"]
            await client.forget([message.item_hash], reason="a test", channel="TEST", sync=True)
            assert await client.get_message_status(message.item_hash) == MessageStatus.FORGOTTEN

    run(scenario())


def test_an_instance(network, owner, rootfs):
    node = NodeRequirements(node_hash=network.compute_hashes[0])

    async def scenario():
        async with network.client(owner) as client:
            message, status = await client.create_instance(**instance(
                rootfs, memory=4096, vcpus=2, timeout_seconds=60.0, internet=True, aleph_api=True, allow_amend=False,
                ssh_keys=["ssh-ed25519 AAAA test"], metadata={"name": "machine"}, environment_variables={"A": "b"},
                volumes=[{"mount": "/kept", "persistence": "host", "name": "kept", "size_mib": 1024}],
                requirements=HostRequirements(node=node),
            ))
            assert status == MessageStatus.PROCESSED
            content = (await client.get_message(message.item_hash, message_type=InstanceMessage)).content
            assert (content.rootfs.parent.ref, content.rootfs.size_mib) == (rootfs, 20_480)
            assert (content.resources.vcpus, content.resources.memory) == (2, 4096)
            assert content.authorized_keys == ["ssh-ed25519 AAAA test"]
            assert content.requirements.node.node_hash == network.compute_hashes[0]
            price = await client.get_program_price(message.item_hash)
            assert price.payment_type == "credit" and float(price.cost) == pytest.approx(float(price.required_tokens))
            instances = await client.instance.get_instances(owner.get_address())
            assert message.item_hash in [item.item_hash for item in instances]
            listed = await client.get_messages(message_filter=MessageFilter(message_types=[MessageType.instance]))
            assert message.item_hash in [item.item_hash for item in listed.messages]

    run(scenario())


def test_a_verifiable_program(network, owner, code, rootfs):
    """A confidential machine whose whole software is measured. Its parts are files like any other.

    The newest SDK cannot make one with the newest models, which it admits: they demand another class of
    resources than the one that it fills. So the content is made of the models, and sent as any other.
    """
    measurement = {"platform": "sev_snp", "registers": {"launch": "ab" * 48}, "vcpu_type": "EPYC-v4"}
    workload = {"ref": code, "hash_tree": rootfs, "roothash": "c" * 64}
    content = {
        "address": owner.get_address(), "time": time.time(), "allow_amend": False, "environment": {"internet": True},
        "resources": {"vcpus": 2, "memory": 1024, "seconds": 30}, "runtime": {"ref": rootfs, "comment": "a comment"},
        "workload": workload, "volumes": [{**workload, "comment": "data"}], "metadata": {"name": "measured"},
        "verification": {"backend": "sev_snp", "policy": 0x30000, "measurements": [measurement]},
        "payment": {"chain": "ETH", "type": "credit"},
    }

    async def scenario():
        async with network.client(owner) as client:
            with pytest.raises(ValidationError, match="StrictMachineResources"):
                await client.create_verifiable_program(runtime=rootfs, workload=workload, measurements=[measurement])
            message, status, _ = await client.submit(content, MessageType.v_program, channel="TEST", sync=True)
            assert status == MessageStatus.PROCESSED
            found = await client.get_message(message.item_hash)
            assert found.content.workload.roothash == "c" * 64 and found.content.payment.type == PaymentType.credit
            assert found.content.verification.measurements[0].registers.launch == "ab" * 48
            price = await client.get_program_price(message.item_hash)
            assert price.payment_type == "credit" and price.required_tokens > 0
            listed = await client.get_messages(message_filter=MessageFilter(message_types=[MessageType.v_program]))
            assert message.item_hash in [item.item_hash for item in listed.messages]

    run(scenario())


def test_instances_are_paid_with_credits_only(network, owner, rootfs):
    """New instances that hold tokens have been refused since 2026-03-11: code 202 (processing.md §15.2)."""

    async def scenario():
        async with network.client(owner) as client:
            with pytest.raises(ValueError, match="Unknown error code 202"):
                await client.create_instance(**instance(rootfs, payment=HOLD))

    run(scenario())


def test_who_cannot_pay(network, stranger, code, rootfs):
    async def scenario():
        async with network.client(stranger) as client:
            with pytest.raises(InsufficientFundsError) as refused:
                await client.create_program(**program(code, vcpus=4, memory=8192))
            assert refused.value.available_funds == 0 and refused.value.required_funds > 0
            # The client knows what a lack of tokens looks like (code 5), not a lack of credits (code 6).
            with pytest.raises(ValueError, match="Unknown error code 6.*required_credits"):
                await client.create_instance(**instance(rootfs))

    run(scenario())


def test_what_does_not_exist(network, owner, code):
    """A message that names an unknown file waits for it; the price of nothing is an error."""

    async def scenario():
        async with network.client(owner) as client:
            message, status = await client.create_program(**program("0" * 64))
            assert status == MessageStatus.PENDING
            with pytest.raises(ClientResponseError) as refused:
                await client.get_program_price("0" * 64)
            assert refused.value.status == 404
            with pytest.raises(InvalidHashError):
                await client.get_program_price("no hash")
            post, _ = await client.create_post({}, "note", channel="TEST", sync=True)
            with pytest.raises(InvalidHashError):
                await client.get_program_price(post.item_hash)
            assert await client.instance.get_name_of_executable("0" * 64) is None

    run(scenario())


@pytest.mark.parametrize("payment", [HOLD, CREDIT], ids=["hold", "credit"])
def test_the_estimate_is_the_price(network, owner, code, payment):
    async def scenario():
        async with network.client(owner) as client:
            content = make_program_content(
                program_ref=code, entrypoint="main:app", runtime=settings.DEFAULT_RUNTIME_ID,
                address=owner.get_address(), payment=payment, metadata={}, vcpus=2, memory=4096, internet=True,
            )
            estimate = await client.get_estimated_price(content)
            message, _ = await client.create_program(**program(code, payment=payment, vcpus=2, memory=4096, metadata={}))
            assert estimate == await client.get_program_price(message.item_hash)
            assert estimate.payment_type == payment.type.value
            if payment == HOLD:
                # Two units of 200 tokens, twice for the internet; code and runtime are within what they include.
                assert float(estimate.required_tokens) == pytest.approx(800)

    run(scenario())


@pytest.mark.parametrize("payment", [HOLD, CREDIT], ids=["hold", "credit"])
def test_the_estimate_of_an_instance(network, owner, rootfs, payment):
    async def scenario():
        async with network.reader() as client:
            content = make_instance_content(
                rootfs=rootfs, rootfs_size=20_480, payment=payment, address=owner.get_address(), vcpus=1, memory=2048,
            )
            estimate = await client.get_estimated_price(content)
            assert estimate.payment_type == payment.type.value
            # One unit: 1000 tokens, or 14 250 credits an hour, by the second.
            wanted = 1000 if payment == HOLD else 14_250 / 3600
            assert float(estimate.required_tokens) == pytest.approx(wanted, rel=1e-3)

    run(scenario())


@pytest.mark.parametrize("size_mib, tokens", [(1, 1 / 3), (300, 100)])
def test_the_estimate_of_a_file(network, size_mib, tokens):
    async def scenario():
        async with network.reader() as client:
            estimate = await client.get_store_estimated_price(size_mib)
            assert float(estimate.required_tokens) == pytest.approx(tokens, rel=1e-6)
            assert float(estimate.cost) == pytest.approx(tokens, rel=1e-6)
            assert estimate.payment_type == "hold"

    run(scenario())
