"""Damaged files of the DVC cache and of outputs are found by their hash, and removed on demand."""

import hashlib
import json

import pytest

from stages.verify import CACHE, damaged


def stored(root, data, suffix=""):
    digest = hashlib.md5(data).hexdigest()
    path = root / CACHE / digest[:2] / (digest[2:] + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return digest + suffix, path


@pytest.fixture
def repository(tmp_path):
    """A folder output of two files and a file output, in the workspace and in the cache."""
    contents = {"a.csv": b"1,2\n", "b.pth": bytes(100)}
    objects = {name: stored(tmp_path, data) for name, data in contents.items()}
    listing, _ = stored(tmp_path, json.dumps([{"md5": objects[name][0], "relpath": name} for name in contents]).encode(), ".dir")
    single, _ = stored(tmp_path, b"{}")
    for name, data in contents.items():
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / "models" / name).write_bytes(data)
    (tmp_path / "x.json").write_bytes(b"{}")
    outs = [{"path": "models", "hash": "md5", "md5": listing}, {"path": "x.json", "hash": "md5", "md5": single}]
    (tmp_path / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"train": {"cmd": "x", "outs": outs}}}))
    return tmp_path


def test_a_sound_repository_has_no_damage_and_absent_outputs_are_none(repository):
    assert damaged(repository) == []
    (repository / "models/a.csv").unlink()
    assert damaged(repository) == []


def test_flipped_bits_are_found_in_outputs_and_in_the_cache(repository):
    (repository / "models/a.csv").write_bytes(b"1,3\n")
    (repository / "x.json").write_bytes(b"[]")
    cached = next((repository / CACHE).glob(f"{hashlib.md5(bytes(100)).hexdigest()[:2]}/*"))
    cached.write_bytes(bytes(99) + b"\1")
    found = {path.relative_to(repository).as_posix() for path in damaged(repository)}
    assert found == {"models/a.csv", "x.json", cached.relative_to(repository).as_posix()}
