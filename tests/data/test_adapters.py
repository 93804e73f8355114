import dataclasses
from typing import get_args

import pytest

from pipeline.data.adapters import ADAPTERS, records
from pipeline.errors import PipelineError
from pipeline.params import Data, load
from tests.code_deps import ROOT
from tests.data.cbis_files import as_in_tables, image

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
