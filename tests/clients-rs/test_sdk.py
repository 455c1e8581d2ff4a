"""The released Rust SDK as a library: every test of the crate `sdk`, each in a process of its own."""

import json
import os
import pathlib
import re
import subprocess

import pytest
from conftest import COMMAND_SECONDS, ROOT

BINARY = os.environ.get("ALEPH_SDK_CASES", str(ROOT / "target/clients-rs/bin/aleph-sdk-cases"))
SOURCES = ROOT / "tests/clients-rs/sdk"


def run(*arguments, environment=None):
    return subprocess.run(
        [BINARY, *arguments], env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=COMMAND_SECONDS
    )


# Parts of the SDK that need no node of ours, and why nothing here speaks to them.
ELSEWHERE = {
    "attest": "asks processors with sealed memory, which no machine here has",
    "confidential": "computes what such processors measure",
    "vprogram": "measures and publishes guests for them",
    "instance_runtime": "measures and publishes guests for them",
    "credit": "settles on Ethereum",
    "swap": "trades on Ethereum",
    "ws": "what `subscribe_to_messages` is made of",
    "progress": "what uploads are made of",
    "upload_timeout": "what uploads are made of",
    "aggregate_models/serde_helpers": "what reading of aggregates is made of",
    "aggregate_models/pricing": "looks things up in what `get_pricing_aggregate` answered",
    "aggregate_models/settings": "looks things up in what `get_settings_aggregate` answered",
    "aggregate_models/vm_images": "looks things up in what `get_vm_images_aggregate` answered",
}

CASES = re.findall(r"^(.+): test$", run("--list", "--format", "terse").stdout, re.M)


@pytest.fixture(scope="module")
def place(network, published):
    """Where the crate finds the network."""
    said = {"core": network.core, "compute": network.compute, "published": [published], "accounts": network.accounts}
    return {"NETWORK": json.dumps(said)}


@pytest.mark.parametrize("case", CASES)
def test_case(case, place):
    done = run("--exact", case, "--nocapture", environment=place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def offered():
    """The public functions of the released SDK, by the file that declares them."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--manifest-path", str(SOURCES / "Cargo.toml")]
    packages = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["packages"]
    [manifest] = [package["manifest_path"] for package in packages if package["name"] == "aleph-sdk"]
    root = pathlib.Path(manifest).parent / "src"
    for path in sorted(root.rglob("*.rs")):
        source = path.read_text().split("#[cfg(test)]\nmod ")[0]
        traits = re.findall(r"^pub trait .*?^}", source, re.M | re.S)
        names = re.findall(r"^ *pub (?:async )?fn (\w+)", source, re.M)
        names += [name for trait in traits for name in re.findall(r"^    (?:async )?fn (\w+)", trait, re.M)]
        yield str(path.relative_to(root).with_suffix("")), set(names)


def test_every_public_function_is_called():
    written = "".join(path.read_text() for path in SOURCES.glob("src/*.rs"))
    called = set(re.findall(r"\b(\w+)(?:::<[^()]*>)?\(", written))
    functions = dict(offered())
    assert len(set.union(*functions.values())) > 200
    missing = {
        module: sorted(names - called)
        for module, names in functions.items()
        if names - called and not any(module == part or module.startswith(f"{part}/") for part in ELSEWHERE)
    }
    assert missing == {}
    assert [part for part in ELSEWHERE if not any(module.startswith(part) for module in functions)] == []
