"""One local network for all client tests, started by the binary under test."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
READY_SECONDS = 60


class Network:
    """What `beth up --json` said when it was ready."""

    def __init__(self, process, said, folder):
        self.process = process
        self.folder = folder
        self.core = [node["url"] for node in said["core_nodes"]]
        self.compute = [node["url"] for node in said["compute_nodes"]]
        self.accounts = said["accounts"]


@pytest.fixture(scope="session")
def network():
    binary = os.environ.get("BETH_BIN", str(ROOT / "target/release/beth"))
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, "up", "--json", "--port-base", "0", "--dir", f"{folder}/net"]
        log = open(f"{folder}/up.log", "w")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        line = process.stdout.readline()
        if not line:
            pytest.fail("`beth up` did not start:\n" + pathlib.Path(f"{folder}/up.log").read_text())
        yield Network(process, json.loads(line), folder)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, "`beth up` must end with code 0 after SIGTERM"


@pytest.fixture(scope="session")
def account(network):
    from aleph.sdk.chains.ethereum import ETHAccount

    return ETHAccount(bytes.fromhex(network.accounts[0]["private_key"].removeprefix("0x")))
