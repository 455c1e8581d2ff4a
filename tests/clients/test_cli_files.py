"""The released command line: files by both engines, small and large, folders, lists."""

import json

import pytest
from cli import until

MIB = 1024 * 1024


def said(output):
    return json.loads(output[output.index("{") : output.rindex("}") + 1])


@pytest.fixture
def owner(rich):
    return rich.private_key.hex(), rich.get_address()


@pytest.mark.parametrize("engine", ["storage", "ipfs"])
def test_upload_and_download(aleph, network, owner, tmp_path, engine):
    key, address = owner
    source = tmp_path / "note.txt"
    source.write_text(f"kept by {engine}")
    message = said(aleph(
        "file", "upload", source, "--storage-engine", engine, "--channel", "CLI", "--ref", "my-note",
        "--metadata", "name=note.txt", key=key,
    ))
    assert message["content"]["item_type"] == engine and message["content"]["ref"] == "my-note"
    item_hash = message["content"]["item_hash"]
    until(lambda: network.get(f"/api/v0/messages/{message['item_hash']}/status")["status"], lambda status: status == "processed")

    into = tmp_path / "downloads"
    aleph("file", "download", item_hash, "--output-path", into, "--file-name", "got", "--file-extension", ".txt")
    assert (into / "got.txt").read_text() == f"kept by {engine}"
    if engine == "ipfs":
        # From the public gateway, whose name leads to the node here.
        aleph("file", "download", item_hash, "--use-ipfs", "--output-path", into)
        assert (into / item_hash).read_text() == "kept by ipfs"
    shown = aleph("file", "download", message["item_hash"], "--only-info")
    assert f"Hash: {item_hash}" in shown and "URL: http" in shown

    listed = said(aleph("file", "list", "--json", key=key))
    assert [file["item_hash"] for file in listed["files"]] == [message["item_hash"]]
    aleph("file", "forget", message["item_hash"], "--reason", "a test", "--channel", "CLI", key=key)
    until(lambda: network.get(f"/api/v0/messages/{message['item_hash']}/status")["status"], lambda status: status == "forgotten")
    # The node answers 404 where there are none (core-api.md §7.6); the program says so.
    assert "Status code: 404" in aleph("file", "list", key=key)


def test_a_large_file_goes_to_ipfs(aleph, network, owner, tmp_path):
    """Above 4 MiB the program chooses that engine itself, and sends the file without its message.

    A node takes 25 MiB that way (core-api.md §9.4), so 100 MB pass by the SDK and cannot by this program.
    """
    key, _ = owner
    source = tmp_path / "large"
    source.write_bytes(bytes(range(256)) * 4096 * 25)
    message = said(aleph("file", "upload", source, "--storage-engine", "storage", key=key))
    assert message["content"]["item_type"] == "ipfs"
    aleph("file", "download", message["content"]["item_hash"], "--output-path", tmp_path, "--file-name", "got")
    assert (tmp_path / "got").read_bytes() == source.read_bytes()
    source.write_bytes(bytes(26 * MIB))
    assert "too large to be uploaded" in aleph("file", "upload", source, key=key)


def test_who_cannot_pay(aleph, stranger, tmp_path):
    source = tmp_path / "file"
    source.write_bytes(bytes(2 * MIB))
    output = aleph("file", "upload", source, key=stranger.private_key.hex(), code=1)
    assert "Insufficient funds" in output


def test_a_pin(aleph, network, owner, tmp_path):
    """A file that is there already, by its CID."""
    key, address = owner
    source = tmp_path / "file"
    source.write_bytes(b"pinned twice")
    first = said(aleph("file", "upload", source, "--storage-engine", "ipfs", key=key))
    second = said(aleph(
        "file", "pin", first["content"]["item_hash"], "--channel", "CLI", "--ref", "a-pin", "--metadata", "a=b", key=key
    ))
    assert second["content"]["metadata"] == {"a": "b"} and second["content"]["ref"] == "a-pin"
    listed = until(lambda: said(aleph("file", "list", "--json", key=key)), lambda found: len(found["files"]) == 2)
    assert {file["item_hash"] for file in listed["files"]} == {first["item_hash"], second["item_hash"]}
    assert listed["total_size"] == 2 * len(b"pinned twice")


def test_lists(aleph, network, owner, tmp_path):
    key, address = owner
    for number in range(3):
        source = tmp_path / f"file-{number}"
        source.write_bytes(b"x" * (number + 1))
        aleph("file", "upload", source, "--storage-engine", "storage", key=key)
    listed = until(lambda: said(aleph("file", "list", "--json", key=key)), lambda found: len(found["files"]) == 3)
    assert [file["size"] for file in listed["files"]] == [3, 2, 1]
    # The program sends `sort_order` as the node spells it.
    oldest = said(aleph("file", "list", "--sort-order", "1", "--pagination", "2", "--page", "1", "--json", key=key))
    assert [file["size"] for file in oldest["files"]] == [1, 2]
    table = aleph("file", "list", "--address", address, key=key)
    assert all(file["item_hash"] in table for file in listed["files"])
    assert address in table


def test_a_folder_needs_a_kubo(aleph, network, internet, owner, tmp_path):
    """The program sends folders to the API of a Kubo daemon at the public gateway, not to a core node."""
    key, _ = owner
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<html></html>")
    aleph("file", "upload", tmp_path / "site", key=key, code=1)
    assert internet.asked[-1] == "https://ipfs.aleph.cloud/api/v0/add"
