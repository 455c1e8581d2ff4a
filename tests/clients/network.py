"""The local network under test: `beth up --json`, as an operator starts it."""

import asyncio
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
STOP_SECONDS = 30
#: Longest time until a message is seen at the other node.
VISIBLE_SECONDS = 20


def run(coroutine):
    return asyncio.run(coroutine)


async def eventually(ask, accept=bool):
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


class Network:
    """What `beth up --json` said when it was ready."""

    def __init__(self, process, said):
        self.process = process
        self.core = [node["url"] for node in said["core_nodes"]]
        self.compute = [node["url"] for node in said["compute_nodes"]]
        self.compute_hashes = [node["node_hash"] for node in said["compute_nodes"]]
        self.accounts = said["accounts"]
        #: STORE messages of root disks, by name.
        self.images = said["images"]
        self.keys = [account["private_key"] for account in self.accounts]
        self.addresses = [account["address"] for account in self.accounts]

    @staticmethod
    def start(folder):
        binary = os.environ.get("BETH_BIN", str(ROOT / "target/release/beth"))
        command = [binary, "up", "--json", "--port-base", "0", "--dir", f"{folder}/net"]
        log = folder / "up.log"
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log.open("w"), text=True)
        line = process.stdout.readline()
        if not line:
            raise AssertionError("`beth up` did not start:\n" + log.read_text())
        return Network(process, json.loads(line))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(STOP_SECONDS) == 0, "`beth up` must end with code 0 after SIGTERM"

    def account(self, index):
        """One of the ten funded accounts."""
        from aleph.sdk.chains.ethereum import ETHAccount

        return ETHAccount(bytes.fromhex(self.keys[index].removeprefix("0x")))

    @property
    def foundation(self):
        """The account that gives tokens and credits; its key is derived from a public text."""
        from aleph.sdk.chains.ethereum import ETHAccount

        return ETHAccount(hashlib.sha256(b"beth development foundation").digest())

    def reader(self, node=0):
        from aleph.sdk.client import AlephHttpClient

        return AlephHttpClient(api_server=self.core[node])

    def client(self, account, node=0):
        from aleph.sdk.client import AuthenticatedAlephHttpClient

        return AuthenticatedAlephHttpClient(account, api_server=self.core[node])

    def get(self, path, node=0):
        """What the node itself says, without any client between."""
        with urllib.request.urlopen(self.core[node] + path, timeout=VISIBLE_SECONDS) as answer:
            return json.load(answer)

    async def give_tokens(self, balances, chain="ETH", height=None):
        """Sets balances (whole tokens) of addresses, as the foundation does it."""
        content = {
            "tags": ["ERC20"], "chain": chain, "platform": f"ALEPH_{chain}", "token_symbol": "ALEPH",
            "main_height": height or int(time.time() * 1000), "balances": balances,
        }
        await self._by_foundation("balances-update", content, "FOUNDATION")

    async def give_credits(self, addresses, amount=1_000_000):
        credits = [
            {
                "address": address, "amount": amount, "price": "0.000001", "tx_hash": "0x1", "provider": "TEST",
                "payment_method": "TEST_PAYMENT",
            }
            for address in addresses
        ]
        content = {"distribution": {"token": "ALEPH", "chain": "ETH", "credits": credits}}
        return await self._by_foundation("aleph_credit_distribution", content, "ALEPH_CREDIT")

    async def _by_foundation(self, post_type, content, channel):
        from aleph_message.status import MessageStatus

        async with self.client(self.foundation) as client:
            message, status = await client.create_post(content, post_type=post_type, channel=channel, sync=True)
            assert status == MessageStatus.PROCESSED
            return message
