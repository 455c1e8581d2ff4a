"""The released Rust command line and SDK, unmodified, against one local network.

    aleph("post", "list", …) ─▶ process of the released binary ─HTTP─▶ core node
              └─ notes which command ran; test_commands.py fails for one that never did
"""

import http.client
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
VISIBLE_SECONDS = 20
COMMAND_SECONDS = 180

sys.path.append(str(ROOT / "tests/clients"))

from network import Network  # noqa: E402

RAN = set()
"""Every command that a test ran, as it was written: `("post", "list")`."""


class Refused(Exception):
    """The command ended with another code than 0; its words are the text."""


class Aleph:
    """The command line with one folder for its settings and one node."""

    def __init__(self, binary, home, node):
        self.binary = binary
        self.home = home
        self.node = node

    def __call__(self, *arguments, key=None, stdin="", environment=None, node=None):
        """Runs a command with `--json`; answers what it printed, read as JSON where it is."""
        words = [str(word) for word in arguments]
        RAN.add(tuple(words))
        command = [self.binary, "--json", *(["--ccn", node or self.node] if node != "" else []), *words]
        surroundings = {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "XDG_CONFIG_HOME": f"{self.home}/config",
            "XDG_DATA_HOME": f"{self.home}/data", **(environment or {}),
        }
        if key:
            surroundings["ALEPH_PRIVATE_KEY"] = key
            command += ["--chain", "eth"] if "--chain" not in words else []
        done = subprocess.run(
            command, env=surroundings, input=stdin, capture_output=True, text=True, timeout=COMMAND_SECONDS, errors="replace"
        )
        if done.returncode != 0:
            raise Refused(f"{' '.join(words)}: code {done.returncode}\n{done.stdout}\n{done.stderr}")
        documents = _documents(done.stdout)
        return done.stdout + done.stderr if documents is None or done.stdout == "" else documents


def _documents(text):
    """The JSON document that was printed, a list of them if there are several, nothing if it is no JSON."""
    found, rest = [], text.strip()
    while rest:
        try:
            document, end = json.JSONDecoder().raw_decode(rest)
        except json.JSONDecodeError:
            return None
        found.append(document)
        rest = rest[end:].strip()
    return found[0] if len(found) == 1 else found


class Person:
    """A funded account: its own address and key, and the command line that signs with it."""

    def __init__(self, aleph, account):
        self.aleph = aleph
        self.address = account["address"]
        self.key = account["private_key"]

    def __call__(self, *arguments, **options):
        return self.aleph(*arguments, key=self.key, **options)


@pytest.fixture(scope="session")
def network():
    with tempfile.TemporaryDirectory(prefix="clients-net-") as folder:
        network = Network.start(pathlib.Path(folder))
        yield network
        network.stop()


@pytest.fixture(scope="session")
def aleph(network, tmp_path_factory):
    binary = os.environ.get("ALEPH_CLI", str(ROOT / "target/clients-rs/bin/aleph"))
    client = Aleph(binary, tmp_path_factory.mktemp("home"), network.core[0])
    client("config", "network", "add", "local", "--scheduler-url", network.core[0], node="")
    client("config", "network", "use", "local", node="")
    client("config", "ccn", "add", "here", network.core[0], node="")
    client("config", "ccn", "use", "here", node="")
    return client


@pytest.fixture(scope="session")
def people(aleph, network):
    return [Person(aleph, account) for account in network.accounts]


@pytest.fixture(scope="session")
def published(network):
    """A node's address where the aggregates that the network's foundation publishes are there too."""
    with Relay(network.core[0]) as relay:
        yield relay.url


def read(url):
    """What a node answers, as bytes."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()


def eventually(ask, accept=bool, seconds=VISIBLE_SECONDS):
    """Asks again and again until the answer is accepted, or fails."""
    deadline = time.monotonic() + seconds
    while True:
        answer = failure = None
        try:
            answer = ask()
            if accept(answer):
                return answer
        except Exception as error:  # not visible yet
            failure = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {answer!r} {failure!r}")
        time.sleep(0.02)


def processed(said):
    """The hash of a message that a command says is in force."""
    assert said["message_status"] == "processed", said
    assert said["publication_status"] == "success", said
    return said["item_hash"]


class Relay:
    """A node in front of another one: it answers for the aggregates of the foundation, whose key nobody has here."""

    FOUNDATION = "0xFba561a84A537fCaa567bb7A2257e7142701ae2A"

    def __init__(self, node):
        aggregates = json.loads((ROOT / "vectors/clients/reference_aggregates.json").read_text())
        # Newer than the recording.
        aggregates["vm-images"] = {"rootfs": {"ubuntu24": {"hash": "ab" * 32}}, "defaults": {"rootfs": "ubuntu24"}}
        place = urllib.parse.urlsplit(node).netloc
        known = f"/api/v0/aggregates/{self.FOUNDATION}.json"

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.path.split("?")[0] == known:
                    keys = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query).get("keys", [""])[0].split(",")
                    data = {key: aggregates[key] for key in keys if key in aggregates} or aggregates
                    return self.say(200, {"Content-Type": "application/json"}, json.dumps({"data": data, "address": Relay.FOUNDATION}).encode())
                connection = http.client.HTTPConnection(place, timeout=60)
                connection.request(self.command, self.path, body, {name: value for name, value in self.headers.items()})
                said = connection.getresponse()
                headers = {name: value for name, value in said.getheaders() if name.lower() not in ("transfer-encoding", "content-length")}
                self.say(said.status, headers, said.read())

            def say(self, status, headers, body):
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_HEAD = answer

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *failure):
        self.server.shutdown()
        self.server.server_close()
