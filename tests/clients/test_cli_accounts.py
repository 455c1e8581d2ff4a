"""The released command line: keys, configuration, balances, credits, vouchers."""

import json
import pathlib

import pytest
from aleph.sdk.chains import ethereum, solana
from aleph.sdk.conf import settings
from network import run

KEYS = pathlib.Path(settings.CONFIG_HOME) / "private-keys"


@pytest.fixture(autouse=True)
def no_configuration():
    """The default account is a file of the session's home: none before, none after."""
    settings.CONFIG_FILE.unlink(missing_ok=True)
    yield
    settings.CONFIG_FILE.unlink(missing_ok=True)


def test_keys_and_configuration(aleph):
    aleph("account", "create", "--private-key-file", "first", "--chain", "ETH", "--active")
    first = ethereum.ETHAccount((KEYS / "first.key").read_bytes()).get_address()
    assert json.loads(settings.CONFIG_FILE.read_text())["chain"] == "ETH"
    assert first in aleph("account", "address", "--private-key-file", KEYS / "first.key")
    shown = aleph("account", "show", "--private-key-file", KEYS / "first.key")
    assert first in shown and "ETH" in shown
    assert "SIGN / HOLD" in aleph("account", "chain")
    assert settings.CONFIG_HOME in aleph("account", "path")

    key = "0x" + "11" * 32
    aleph("account", "create", "--private-key-file", "second", "--chain", "BASE", "--key-format", "hexadecimal", key=key)
    assert (KEYS / "second.key").read_bytes() == b"\x11" * 32
    assert "already exists" in aleph("account", "create", "--private-key-file", "second", code=1)
    aleph("account", "create", "--private-key-file", "second", "--chain", "ETH", "--replace", "--active")
    assert (KEYS / "second.key").read_bytes() != b"\x11" * 32

    second = ethereum.ETHAccount((KEYS / "second.key").read_bytes()).get_address()
    listed = aleph("account", "list")
    assert first in listed and second in listed
    output = aleph(
        "account", "config", "--private-key-file", KEYS / "first.key", "--chain", "AVAX", "--account-type", "imported",
        "--non-it",
    )
    assert "Configuration updated" in output
    configured = json.loads(settings.CONFIG_FILE.read_text())
    assert (configured["chain"], configured["path"]) == ("AVAX", str(KEYS / "first.key"))


def test_a_key_of_solana(aleph):
    account = solana.SOLAccount(solana.generate_key())
    aleph("account", "create", "--private-key-file", "sol", "--chain", "SOL", key=account.export_private_key())
    assert account.get_address() in aleph("account", "address", "--private-key-file", KEYS / "sol.key")
    exported = aleph("account", "export-private-key", "--private-key-file", KEYS / "sol.key")
    # The released program takes its own account of Solana for none that has a key.
    assert "EVM: 0x" + account.private_key.hex() in exported and "SOL: Not Available" in exported


def test_bytes_are_signed(aleph, stranger):
    key = stranger.private_key.hex()
    wanted = "0x" + run(stranger.sign_raw(b"some text")).hex()
    assert wanted in aleph("account", "sign-bytes", "--message", "some text", "--chain", "ETH", key=key)
    assert "Signature: 0x" in aleph("account", "sign-bytes", key=key, answers="some text\n")


def test_balances_and_credits(aleph, network, rich):
    key, address = rich.private_key.hex(), rich.get_address()
    run(network.give_tokens({address: 12.5}, chain="AVAX"))
    output = aleph("account", "balance", key=key)
    assert address in output and "Balance: 100012.5" in output and "AVAX: 12.5" in output
    assert "Credits: 1000000000000" in output
    assert address in aleph("account", "balance", "--address", address, key=key)
    shown = json.loads(aleph("credits", "show", "--json", key=key))
    assert (shown["address"], shown["credit_balance"]) == (address, 10**12)
    assert "1000000000000" in aleph("credits", "show", address, key=key)


def test_history_of_credits(aleph, network, stranger):
    key, address = stranger.private_key.hex(), stranger.get_address()
    for amount in (100, 200, 300):
        run(network.give_credits([address], amount=amount))
    history = json.loads(aleph("credits", "history", "--json", key=key))
    assert [entry["amount"] for entry in history["credit_history"]] == [300, 200, 100]
    page = json.loads(aleph("credits", "history", address, "--page-size", "2", "--page", "2", "--json", key=key))
    assert [entry["amount"] for entry in page["credit_history"]] == [100]
    table = aleph("credits", "history", key=key)
    assert "TEST_PAYMENT" in table and "Never" in table


def test_vouchers(aleph, network, internet, stranger):
    address = stranger.get_address()
    settings.VOUCHER_ORIGIN_ADDRESS = network.foundation.get_address()
    internet.documents["claim.twentysix.cloud", "/sbt/metadata/9.json"] = {
        "name": "A voucher", "description": "worth it", "external_url": "https://x", "image": "i", "icon": "c",
        "attributes": [{"value": "30", "trait_type": "Duration"}],
    }

    async def publish():
        async with network.client(network.foundation) as client:
            vouchers = {"nft_vouchers": {"v9": {"claimer": address, "metadata_id": "9"}}}
            await client.create_post(vouchers, "vouchers-update", channel="FOUNDATION", sync=True)

    run(publish())
    key = stranger.private_key.hex()
    output = aleph("account", "vouchers", key=key)
    assert "A voucher" in output and "worth it" in output and "Duration: 30" in output
    assert "A voucher" in aleph("account", "balance", key=key)
    assert "No vouchers found" in aleph("account", "vouchers", "--address", network.addresses[8], key=key)
