"""benchmarks.synthesis: what it is told, and what it keeps."""

import pytest

from benchmarks import synthesis
from pipeline.errors import PipelineError
from pipeline.io import read_json, write_json


def arguments(tmp_path, *more):
    return synthesis.arguments().parse_args(["--data", "films", "--work", str(tmp_path), *more])


def test_trainings_of_other_settings_are_not_taken_for_these(tmp_path):
    synthesis._same_study(arguments(tmp_path, "--iterations", "6", "--seeds", "0"))
    synthesis._same_study(arguments(tmp_path, "--iterations", "6", "--n", "20", "--held-out", "test"))  # measured anew, not trained
    with pytest.raises(PipelineError, match=r"--patch-px: 64 there, 128 here\n.*--iterations: 6 there, 2000 here"):
        synthesis._same_study(arguments(tmp_path, "--patch-px", "128"))
    held = read_json(tmp_path / "study.json")
    write_json(tmp_path / "study.json", {name: value for name, value in held.items() if name != "precision"})
    with pytest.raises(PipelineError, match=r"\(1\):\n.*--precision: not named there, fp32 here"):
        synthesis._same_study(arguments(tmp_path, "--iterations", "6"))


def test_measures_that_are_kept_are_of_these_settings(tmp_path):
    args = arguments(tmp_path, "--out", str(tmp_path))
    assert synthesis.kept(args, "best", 0) is None
    with pytest.raises(PipelineError, match=r"measures/best-0.json is missing; call the command again"):
        synthesis.collect(args, ["best"])
    write_json(tmp_path / "measures/best-0.json", {"study": synthesis._study(args), "quality": {}})
    assert synthesis.kept(args, "best", 0)["quality"] == {}
    for more in (["--held-out", "test"], ["--n", "20"], ["--iterations", "6"], ["--precision", "bf16"], ["--no-seam"]):
        with pytest.raises(PipelineError, match=r"with other settings; name another --out \(1\):\n.*there, .*here"):
            synthesis.kept(arguments(tmp_path, "--out", str(tmp_path), *more), "best", 0)


def test_settings_are_those_of_the_generator(tmp_path):
    args = arguments(tmp_path, "--patch-px", "128", "--no-seam")
    best, paper = (synthesis.settings(args, name) for name in ("best", "two_crn"))
    assert (best.synth.keep, best.synth.blend, best.gen.grain, best.gen.arch, best.gen.labels) == (0.25, "mask", 1, "unet", "tri")
    assert (paper.synth.keep, paper.synth.blend, paper.gen.grain, paper.gen.arch, paper.gen.labels) == (1, "feather", 0.65, "crn", "two")
    assert (best.preprocess.patch_px, best.preprocess.height) == (128, 800) and not best.needs_healthy_generator
    assert synthesis.settings(arguments(tmp_path), "best").needs_healthy_generator


def test_the_page_names_the_call_that_makes_it(tmp_path):
    assert synthesis._command(arguments(tmp_path)).endswith("--data DATA --seeds 0 1 2 --iterations 2000 --n 250 --held-out val")
    more = ["--patch-px", "128", "--no-seam", "--generators", "tri_unet", "best"]
    assert synthesis._command(arguments(tmp_path, *more)).endswith("val --patch-px 128 --generators tri_unet best --no-seam")


def test_other_values_of_sampling_leave_the_shared_model_as_it_is(tmp_path):
    there, here = tmp_path / "there", tmp_path / "here"
    write_json(there / "meta.json", {"grain": 0.65, "width": 8})
    (there / "model.pth").write_bytes(b"weights")
    for _ in range(2):
        synthesis._sampled(there, here, {"grain": 1.0})
    assert read_json(here / "meta.json") == {"grain": 1.0, "width": 8} and (here / "model.pth").read_bytes() == b"weights"
    assert read_json(there / "meta.json") == {"grain": 0.65, "width": 8}
