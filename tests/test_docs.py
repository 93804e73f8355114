"""Commands of the documentation exist, take the options they are given, and are run somewhere; pages are in the menu."""

import re
import subprocess
import sys

import pytest

from pipeline.params import check, read_yaml
from pipeline.profile import merge
from tests.code_deps import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
HOUR, CI = "scripts/first_hour.sh", ".ci/run"
# Command (a pattern) -> the file that runs it and the words there, or why nothing does.
RUN = {
    r"git clone URL .*": (HOUR, "git clone"),
    r"cd .*": (HOUR, "cd "),
    r"\. \.venv/bin/activate": (HOUR, ".venv/bin"),
    r"make (setup|test|smoke)": (CI, "make test"),
    r"make run": (HOUR, "python -m stages.run"),
    r"make ablation": (HOUR, "python -m stages.ablation"),
    r"make clean-stale": (HOUR, "stages.clean_stale --remove"),
    r"make clean": ("Makefile", "rm -rf data"),
    r"git restore params.yaml": (HOUR, "git restore params.yaml"),
    r"python -m pipeline.profile \S+ --write": (HOUR, "pipeline.profile"),
    r"python -m pipeline.profile \S+ --check": (HOUR, "pipeline.profile paper --check"),
    r"python -m pipeline.params_page --write": ("tests/synthesis/test_doc_example.py", "params_page"),
    r"python -m stages.compare.*": (HOUR, "stages.compare"),
    r"make study .*": ("tests/test_study.py", "from stages import study"),
    r"python -m stages.confirm .*": ("tests/comparison/test_confirm.py", "stages.confirm"),
    r"python -m benchmarks.study_page .*": ("tests/comparison/test_confirm.py", "benchmarks.study_page"),
    r"python -m stages\.\w+ --help": ("tests/test_docs.py", "--help"),
    r"python -m stages.detect .*": ("tests/detection/test_new_images.py", "--images"),
    r"python -m pipeline.evaluation.froc .*": ("tests/evaluation/test_froc.py", "pipeline.evaluation.froc"),
    r"python -m pipeline.evaluation.compare .*": ("tests/evaluation/test_compare.py", "pipeline.evaluation.compare"),
    r"python -m pipeline.synthesis.generate .*": ("tests/synthesis/test_generate.py", "pipeline.synthesis.generate"),
    r"torchrun .*": ("tests/training/test_parallel.py", "torch.distributed.run"),
    r"dvc commit train_detector@.*": None,  # says DVC what torchrun has made
    r"python -m pipeline.cluster .*": ("tests/test_cluster.py", "pipeline.cluster"),
    r"dvc exp run .*gen.labels=two.*": (HOUR, "stages.ablation"),
    r"dvc exp run .*gen.arch=crn.*": (HOUR, "gen.arch=crn"),
    r"dvc exp run .*data.source=(table|cbis_ddsm).*": (HOUR, "data.source=table"),
    r"dvc exp run .*faint.*": ("tests/synthesis/test_doc_example.py", "faint"),
    r"dvc exp run .*my_detector.py": ("tests/test_docs.py", "my_detector.py"),
    r"\.venv/bin/pip install diffusers": None,  # optional; CI has it not
    r"dvc exp run .*study.rivals.*": ("tests/test_pipeline.py", "study.rivals=[diffusion]"),
    r"dvc exp show .*": (HOUR, "dvc exp show"),
    r"dvc metrics diff": (HOUR, "dvc metrics diff"),
    r"dvc plots diff crn": (HOUR, "dvc plots diff crn"),
    r"dvc plots show": ("tests/report/test_plots.py", '"plots", "show"'),
    r"dvc repro( -f ingest| preprocess| --single-item ingest)?": ("tests/conftest.py", '"dvc", "repro"'),
    r"for fold in .*": ("tests/comparison/test_joint.py", "folds"),
    r"python -m pipeline.live": ("tests/test_live.py", "pipeline.live"),
    r"(tail -f|tensorboard) .*": None,  # never ends
    r"(\.venv/bin/pip install ray|git push|dvc remote add .*|srun .*|sbatch .*)": None,  # needs a cluster
    r"(dvc stage list .*|dvc repro \$.*|'cell=.*)": None,  # the same
}


def commands(text: str) -> list[str]:
    """Commands of the shell blocks of a page, one each, without comments and prompts."""
    found = []
    for block in re.findall(r"```(?:bash|sh)\n(.*?)```", text, re.S):
        lines = re.sub(r"\s*\\\n\s*", " ", block).splitlines()
        stripped = [re.sub(r"(^|\s+)#.*$", "", line).strip() for line in lines]
        found += [part.strip() for line in stripped for part in ([line] if line.startswith("for ") else line.split(" && ")) if part.strip()]
    return found


ALL = sorted({(page.relative_to(ROOT).as_posix(), command) for page in PAGES for command in commands(page.read_text(encoding="utf-8"))})


def test_every_command_is_run_somewhere_or_says_why_not():
    unknown = [f"{page}: {command}" for page, command in ALL if not any(re.fullmatch(pattern, command) for pattern in RUN)]
    assert not unknown, "\n".join(["add these to RUN in tests/test_docs.py with the file that runs them:", *unknown])
    idle = [pattern for pattern in RUN if not any(re.fullmatch(pattern, command) for _, command in ALL)]
    assert not idle, f"no page has a command like {idle}; take them out of RUN"


@pytest.mark.parametrize(("file", "words"), sorted({where for where in RUN.values() if where}))
def test_the_file_that_runs_a_command_does(file, words):
    assert words in (ROOT / file).read_text(encoding="utf-8")


def test_targets_of_make_exist_and_have_a_line_of_help():
    known = set(re.findall(r"^([a-z-]+):.*## \S", (ROOT / "Makefile").read_text(), re.M))
    used = {match for _, command in ALL for match in re.findall(r"^make ([a-z-]+)", command)}
    assert used <= known and {"lint", "test", "run", "docs", "bench", "clean", "clean-stale", "ablation"} <= known


def test_modules_take_the_options_that_the_pages_give_them():
    calls = {}
    for _, command in ALL:
        if match := re.match(r"python -m (\S+)(.*)", command):
            calls.setdefault(match[1], set()).update(re.findall(r"(?<=\s)--[a-z-]+", match[2]))
    for module, options in calls.items():
        if module == "pipeline.cluster":
            continue  # its options are those of a subcommand
        done = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, module
        assert options - set(re.findall(r"--[a-z-]+", done.stdout)) == set(), module


def test_params_that_the_pages_set_are_valid():
    for page, command in ALL:
        if not command.startswith("dvc exp run") or "faint" in command:
            continue
        overlay: dict = {}
        for flag in re.findall(r"-S (?:'([^']*)'|\"([^\"]*)\"|(\S+))", command):
            key, _, value = "".join(flag).partition("=")
            *blocks, last = key.split(".")
            inner = overlay
            for block in blocks:
                inner = inner.setdefault(block, {})
            inner[last] = [one.strip() for one in value[1:-1].split(",") if one.strip()] if value.startswith("[") else value
        values = read_yaml(ROOT / "params.yaml")
        if overlay.get("study", {}).get("baselines") == [] and "points" not in overlay["study"]:
            overlay["study"]["points"] = [point for point in values["study"]["points"] if not point.startswith("fresh")]
        check(merge(values, overlay), f"{page}: {command}")


def test_every_page_is_in_the_menu_and_links_lead_somewhere():
    menu = (ROOT / "mkdocs.yml").read_text()
    for page in PAGES[2:]:
        assert f": {page.name}\n" in menu, f"add {page.name} to nav in mkdocs.yml"
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            target = page.parent / link
            written = target.parent.name == "benchmarks" and target.with_suffix(".py").is_file()  # by its benchmark, when that has run
            assert link.startswith("http") or target.exists() or written, f"{page.name}: {link} is not there"


def test_the_detector_of_the_page_can_be_built(tmp_path):
    from pipeline.detection import arches, config
    from pipeline.params import load

    page = (ROOT / "docs/add-a-detector.md").read_text(encoding="utf-8")
    path = tmp_path / "my_detector.py"
    path.write_text(re.search(r'```python title="my_detector.py"\n(.*?)```', page, re.S)[1])
    model = config.build(arches.model(load(ROOT / "params.yaml").detector.model_copy(update={"arch": str(path)})))
    assert model.bbox_head.conv_cls.out_channels == 1  # one class, though the file says 80
