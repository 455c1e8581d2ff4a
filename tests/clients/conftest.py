"""One local network for all client tests, and what every test file needs of it.

    test ──▶ released client ──HTTP, WebSocket──▶ core node 1 ◀──gossip──▶ core node 2
                     └──hosts of third parties──▶ internet.py

The clients keep their state (keys, configuration) in a folder of the session:
it must be named before any of their modules is imported, hence at import here.
"""

import json
import os
import pathlib
import tempfile

import pytest

_HOME = tempfile.TemporaryDirectory(prefix="clients-home-")
os.environ["ALEPH_CONFIG_HOME"] = _HOME.name
os.environ["NO_COLOR"] = "1"
os.environ["COLUMNS"] = "250"

import exercised  # noqa: E402
from internet import Internet  # noqa: E402
from network import ROOT, Network, run  # noqa: E402


def pytest_collection_modifyitems(config, items):
    """The tables of what was exercised are judged last, and only after a whole run."""
    judges = [item for item in items if item.get_closest_marker("judges_the_run")]
    others = [item for item in items if item not in judges]
    if config.option.keyword or any("::" in argument for argument in config.args):
        config.hook.pytest_deselected(items=judges)
        judges = []
    items[:] = others + judges


def pytest_configure(config):
    config.addinivalue_line("markers", "judges_the_run: runs after every other test")


@pytest.fixture(scope="session")
def network():
    with tempfile.TemporaryDirectory(prefix="clients-net-") as folder:
        network = Network.start(pathlib.Path(folder))
        from aleph.sdk.conf import settings

        settings.API_HOST = network.core[0]
        # Prices and settings of the network are read from this account; the public network's key is not ours.
        settings.ALEPH_AGGREGATE_ADDRESS = network.foundation.get_address()
        yield network
        network.stop()


@pytest.fixture(scope="session", autouse=True)
def internet(network):
    """Nothing leaves this machine: what stands for third parties is said in internet.py."""
    with Internet(network) as internet:
        yield internet


@pytest.fixture(scope="session", autouse=True)
def recorder(request):
    """Only where the SDK is under test; the command line's own calls of it are another matter."""
    if any("test_sdk_" in item.nodeid for item in request.session.items):
        exercised.watch_the_sdk()


@pytest.fixture(scope="session")
def account(network):
    """A funded account."""
    return network.account(0)


@pytest.fixture(scope="session")
def aleph(network):
    """The released command line."""
    from cli import Cli

    publish_reference_aggregates(network)
    return Cli(network)


def publish_reference_aggregates(network):
    """Prices and settings as on the public network, by the foundation here."""
    reference = json.loads((ROOT / "vectors/clients/reference_aggregates.json").read_text())
    # Newer than the recording, and demanded by the newest clients.
    reference["settings"]["last_crn_version"] = "0.0.1"

    async def publish():
        async with network.client(network.foundation) as client:
            for key, content in reference.items():
                await client.create_aggregate(key, content, channel="FOUNDATION", sync=True)

    run(publish())


@pytest.fixture
def rich(stranger, network):
    """A new account with tokens and credits, and its key."""

    async def give():
        await network.give_tokens({stranger.get_address(): 100_000})
        await network.give_credits([stranger.get_address()], amount=10**12)

    run(give())
    return stranger


@pytest.fixture
def stranger():
    """An account that nobody has seen yet: it owns nothing, so lists of it are exact."""
    from aleph.sdk.chains.common import generate_key
    from aleph.sdk.chains.ethereum import ETHAccount

    return ETHAccount(generate_key())
