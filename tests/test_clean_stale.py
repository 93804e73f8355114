from pipeline.params import check, read_yaml
from pipeline.profile import merge
from stages.clean_stale import stale
from tests.code_deps import ROOT


def test_only_what_no_stage_writes_is_stale(tmp_path):
    params = check(merge(read_yaml(ROOT / "params.yaml"), {"study": {"points": ["real", "gan_60"], "seeds": [0, 1], "baselines": []}}))
    files = [
        "data/pools/gan/a", "data/pools/fresh/a", "data/trainsets/real/a", "data/trainsets/gan_120/a", "data/raw/a",
        "data/trainsets/.gitignore",
        "models/detector/real/0/model.pth", "models/detector/real/2/model.pth", "models/masks/model.pth", "models/infill/model.pth",
        "predictions/real/1.json", "predictions/real/1.val.json", "predictions/real/7.json", "predictions/gan_120/0.json",
    ]  # fmt: skip
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in stale(params, tmp_path)] == [
        "data/trainsets/gan_120", "data/pools/fresh", "models/detector/real/2", "predictions/gan_120", "predictions/real/7.json",
    ]  # fmt: skip
