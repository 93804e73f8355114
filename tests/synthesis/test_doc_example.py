"""docs/add-a-pool.md, followed to the letter in a copy of the repository."""

import re
import sys

import numpy as np
import pytest

from pipeline import coco
from pipeline.io import read_image, read_json
from pipeline.profile import write
from tests.code_deps import ROOT
from tests.conftest import copy_of_repository

PAGE = (ROOT / "docs/add-a-pool.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', PAGE, re.S))
# Where a block goes: behind the first match in the file that its title names.
BEHIND = {
    "methods": r"    methods = \{\n", "imports": r"    from pipeline\.errors import PipelineError\n",
    "class Pools": r"class Pools\(Block\):\n", "baselines": r"baselines: list\[Literal\[", "comment of baselines": r"\n  baselines:.*",
    "pools": r"\npools:.*\n", "curve": r"\ncurve:.*\n", "ARMS": r"ARMS = \{\n",
}  # fmt: skip
INLINE = ("baselines", "comment of baselines")


@pytest.fixture
def followed(tmp_path_factory, prepared):
    project = copy_of_repository(tmp_path_factory.mktemp("example"))
    for title, block in BLOCKS.items():
        name, _, place = title.partition(": ")
        if name.endswith(" (new)"):
            (project.root / name.removesuffix(" (new)")).write_text(block)
            continue
        text = (project.root / name).read_text()
        found = re.search(BEHIND[place], text)
        assert found, f"{name} has nowhere to put {title}"
        added = block.rstrip("\n") if place in INLINE else block
        (project.root / name).write_text(text[: found.end()] + added + text[found.end() :])
    (project.root / "data").mkdir()
    (project.root / "data/prepared").symlink_to(prepared)
    write({"pools": {"faint": {"n": 6}}, "curve": {"faint_120": {"faint": 6}}}, project.root / "params.yaml")
    write({"study": {"baselines": ["faint"], "points": ["real", "faint_120"]}}, project.root / "params.yaml")
    return project


def test_the_page_adds_a_pool_in_under_60_lines():
    assert sum(len(block.strip().splitlines()) for block in BLOCKS.values()) < 60


def test_the_pool_of_the_page_is_built_and_is_what_it_says(followed):
    followed.call(sys.executable, "-m", "pipeline.params_page", "--write")
    followed.call(sys.executable, "-m", "stages.pool_baseline", "faint")
    pool = followed.root / "data/pools/faint"
    manifest, dataset = read_json(pool / "manifest.json"), coco.read(pool / "annotations.json")
    assert manifest["contrast"] == 0.5 and len(dataset["images"]) == len(dataset["annotations"]) == 6
    hosts = {image["image_id"]: image for image in coco.read(followed.root / "data/prepared/train/annotations.json")["images"]}
    lesions = coco.by_image(dataset)
    for image in dataset["images"]:
        made = read_image(pool / image["file_name"]).astype(float)
        before = read_image(followed.root / "data/prepared/train" / hosts[image["host"]]["file_name"]).astype(float)
        mask = coco.decode(lesions[image["id"]][0]["segmentation"])
        assert (made[~mask] == before[~mask]).mean() > 0.9 and 0 < np.mean(made[mask] - before[mask]) < 0.35 * 65535
        assert image["source_patch"].partition("_")[0] != image["host"] and image["synthetic"]
    done = followed.call(sys.executable, "-m", "stages.pool_baseline", "fiant", check=False)
    assert "no pool fiant is built here; pools are faint, " in done and "Traceback" not in done
