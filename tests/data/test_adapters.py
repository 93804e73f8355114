import dataclasses
import shutil
from pathlib import Path
from typing import get_args

import pytest

from pipeline.data.adapters import ADAPTERS, records, state
from pipeline.data.records import Case, Stored
from pipeline.errors import PipelineError
from pipeline.params import Data, load
from tests.code_deps import ROOT
from tests.data.cbis_files import as_in_tables, image
from tests.data.test_table import folder as table_folder

HEALTHY = {"image": "images/well.png", "mask": "", "pathology": "NORMAL", "finding": "normal"}
PARAMS = load(ROOT / "params.yaml")


def params(**data):
    return PARAMS.model_copy(update={"data": PARAMS.data.model_copy(update=data)})


def test_every_source_of_the_params_has_its_adapter():
    assert {*ADAPTERS, "phantom"} == set(get_args(Data.model_fields["source"].annotation))


@pytest.mark.parametrize("source", sorted(ADAPTERS))
def test_an_empty_folder_is_refused_by_name(source, tmp_path):
    with pytest.raises(PipelineError, match=str(tmp_path)):
        list(records(params(source=source, root=str(tmp_path))))


def test_selection_and_window_reach_the_adapter(tmp_path):
    films = [image("P_00001_LEFT_CC", (2, 2, 9)), image("P_00002_LEFT_CC", (2, 2, 9), pathology="BENIGN")]
    root = str(as_in_tables(tmp_path, films))
    (benign,) = records(params(source="cbis_ddsm", root=root, select="benign"))
    assert benign.image_id == "P_00002_LEFT_CC"
    (refused,) = records(params(source="cbis_ddsm", root=root, select="malignant", window="voi"))
    assert "has neither a VOI LUT nor a window" in dataclasses.asdict(refused)["reason"]


def test_every_adapter_says_stored_of_what_is_done_and_reads_the_rest(tmp_path):
    films = [image(f"P_0000{k}_LEFT_CC", (2, 2, 9)) for k in (1, 2)]
    root = str(as_in_tables(tmp_path, films))
    first, second = records(params(source="cbis_ddsm", root=root), done={"P_00001_LEFT_CC"})
    assert first == Stored("P_00001_LEFT_CC") and isinstance(second, Case)


def test_several_folders_and_a_second_source_of_healthy_mammograms(tmp_path):
    """Of the second source only the normal row is taken; the first comes from two folders."""
    roots = [str(table_folder(tmp_path / name, {"image": f"images/{name}.png"})) for name in ("one", "two")]
    other = table_folder(tmp_path / "other", {"image": "images/ill.png"}, HEALTHY)
    for root, name in zip((*roots, other, other), ("one", "two", "ill", "well"), strict=True):
        shutil.copy(Path(root) / "images/a.png", Path(root) / f"images/{name}.png")
    found = list(records(params(source="table", root=roots, normals="table", normals_root=str(other))))
    assert [(one.image_id, one.role) for one in found] == [("one", ""), ("two", ""), ("well", "normals")]
    with pytest.raises(PipelineError, match=r"holds no normal mammogram; point data.normals_root"):
        list(records(params(source="table", root=roots, normals="table", normals_root=roots[0])))


def test_a_changed_file_or_param_is_another_state(tmp_path):
    root = table_folder(tmp_path / "one", {})
    given = params(source="table", root=str(root))
    first = state(given)
    assert state(given) == first and state(params(source="table", root=str(root), on_error="skip")) != first
    (root / "cases.csv").write_text((root / "cases.csv").read_text() + "\n")
    assert state(given) != first
