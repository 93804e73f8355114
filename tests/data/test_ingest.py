"""The ingest stage as a command."""

import subprocess
import sys

from ruamel.yaml import YAML

from pipeline.data.canonical import read_cases
from pipeline.params import read_yaml
from tests.code_deps import ROOT
from tests.data.test_table import folder


def ingest(tmp_path, data=None, **phantom):
    params = read_yaml(ROOT / "params.yaml")
    params["data"].update(data or {})
    params["phantom"].update({"n_patients": 2, "n_normal_patients": 1, "height": 64, "width": 40, **phantom})
    params["study"] |= {"points": ["real"], "baselines": []}
    YAML(typ="safe").dump(params, tmp_path / "params.yaml")
    command = [sys.executable, "-m", "stages.ingest", "--params", str(tmp_path / "params.yaml"), "--out", str(tmp_path / "raw")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def tree(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_phantom_is_written_and_a_second_run_gives_the_same_bytes(tmp_path):
    done = ingest(tmp_path)
    assert done.returncode == 0, done.stderr
    first = tree(tmp_path / "raw")
    cases = read_cases(tmp_path / "raw")
    assert [case.pathology for case in cases] == ["malignant"] * 4 + ["normal"] * 2
    assert all(bool(case.lesions) == (case.pathology == "malignant") for case in cases)
    assert ingest(tmp_path).returncode == 0 and tree(tmp_path / "raw") == first


def test_a_table_with_a_fault_fails_or_is_skipped_as_asked(tmp_path):
    source = folder(tmp_path / "source", {}, {"image": "images/none.png"})
    data = {"source": "table", "root": str(source)}
    failed = ingest(tmp_path, data)
    assert failed.returncode == 2 and failed.stderr.startswith("error: images that cannot be used") and "none.png" in failed.stderr
    assert "Traceback" not in failed.stderr and not (tmp_path / "raw").exists()
    assert ingest(tmp_path, {**data, "on_error": "skip"}).returncode == 0
    assert len(read_cases(tmp_path / "raw")) == 1 and "none.png" in (tmp_path / "raw/skipped.csv").read_text()
