"""Every account with which the released Python SDK signs: the node believes it, and no forgery of it."""

import asyncio
import base64
import gc
import json
from decimal import Decimal

import aiohttp
import pytest
from aiohttp import web
from aleph.sdk.account import _load_account, chain_account_map
from aleph.sdk.chains import cosmos, ethereum, evm, nuls1, nuls2, solana, substrate, svm, tezos
from aleph.sdk.chains.common import generate_key
from aleph.sdk.chains.remote import RemoteAccount
from aleph.sdk.evm_utils import FlowUpdate
from aleph.sdk.exceptions import BadSignatureError, InvalidMessageError
from aleph.sdk.query.filters import MessageFilter
from aleph_message.models import Chain, PostMessage
from aleph_message.status import MessageStatus
from network import run

MNEMONIC = "test test test test test test test test test test test junk"
SUBSTRATE_MNEMONIC = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"

#: Name of the account → how it is made. Keys are new in each run where the client lets us choose.
ACCOUNTS = {
    "ETH": lambda: ethereum.ETHAccount(generate_key()),
    "ETH of a mnemonic": lambda: ethereum.ETHAccount.from_mnemonic(MNEMONIC),
    "ETH on Base": lambda: ethereum.ETHAccount(generate_key(), chain=Chain.BASE),
    "ETH on Avalanche": lambda: ethereum.ETHAccount(generate_key(), chain=Chain.AVAX),
    "EVM": lambda: evm.EVMAccount(generate_key()),
    "EVM of a mnemonic": lambda: evm.EVMAccount.from_mnemonic(MNEMONIC),
    "SOL": lambda: solana.SOLAccount(solana.generate_key()),
    "SVM": lambda: svm.SVMAccount(solana.generate_key()),
    "SVM on Eclipse": lambda: svm.SVMAccount(solana.generate_key(), chain=Chain.ECLIPSE),
    "DOT": lambda: substrate.DOTAccount(SUBSTRATE_MNEMONIC),
    "DOT, network 0": lambda: substrate.DOTAccount(SUBSTRATE_MNEMONIC, address_type=0),
    "TEZOS": lambda: tezos.TezosAccount(generate_key()),
    "NULS2": lambda: nuls2.NULSAccount(generate_key(), chain_id=1),
    "NULS": lambda: nuls1.NULSAccount(generate_key()),
}


class Forger:
    """Signs as the account does, and then breaks the signature."""

    def __init__(self, account):
        self.account = account
        self.CHAIN = account.CHAIN

    def get_address(self):
        return self.account.get_address()

    async def sign_message(self, message):
        signed = await self.account.sign_message(message)
        other = await self.account.sign_message({**message, "item_hash": "0" * 64})
        return {**signed, "item_hash": message["item_hash"], "signature": other["signature"]}


@pytest.mark.parametrize("name", ACCOUNTS)
def test_the_node_believes_its_signature(network, name):
    account = ACCOUNTS[name]()

    async def scenario():
        async with network.client(account) as client:
            message, status = await client.create_post({"of": name}, "accounts", channel="ACCOUNTS", sync=True)
            assert status == MessageStatus.PROCESSED
            found = await client.get_message(message.item_hash, message_type=PostMessage)
            assert (found.sender, found.signature) == (account.get_address(), message.signature)
            of_chain = MessageFilter(chains=[found.chain], addresses=[account.get_address()])
            page = await client.get_messages(message_filter=of_chain)
            assert message.item_hash in [item.item_hash for item in page.messages]
        async with network.client(Forger(account)) as client:
            with pytest.raises(InvalidMessageError):
                await client.create_post({"forged": name}, "accounts", channel="ACCOUNTS", sync=True)

    run(scenario())


@pytest.mark.parametrize("chain", sorted(chain.value for chain in chain_account_map))
def test_accounts_of_every_chain_that_the_client_loads(network, chain):
    """`aleph.sdk.account` chooses a class by the chain; hexadecimal keys only, so not for substrate."""
    if chain == "DOT":
        with pytest.raises(TypeError, match="phrase"):
            _load_account(private_key_str="11" * 32, chain=Chain.DOT)
        return
    account = _load_account(private_key_str=generate_key().hex(), chain=Chain(chain))

    async def scenario():
        async with network.client(account) as client:
            _, status = await client.create_post({"of": chain}, "accounts", channel="ACCOUNTS", sync=True)
            assert status == MessageStatus.PROCESSED

    run(scenario())


def test_the_account_of_cosmos_is_broken_in_the_client():
    """Register: messages.md §7.5. Its public key is bytes of a curve point, which it decodes as text."""
    account = cosmos.CSDKAccount(bytes.fromhex("11" * 32))
    assert account.get_address().startswith("cosmos1")
    message = {"chain": "CSDK", "sender": account.get_address(), "type": "POST", "item_hash": "0" * 64}
    with pytest.raises(UnicodeDecodeError):
        run(account.sign_message(message))
    with pytest.raises(UnicodeDecodeError):
        account.get_public_key()
    # The signature itself is not at fault.
    assert len(base64.b64decode(run(account.sign_raw(b"some text")))) == 64


def test_a_remote_account(network):
    """The key lives in another process, which signs by HTTP."""
    signer = ethereum.ETHAccount(generate_key())

    async def properties(_):
        return web.json_response({"chain": "ETH", "address": signer.get_address(), "public_key": signer.get_public_key()})

    async def sign(request):
        return web.json_response(await signer.sign_message(await request.json()))

    async def scenario():
        app = web.Application()
        app.add_routes([web.get("/properties", properties), web.post("/sign", sign)])
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host = "http://127.0.0.1:%d" % runner.addresses[0][1]
        account = await RemoteAccount.from_crypto_host(host=host, session=aiohttp.ClientSession())
        assert (account.get_address(), account.get_public_key()) == (signer.get_address(), signer.get_public_key())
        with pytest.raises(NotImplementedError):
            await account.sign_raw(b"only messages")
        message = {"chain": "ETH", "sender": signer.get_address(), "type": "POST", "item_hash": "0" * 64}
        assert await account.sign_message(message) == await signer.sign_message(message)
        async with network.client(account) as client:
            message, status = await client.create_post({"remote": True}, "accounts", channel="ACCOUNTS", sync=True)
            assert (message.sender, status) == (signer.get_address(), MessageStatus.PROCESSED)
        # Its destructor closes the session in a task of this loop.
        del account, client
        gc.collect()
        await asyncio.sleep(0)
        await runner.cleanup()

    run(scenario())


def test_signatures_of_raw_bytes():
    """What the client verifies itself: messages of its wallets outside of the network."""
    text = b"some text"

    async def scenario():
        eth = ethereum.ETHAccount(generate_key())
        signature = await eth.sign_raw(text)
        ethereum.verify_signature(signature, eth.get_address(), text)
        with pytest.raises(BadSignatureError):
            ethereum.verify_signature(signature, eth.get_address(), b"another text")
        sol = solana.SOLAccount(solana.generate_key())
        solana.verify_signature(await sol.sign_raw(text), sol.get_address(), text)
        with pytest.raises(BadSignatureError):
            solana.verify_signature(await sol.sign_raw(text), sol.get_address(), b"another text")
        dot = substrate.DOTAccount(SUBSTRATE_MNEMONIC)
        substrate.verify_signature(await dot.sign_raw(text), dot.get_public_key(), text)
        tez = tezos.TezosAccount(generate_key())
        assert tezos.verify_signature((await tez.sign_raw(text)).decode(), tez.get_public_key(), text)

    run(scenario())


@pytest.mark.parametrize("name", ACCOUNTS)
def test_what_every_account_offers(name):
    account = ACCOUNTS[name]()
    message = {"chain": account.CHAIN, "sender": account.get_address(), "type": "POST", "item_hash": "0" * 64}
    signed = run(account.sign_message(message))
    assert signed["sender"] == account.get_address() and len(signed["signature"]) > 60
    # NULS signs a digest, the others any text.
    assert len(run(account.sign_raw(b"text of thirty-two bytes, no more"[:32]))) >= 64
    assert len(account.get_public_key()) >= 32
    with pytest.raises(ValueError, match="sender does not match"):
        run(account.sign_message({**message, "sender": "another"}))


def test_tokens_of_an_account_are_asked_of_its_chain():
    """Where no chain is chosen there is none to ask; a chosen one is a third party, and not asked here."""
    account = ethereum.ETHAccount(generate_key())
    assert account.get_token_balance() == account.get_super_token_balance() == 0
    with pytest.raises(ValueError, match="Provider not set"):
        account.get_eth_balance()
    with pytest.raises(ValueError, match="Provider not set"):
        account.can_transact({})
    flow = Decimal("0.1")
    for act in (
        lambda: account.can_start_flow(flow), lambda: account.create_flow("0x1", flow), lambda: account.get_flow("0x1"),
        lambda: account.update_flow("0x1", flow), lambda: account.delete_flow("0x1"),
        lambda: account.manage_flow("0x1", flow, FlowUpdate.INCREASE),
    ):
        with pytest.raises(ValueError, match="Superfluid connector is required"):
            act()
    account.switch_chain(Chain.BASE)
    assert account.chain_id == 8453 and account.superfluid_connector
    account.connect_chain(Chain.ETH)
    assert account.chain_id == 1 and account.superfluid_connector is None


def test_tokens_of_other_evm_chains_are_unknown_to_the_client():
    account, flow = evm.EVMAccount(generate_key()), Decimal("0.1")
    for act in (
        account.get_token_balance, account.get_super_token_balance, lambda: account.can_start_flow(flow),
        lambda: account.create_flow("0x1", flow), lambda: account.get_flow("0x1"), lambda: account.delete_flow("0x1"),
        lambda: account.update_flow("0x1", flow), lambda: account.manage_flow("0x1", flow, FlowUpdate.INCREASE),
    ):
        with pytest.raises(ValueError, match="not implemented for this chain"):
            act()


@pytest.mark.parametrize("name", ["ETH", "SOL", "TEZOS"])
def test_keys_and_encryption(name):
    account = ACCOUNTS[name]()

    async def scenario():
        secret = await account.encrypt(b"for me alone")
        assert secret != b"for me alone" and await account.decrypt(secret) == b"for me alone"

    run(scenario())
    assert account.get_public_key()


def test_exported_keys_make_the_same_account():
    eth = ethereum.ETHAccount(generate_key())
    assert _load_account(private_key_str=eth.export_private_key(), chain=Chain.ETH).get_address() == eth.get_address()
    sol = solana.SOLAccount(solana.generate_key())
    key = solana.parse_private_key(sol.export_private_key())
    assert solana.SOLAccount(key).get_address() == sol.get_address()
    assert json.dumps(solana.private_key_from_bytes(key, "list"))
