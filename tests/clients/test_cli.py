"""The released `aleph` command line, unmodified, deploys a program that answers."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.request

import pytest

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples/fastapi"
ANSWER_SECONDS = 120


@pytest.fixture()
def aleph(network, tmp_path):
    """Runs `aleph …` with settings that only name the local node."""
    environment = {
        **os.environ,
        "ALEPH_API_HOST": network.core[0],
        "ALEPH_CONFIG_HOME": str(tmp_path / "config"),
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }
    key = network.accounts[1]["private_key"]

    def call(*arguments, answers=""):
        command = [str(pathlib.Path(sys.executable).with_name("aleph")), *arguments, "--private-key", key]
        done = subprocess.run(command, env=environment, input=answers, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    return call


def test_aggregate_and_file(aleph, network, tmp_path):
    aleph("aggregate", "post", "cli", '{"answer": 42}')
    owner = network.accounts[1]["address"]
    with urllib.request.urlopen(f"{network.core[0]}/api/v0/aggregates/{owner}.json?keys=cli") as answer:
        assert json.load(answer)["data"] == {"cli": {"answer": 42}}
    path = tmp_path / "note.txt"
    path.write_text("kept by the network")
    assert "item_hash" in aleph("file", "upload", str(path))


def test_program(aleph, network, tmp_path):
    # The client writes an archive beside the folder.
    folder = tmp_path / "app"
    shutil.copytree(EXAMPLE, folder)
    said = aleph(
        "program", "create", str(folder), "main:app", "--name", "hello", "--skip-volume", "--skip-env-var",
        "--compute-units", "1", "--timeout-seconds", "30",
        answers="\n" * 8,
    )
    found = re.search(r"Your program ([0-9a-f]{64})", said)
    assert found, said
    with urllib.request.urlopen(f"{network.compute[0]}/vm/{found[1]}/", timeout=ANSWER_SECONDS) as answer:
        assert answer.status == 200
        assert answer.headers["Aleph-Program-ItemHash"] == found[1]
        assert json.load(answer)
