"""Asks a seeded core node everything that its OpenAPI document allows, and much
that it forbids.

A node of this build takes the messages of the recordings
(vectors/api/captures/seed.json), so that the names in schemathesis.toml exist;
then schemathesis draws requests from the served document and judges the answers.
What is asked depends on the seed in schemathesis.toml alone.
"""

import base64
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SEED = json.loads((ROOT / "vectors/api/captures/seed.json").read_text())


def main():
    binary = os.environ.get("BETH_BIN", str(ROOT / "target/release/beth"))
    with tempfile.TemporaryDirectory() as folder:
        node, url = start(binary, pathlib.Path(folder))
        try:
            for step in SEED["steps"]:
                replay(url, step)
            outcome = subprocess.run(
                ["schemathesis", "run", f"{url}/api/docs/openapi.json", *sys.argv[1:]],
                cwd=HERE,
            ).returncode
        finally:
            node.send_signal(signal.SIGTERM)
            ended = node.wait(30)
    if ended != 0:
        sys.exit(f"the node ended with code {ended} after SIGTERM")
    sys.exit(outcome)


def start(binary, folder):
    """A node without peers that believes the recorded accounts."""
    told = SEED["config"]
    config = f"""
[ccn]
listen = "127.0.0.1:0"
folder = {json.dumps(str(folder / "node"))}
[ccn.p2p]
listen = "/ip4/127.0.0.1/tcp/0"
message_topic = {json.dumps(told["aleph.queue_topic"])}
[ccn.rules]
balances_addresses = {json.dumps(told["aleph.balances.addresses"])}
credits_addresses = {json.dumps(told["aleph.credit_balances.addresses"])}
scoring_addresses = {json.dumps(told["aleph.scoring.addresses"])}
"""
    file = folder / "beth.toml"
    file.write_text(config)
    log = open(folder / "node.log", "w")
    node = subprocess.Popen(
        [binary, "ccn", "--config", str(file)],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, "BETH_PARENT": str(os.getpid())},
    )
    line = node.stdout.readline()
    if not line:
        sys.exit("the node did not start:\n" + (folder / "node.log").read_text())
    return node, json.loads(line)["url"]


def replay(url, step):
    """Sends what was recorded; the node must answer as it was answered then."""
    headers = {}
    if step["kind"] == "json":
        body = json.dumps(step["json"]).encode()
        headers["Content-Type"] = "application/json"
    else:
        body = form(step["parts"])
        headers["Content-Type"] = "multipart/form-data; boundary=seed"
    request = urllib.request.Request(url + step["path"], body, headers, method=step["method"])
    try:
        status = urllib.request.urlopen(request, timeout=60).status
    except urllib.error.HTTPError as refusal:
        status = refusal.code
    if status != step["expect"]["status"]:
        sys.exit(f"seed step {step['name']}: {status} instead of {step['expect']['status']}")


def form(parts):
    body = b""
    for part in parts:
        name = f'name="{part["name"]}"'
        if part.get("filename"):
            name += f'; filename="{part["filename"]}"'
        content = base64.b64decode(part["b64"]) if "b64" in part else part["text"].encode()
        body += f"--seed\r\nContent-Disposition: form-data; {name}\r\n\r\n".encode()
        body += content + b"\r\n"
    return body + b"--seed--\r\n"


if __name__ == "__main__":
    main()
