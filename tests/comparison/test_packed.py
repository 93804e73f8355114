"""Packed experiments: the same numbers from one file without pixels."""

import gzip
import subprocess
import sys

import pytest

from pipeline.comparison import joint, packed
from pipeline.errors import PipelineError
from tests.code_deps import ROOT
from tests.comparison.test_joint import experiment


def test_a_packed_experiment_gives_the_same_study(tmp_path):
    one = experiment("fold_0", {"real": 4, "gan_4": 7})
    for lesion in one.test["annotations"]:
        lesion["segmentation"] = {"size": [9, 9], "counts": "abc"}
    path = packed.pack(one, tmp_path)
    assert path.name == "fold_0.experiment.json.gz" and b"counts" not in gzip.decompress(path.read_bytes())
    again = packed.unpack(path)
    assert (again.name, again.params, again.predictions, again.sizes) == (one.name, one.params, one.predictions, one.sizes)
    (ours,), (theirs,) = joint.join([again]), joint.join([one])
    for name, member in theirs.members.items():
        found = ours.members[name].point.found[0]
        assert (found.score == member.point.found[0].score).all() and (found.xyxy == member.point.found[0].xyxy).all()
    assert packed.pack(again, tmp_path / "again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "content", [b"", b"no gzip", gzip.compress(b"[]"), gzip.compress(b'{"format": 1}'), gzip.compress(b'{"format": 9}')]
)
def test_other_files_are_refused_by_name(tmp_path, content):
    (tmp_path / "x.experiment.json.gz").write_bytes(content)
    with pytest.raises(PipelineError, match=r"x\.experiment\.json\.gz"):
        packed.unpack(tmp_path / "x.experiment.json.gz")


def test_a_comparison_never_replaces_the_folder_of_its_packed_files(tmp_path):
    path = packed.pack(experiment("a", {"real": 4, "gan_4": 8}), tmp_path)
    before = path.read_bytes()
    for out, code in ((tmp_path, 2), (tmp_path / "comparison", 0)):
        command = [sys.executable, "-m", "stages.compare", str(path), "--out", str(out)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        assert ("name another folder" in done.stderr) == bool(code)
        assert path.read_bytes() == before
    assert (tmp_path / "comparison/index.html").is_file()
