"""What an older version wrote is read, or is said to be of that version."""

import tomllib

import pytest

from pipeline.errors import PipelineError
from pipeline.gan import infill, masks
from pipeline.io import write_json
from pipeline.version import VERSION, reading
from tests.code_deps import ROOT


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
