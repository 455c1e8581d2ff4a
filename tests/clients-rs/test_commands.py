"""No command of the released command line is left out: each ran in a test, or is named here with the reason.

It comes last: it looks at what the other tests ran.
"""

import re

import pytest
from conftest import RAN, Refused

HASH = "ab" * 32
UNKNOWN = "not found|not currently running|404"

# Commands that cannot end well here: what is tried, and the words of its end, which prove the reason. CRN stands for
# the compute node of the network, which knows no such machine; FILE for a file of no meaning.
PROVEN = {
    ("instance", "erase"): ([HASH, "CRN"], UNKNOWN),
    ("instance", "logs"): ([HASH, "CRN"], UNKNOWN),
    ("instance", "reboot"): ([HASH, "CRN"], UNKNOWN),
    ("instance", "reinstall"): ([HASH, "CRN", "--yes"], UNKNOWN),
    ("instance", "ssh"): ([HASH, "CRN"], UNKNOWN),
    ("instance", "start"): ([HASH, "CRN"], UNKNOWN),
    ("instance", "stop"): ([HASH, "CRN"], UNKNOWN),
    ("instance", "port-forward", "refresh"): ([HASH], "not found in the scheduler"),
    ("instance", "backup", "create"): ([HASH, "CRN"], UNKNOWN),
    ("instance", "backup", "download"): ([HASH, "CRN"], "no backup found"),
    ("instance", "backup", "delete"): ([HASH, "backup", "CRN"], UNKNOWN),
    ("instance", "backup", "restore"): ([HASH, "--file", "FILE", "CRN"], "neither a QCOW2 image"),
    ("instance", "confidential", "init-session"): ([HASH, "CRN"], "sevctl"),
    ("instance", "confidential", "start"): ([HASH, "CRN"], "no session found"),
    ("instance", "confidential", "launch"): ([HASH, "CRN"], "sevctl"),
    ("instance", "attest"): ([HASH, "--url", "https://127.0.0.1:9"], "not found in the scheduler"),
    ("instance", "unlock"): ([HASH, "--url", "https://127.0.0.1:9"], "not found in the scheduler"),
    ("vprogram", "create"): (["name", "--workload", "FILE", "--runtime", HASH], "veritysetup|ext4"),
    ("vprogram", "run"): (["--workload", "FILE", "--runtime", HASH], "veritysetup|ext4"),
    ("vprogram", "show"): ([HASH], UNKNOWN),
    ("vprogram", "call"): ([HASH, "/", "--url", "https://127.0.0.1:9"], UNKNOWN),
    ("vprogram", "delete"): ([HASH, "--yes"], UNKNOWN),
    ("vprogram", "logs"): ([HASH, "CRN"], UNKNOWN),
    ("credit", "buy"): (["--token", "aleph", "--amount", "1", "--yes"], "no ethereum settlement"),
    ("token", "swap"): (["--sell-token", "eth", "--amount", "1", "--yes"], "no ethereum settlement"),
}

UNSIGNED = {("instance", "attest"), ("instance", "ssh"), ("vprogram", "show"), ("vprogram", "call"), ("vprogram", "run")}


def leaves(aleph, path=()):
    """Every command at the end of a branch of `--help`."""
    said = aleph(*path, "--help", node="")
    block = re.search(r"^Commands:\n((?:.+\n)+)", said, re.M)
    if not block:
        return [path]
    names = [line.split()[0] for line in block[1].splitlines() if re.match(r"^  \S", line)]
    return [leaf for name in names if name != "help" for leaf in leaves(aleph, (*path, name))]


@pytest.mark.parametrize("command", PROVEN, ids=" ".join)
def test_what_cannot_be_done_here_says_so(aleph, people, network, tmp_path, command):
    words, end = PROVEN[command]
    file = tmp_path / "file.bin"
    file.write_bytes(b"no meaning")
    places = {"CRN": ["--crn", network.compute[0]], "FILE": [file]}
    said = [part for word in words for part in places.get(word, [word])]
    act = aleph if command in UNSIGNED else people[1]
    with pytest.raises(Refused, match=f"(?i){end}"):
        act(*command, *said, environment={"ALEPH_LUKS_PASSPHRASE": "none"})


def test_what_is_not_there_is_told_as_nothing(aleph, people, network):
    assert people[1]("instance", "backup", "info", HASH, "--crn", network.compute[0]) == {"status": "not_found"}
    assert aleph("vprogram", "list", "--address", people[1].address) == []


def test_every_command_ran(aleph):
    known = leaves(aleph)
    assert len(known) > 80, known
    ran = {words for words in RAN if "--help" not in words}
    assert [" ".join(leaf) for leaf in known if not any(words[: len(leaf)] == leaf for words in ran)] == []
