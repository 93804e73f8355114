import copy
import signal
import subprocess
import sys

import pytest

from pipeline import profile
from pipeline.errors import PipelineError
from pipeline.params import arm, check, load, read_yaml
from tests.code_deps import ROOT


@pytest.fixture
def values():
    return copy.deepcopy(read_yaml(ROOT / "params.yaml"))


def test_defaults_are_valid():
    assert load(ROOT / "params.yaml").gen.arch == "unet"


def test_scientific_notation_is_a_number(tmp_path):
    (tmp_path / "p.yaml").write_text("lr: 2e-4\n")
    assert read_yaml(tmp_path / "p.yaml") == {"lr": 0.0002}


def test_all_faults_are_named_at_once(values):
    values["gen"]["arhc"] = "unet"
    values["gen"]["train"]["batch"] = "8"
    values["split"]["test"] = 1.5
    del values["seed"]
    with pytest.raises(PipelineError) as error:
        check(values)
    text = str(error.value)
    for part in ("(4)", "gen.arhc: unknown key", "gen.train.batch", "got '8'", "split.test", "got 1.5", "seed: key is missing"):
        assert part in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"curve": {"gan_300": {"gan": 300}}, "study": {"points": ["gan_300"]}},
            "needs 300 images of pool gan, which holds 120; raise pools.gan.n",
        ),
        ({"curve": {"x": {"gan": 5, "nope": 3}}, "study": {"points": ["x"]}}, "names pool nope"),
        ({"study": {"points": ["missing"]}}, "study.points names missing"),
        ({"study": {"points": ["copy_paste_120"]}}, "add copy_paste to study.baselines"),
        ({"preprocess": {"pad_px": 100.0}}, "exactly one of pad_mm"),
        ({"data": {"normals": "table"}}, r"normals \(table\) and normals_root \(None\) belong together"),
        ({"data": {"normals": "table", "normals_root": "x"}}, "pool fresh draws its hosts again"),
        ({"data": {"source": "table", "root": []}}, "needs data.root"),
        ({"data": {"source": "cbis_ddsm", "root": "x"}, "synth": {"hosts": "contralateral"}}, "no mammogram of the other, healthy breast"),
        ({"data": {"source": "coco", "root": "x", "select": "benign"}}, "preprocess.targets is malignant: set it to benign"),
        ({"data": {"source": "table"}}, "needs data.root"),
        ({"data": {"source": "table", "root": "x"}}, "take fresh out of study.baselines"),
        ({"gen": {"labels": "two", "noise": "mask+margin"}}, "noise mask.margin would show it"),
        ({"split": {"test": 0.6, "val": 0.4}}, "leave no training patients"),
    ],
)
def test_impossible_combinations_are_refused(values, change, message):
    with pytest.raises(PipelineError, match=message):
        check(profile.merge(values, change))


def test_arm_is_the_last_pool():
    assert arm({}) == "real" and arm({"traditional": 60, "gan": 120}) == "gan"


def test_profile_is_written_with_comments_kept_and_the_rest_unchanged(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    overlay = profile.read("smoke", ROOT / "profiles")
    profile.write(overlay, path)
    assert read_yaml(path) == profile.merge(read_yaml(ROOT / "params.yaml"), overlay)
    assert "# unet | crn | spade: picks the block below" in path.read_text() and "pad_px: null " in path.read_text()


def test_flags_are_what_dvc_takes():
    assert list(profile.flags({"a": {"b": 1, "c": [0, 1]}, "d": None, "e": "x"})) == ["a.b=1", "a.c=[0, 1]", "d=null", 'e="x"']


def test_params_are_as_they_were_after_the_process_was_ended(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("seed: 1\n")
    script = """if True:
        import sys, time
        from pathlib import Path
        from pipeline.profile import applied
        with applied({"seed": 2}, Path(sys.argv[1])):
            print("set", flush=True)
            time.sleep(60)"""
    with subprocess.Popen([sys.executable, "-c", script, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "set\n" and path.read_text() == "seed: 2\n"
        process.terminate()
        assert process.wait(10) == -signal.SIGTERM
    assert path.read_text() == "seed: 1\n"


def test_unknown_profile_and_bad_params_end_in_one_line():
    for arguments, message in (
        (["nope"], "no profile nope; profiles are"),
        (["smoke", "--params", "absent.yaml"], "absent.yaml: no such file"),
    ):
        done = subprocess.run([sys.executable, "-m", "pipeline.profile", *arguments], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 2 and done.stderr.startswith("error: ") and message in done.stderr and "Traceback" not in done.stderr
