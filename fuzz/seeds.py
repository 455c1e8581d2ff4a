#!/usr/bin/env python3
"""Writes the corpora that fuzzing starts from, out of the recorded vectors.

usage: seeds.py FOLDER    (FOLDER/<target>/…; what is there is kept)
"""
import hashlib
import json
import pathlib
import sys

root = pathlib.Path(__file__).resolve().parent.parent
folder = pathlib.Path(sys.argv[1])


def vector(name):
    return json.loads((root / "vectors/messages" / name).read_text())


def seed(target, data):
    data = data.encode() if isinstance(data, str) else data
    path = folder / target
    path.mkdir(parents=True, exist_ok=True)
    (path / hashlib.sha1(data).hexdigest()).write_bytes(data)


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


SCHEMES = {"AVAX": "avalanche", "CSDK": "cosmos", "DOT": "substrate", "ES": "ed25519", "SOL": "ed25519",
           "NULS": "nuls", "NULS2": "nuls2", "TEZOS": "tezos",
           "AURORA": None, "STT": None}
CONTENTS = {"POST": "post", "AGGREGATE": "aggregate", "STORE": "store", "PROGRAM": "program",
            "INSTANCE": "instance", "V-PROGRAM": "vprogram", "FORGET": "forget"}

SECURITY = {"authorizations": [
    {"address": "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A", "chain": "ETH", "channels": ["ALEPH_CREDIT", None],
     "types": ["POST", "AGGREGATE"], "post_types": ["t"], "aggregate_keys": ["k1"]}]}

for case in json.loads((root / "vectors/network/ipfs/car_vectors.json").read_text())["valid"]:
    archive = bytes.fromhex(case["car_hex"])
    seed("archive", archive)
    seed("block", archive[95:])
for sample in json.loads((root / "vectors/network/p2p/alive_messages.json").read_text())["messages"]:
    seed("alive", sample)
for archive in (root / "crates/ccn/tests/it/storage/fixtures").glob("*.car"):
    seed("archive", archive.read_bytes()[:65536])

messages = [record["message"] for record in vector("real_messages.json")]
for name in ("envelope", "aggregates_forgets", "vms_costs", "permissions_balances_credits", "removal"):
    messages += [step["message"] for step in vector(f"scenario_{name}.json")["steps"] if "message" in step]
for message in messages:
    seed("envelope", compact(message))
    seed("payload", compact(message))
    text = str(message.get("item_hash"))
    seed("hash", text)
    seed("encoding", text)
    seed("time", compact(message.get("time")))
    content = message.get("item_content")
    if message.get("type") in CONTENTS and isinstance(content, str):
        seed("content_" + CONTENTS[message["type"]], content)
        seed("json", content)
        try:
            seed("judge", compact([message["type"], json.loads(content), SECURITY]))
        except (ValueError, RecursionError):
            pass
    if message.get("type") == "AGGREGATE" and isinstance(content, str):
        try:
            members = json.loads(content)
            seed("aggregate", compact([[members["time"], members["content"]]] * 3))
        except (ValueError, KeyError, TypeError):
            pass
for case in vector("content_cases.json") + vector("content_mutations.json"):
    seed("content_" + CONTENTS[case["type"]], compact(case["content"]))
places = {}
for record in vector("generated_signatures.json"):
    message = record["message"]
    scheme = SCHEMES.get(message["chain"], "evm")
    if scheme is None:
        continue
    index = places[scheme] = places.get(scheme, -1) + 1
    signature = message["signature"]
    signature = signature if isinstance(signature, str) else compact(signature)
    seed("encoding", message["sender"])
    seed("encoding", signature)
    if message["sender"].isascii():
        # The first byte names the recorded message whose hash was signed.
        seed("signature_" + scheme, bytes([index % 128]) + f"{message['sender']}\n{signature}".encode())
for record in vector("cost_vectors.json")["cases"]:
    seed("content_" + CONTENTS[record["type"]], compact(record["content"]))
for text in ("2026-11-01T00:02:54+00:00", "1969-12-31T23:59:58.500000Z", "0001-01-01T00:00:00Z", "-62135596800",
             "253402300799.999", "0.000001527777777777777777777778", "1e-30", "123456789012345678901234567890"):
    seed("time", text)
for text in ("Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD", "bafybeihmggdxn2klvglydjd2ld3ahb7aorlksycslptkc4jlkjuvl5e7im",
             "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"):
    seed("hash", text)
    seed("encoding", text)
