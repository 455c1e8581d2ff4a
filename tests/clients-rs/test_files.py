"""Files by both engines, folders, websites and domains, by the released Rust command line."""

import hashlib
import json
import uuid

import pytest
from conftest import Refused, eventually, processed, read

BIG_BYTES = 100_000_000
UNIT_BYTES = 65_536


def content(size):
    """Bytes that differ in every run."""
    seed = uuid.uuid4().bytes * (UNIT_BYTES // 16)
    return (seed * (size // UNIT_BYTES + 1))[:size]


@pytest.mark.parametrize("engine", ["storage", "ipfs"])
@pytest.mark.parametrize("size", [5, 1_000_003, BIG_BYTES])
def test_a_file_is_stored_and_fetched(people, network, tmp_path, engine, size):
    author, path, copy = people[1], tmp_path / "file.bin", tmp_path / "copy.bin"
    bytes_ = content(size)
    path.write_bytes(bytes_)
    reference = f"ref-{uuid.uuid4().hex[:8]}"
    stored = processed(author("file", "upload", path, "--storage-engine", engine, "--ref", reference, "--channel", "FILES"))
    found = author.aleph("message", "get", stored)["message"]["content"]
    assert [found["item_type"], found["ref"], found["payment"]["type"]] == [engine, reference, "credit"]
    if engine == "storage":
        assert found["item_hash"] == hashlib.sha256(bytes_).hexdigest()
    for words in [
        [found["item_hash"]], ["--message-hash", stored], ["--ref", reference, "--owner", author.address],
    ]:
        for node in network.core:
            copy.unlink(missing_ok=True)
            eventually(lambda: author.aleph("file", "download", *words, "--output", copy, node=node) is not None, seconds=60)
            assert hashlib.sha256(copy.read_bytes()).digest() == hashlib.sha256(bytes_).digest()
    if size == 5:
        return
    path.unlink()


def test_files_are_listed_pinned_and_deleted(people, tmp_path):
    author = people[2]
    path = tmp_path / "small.bin"
    path.write_bytes(content(500))
    stored = processed(author("file", "upload", path, "--storage-engine", "ipfs", "--payment-type", "hold"))
    file_hash = author.aleph("message", "get", stored)["message"]["content"]["item_hash"]
    listed = author.aleph("file", "list", "--address", author.address, "--count", "5", "--sort-order", "desc")
    assert [entry["item_hash"] for entry in listed if entry["file_hash"] == file_hash] == [stored]
    pinned = processed(author("file", "pin", file_hash))
    assert pinned != stored
    author("file", "delete", file_hash, "--yes", "--reason", "done")
    assert author.aleph("message", "get", stored)["status"] == "forgotten" or author.aleph("message", "get", pinned)["status"] == "forgotten"
    assert author.aleph("file", "list", "--address", "0x" + "00" * 20) == []
    with pytest.raises(Refused):
        author.aleph("file", "download", "ab" * 32, "--output", tmp_path / "none")


def folder(tmp_path, text):
    site = tmp_path / f"site-{uuid.uuid4().hex[:6]}"
    (site / "assets").mkdir(parents=True)
    (site / "index.html").write_text(f"<h1>{text}</h1>")
    (site / "assets/data.bin").write_bytes(content(400_000))
    return site


def test_a_folder_is_stored(people, network, tmp_path):
    author = people[1]
    stored = processed(author("file", "upload", folder(tmp_path, "folder")))
    found = author.aleph("message", "get", stored)["message"]["content"]
    assert found["item_type"] == "ipfs"
    said = json.loads(read(f"{network.core[0]}/api/v0/storage/metadata/{found['item_hash']}"))
    assert said["type"] == "dir" and said["size"] > 400_000
    assert b"<h1>folder</h1>" in read(f"{network.core[0]}/api/v0/storage/raw/{found['item_hash']}")


def test_a_website_is_deployed_updated_shown_and_deleted(people, tmp_path):
    author, name = people[3], f"site{uuid.uuid4().hex[:8]}"
    first = author("website", "deploy", name, folder(tmp_path, "one"), "--framework", "none", "--tag", "a", "--domain", "www.example.org")
    shown = author.aleph("website", "show", name, "--address", author.address)
    assert name in json.dumps(shown) and first["volume_id"] in json.dumps(shown)
    second = author("website", "update", name, folder(tmp_path, "two"))
    assert second["old_volume_id"] == first["volume_id"] != second["new_volume_id"]
    [row] = [row for row in author.aleph("website", "list", "--address", author.address) if row["name"] == name]
    assert [row["version"], row["volume_id"]] == [2, second["new_volume_id"]]
    author("website", "delete", name, "--yes")
    assert name not in [row["name"] for row in author.aleph("website", "list", "--address", author.address)]


def test_domains(people, tmp_path):
    author, domain = people[4], f"{uuid.uuid4().hex[:8]}.example.org"
    path = tmp_path / "target.bin"
    path.write_bytes(content(100))
    target, other = [processed(author("file", "upload", path, "--storage-engine", "ipfs")) for _ in range(2)]
    rows = lambda: {row["domain"]: row for row in author.aleph("domain", "list", "--address", author.address)}
    author("domain", "add", domain, "--target", target, "--kind", "ipfs", "--force")
    assert rows()[domain]["message_id"] == target
    author("domain", "attach", domain, "--to", other)
    assert rows()[domain]["message_id"] == other
    author("domain", "detach", domain, "--yes")
    assert rows().get(domain, {}).get("message_id") != other
    author("domain", "remove", domain, "--yes")
    assert domain not in rows()
