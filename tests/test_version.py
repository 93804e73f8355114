"""What an older version wrote is read, or is said to be of that version."""

import tomllib

import pytest

from pipeline.errors import PipelineError
from pipeline.gan import infill, masks
from pipeline.io import read_json, write_json
from pipeline.report import results
from pipeline.version import VERSION, reading
from tests.code_deps import ROOT
from tests.report import made


def test_the_version_is_that_of_the_project():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


@pytest.mark.parametrize(("record", "writer"), [({"version": "0.1.9"}, "version 0.1.9"), ({}, "a version before 0.2.0")])
def test_a_model_that_lacks_a_key_names_its_version(tmp_path, record, writer):
    (tmp_path / "model.pth").write_bytes(b"")
    write_json(tmp_path / "meta.json", {"patch_px": 32, **record})
    for load in (masks.load, infill.load):
        with pytest.raises(
            PipelineError, match=rf"meta\.json: was written by {writer} and cannot be used by version {VERSION}: it lacks '"
        ):
            load(tmp_path)


def test_what_has_every_key_is_read_whoever_wrote_it():
    with reading("a", {"version": "99.0.0"}):
        value = {"points": 1}["points"]
    assert value == 1


def test_results_of_a_version_that_knew_less_are_read(tmp_path):
    """Those of before 0.2.0 named no version and no second source; one without intervals is refused by its version."""
    file = made.reports(tmp_path) / "metrics.json"
    known = {key: value for key, value in read_json(file).items() if key not in ("version", "second_source")}
    write_json(file, known)
    found = results.read(tmp_path, made.MIXTURES, made.SIZES)
    assert [point.name for point in found.points] == list(made.SIZES) and found.second is None
    del known["points"]["real"]["mean"]
    write_json(file, {**known, "version": "0.1.0"})
    with pytest.raises(PipelineError, match=r"metrics\.json: was written by version 0\.1\.0 .* it lacks 'mean'"):
        results.read(tmp_path, made.MIXTURES, made.SIZES)
