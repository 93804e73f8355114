"""Trouble with the machine becomes one line that says what to do, and leaves the files as they were."""

import contextlib
import errno
import os
import resource

import numpy as np
import pytest
import torch

from pipeline.cli import guarded
from pipeline.io import atomic_folder, read_image, write_json, write_png
from pipeline.rng import generator
from pipeline.training import checkpoints

NOISE = generator(0, "noise").integers(0, 65536, (300, 300), np.uint16)


@contextlib.contextmanager
def small_files():
    """No file may grow beyond 5,000 bytes, as on a disk that fills up in the middle of a write; pytest's own log is no exception."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def message(work, capsys, limit=contextlib.nullcontext) -> str:
    with pytest.raises(SystemExit) as ended, limit():
        guarded(work)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


WRITERS = {
    "checkpoint": lambda folder: checkpoints.save_state(folder / "a.file", {"a": torch.rand(10_000)}),
    "image": lambda folder: write_png(folder / "a.file", NOISE),
    "marked image": lambda folder: write_png(folder / "a.file", NOISE, mark="gan"),
    "json": lambda folder: write_json(folder / "a.file", list(range(9999))),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_that_cannot_be_finished_is_one_line_and_the_folder_is_as_before(writer, tmp_path, capsys):
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "old").touch()

    def work():
        with atomic_folder(tmp_path / "out") as folder:
            WRITERS[writer](folder)

    line = message(work, capsys, small_files)
    assert line.startswith("error: ") and ": the file would be larger" in line and str(tmp_path) in line and "nothing is lost" in line
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


def test_the_checkpoint_before_the_disk_was_full_serves(tmp_path, capsys):
    checkpoints.save(tmp_path, 1, {"iteration": 1})
    message(lambda: checkpoints.save(tmp_path, 2, {"iteration": 2, "a": torch.rand(10_000)}), capsys, small_files)
    assert checkpoints.newest(tmp_path) == {"iteration": 1}


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.ENOSPC, "free some space"), (errno.EROFS, "make it writable"), (errno.EACCES, "readable and writable")]
)
def test_disk_errors_name_the_file_and_the_remedy(number, remedy, capsys):
    def work():
        try:
            raise OSError(number, os.strerror(number), "models/x")
        except OSError as error:
            raise RuntimeError("unexpected pos 64 vs 0") from error  # as torch.save does it

    line = message(work, capsys)
    assert line.startswith("error: models/x: ") and remedy in line


def test_a_device_that_is_full_says_so(capsys):
    def work():
        with open("/dev/full", "wb") as file:
            file.write(bytes(1 << 20))

    assert "the disk is full; free some space" in message(work, capsys)


def test_full_memory_is_one_line_and_other_errors_keep_their_traceback(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "lower batch sizes" in message(lambda: bytearray(1 << 60), capsys)
    for error in (RuntimeError("a bug"), FileNotFoundError(errno.ENOENT, "no", "x")):

        def work(error=error):
            raise error

        with pytest.raises(SystemExit) as ended:
            guarded(work)
        assert ended.value.code == 1 and type(error).__name__ in (tmp_path / ".resume/traceback.txt").read_text()
        with pytest.raises(type(error)):
            guarded(work, debug=True)


def test_a_corrupt_image_is_named_with_what_to_do(tmp_path):
    from pipeline.errors import PipelineError

    write_png(tmp_path / "a.png", NOISE)
    data = bytearray((tmp_path / "a.png").read_bytes())
    for damage in (data[: len(data) // 2], data[:500] + bytes(50) + data[550:]):
        (tmp_path / "a.png").write_bytes(damage)
        with pytest.raises(PipelineError, match=r"a\.png: cannot be decoded"):
            read_image(tmp_path / "a.png")
