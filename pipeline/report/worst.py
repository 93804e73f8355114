"""Worst misses and worst false positives of one training: a table, and pictures with overlays where pixels may be shown."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import coco
from pipeline.evaluation.froc import Rules
from pipeline.evaluation.matching import parse_hit
from pipeline.evaluation.truth import Detections, Truth, detections, truth
from pipeline.evaluation.worst import FalsePositive, Miss, false_positives, misses
from pipeline.io import read_image, read_json, to_unit
from pipeline.params import Params
from pipeline.report.results import Results
from pipeline.report.style import figure, save
from pipeline.report.tables import Cell, Table, gan_point, number

SHOWN = 6
COLOURS = {"lesion": "#56B4E9", "false": "#E69F00", "other": "#CC79A7"}
CAPTIONS = {
    "misses": "Lesions that are not found at 1 false positive per image, the hardest first.",
    "false_positives": "Detections with the highest scores that find no lesion, at most one an image.",
}


@dataclass(frozen=True)
class Worst:
    """What one training is worst at. folder: of the test part, with its images."""

    point: str
    seed: int
    folder: Path
    truth: Truth
    found: Detections
    misses: list[Miss]
    false_positives: list[FalsePositive]


def read(params: Params, results: Results, test: Path, predictions: Path) -> Worst:
    """The first training of the point that stands for the generator, of the last point of the study where there is none.

    test: the test part's annotations.json. predictions: folder of <point>/<seed>.json.
    """
    point, seed, block = (gan_point(results) or results.points[-1]).name, params.study.seeds[0], params.evaluate
    known = truth(coco.read(test), str(test))
    file = predictions / point / f"{seed}.json"
    found = detections(read_json(file), known, str(file))
    rules = Rules(parse_hit(block.hit), block.duplicates, block.images, "image", block.recall_score)
    return Worst(point, seed, test.parent, known, found, misses(known, found, rules, SHOWN), false_positives(known, found, rules, SHOWN))


def tables(worst: Worst) -> list[Table]:
    known, found = worst.truth, worst.found
    missed = [
        [Cell(_lesion(known, one.lesion)), Cell(_side(known, one.lesion), "number"), Cell(_rate(one.fp_per_image), "number")]
        for one in worst.misses
    ]
    wrong = [
        [Cell(str(_image(known, found.image[one.detection])["image_id"])), Cell(number(float(found.score[one.detection])), "number"),
         Cell(number(one.outscored, digits=2), "number"), Cell(number(one.fp_per_image, digits=2), "number")]
        for one in worst.false_positives
    ]  # fmt: skip
    return [
        Table(CAPTIONS["misses"], [Cell("Lesion"), Cell("Side (mm)", "number"), Cell("Found at", "number")], missed),
        Table(
            CAPTIONS["false_positives"],
            [Cell("Image"), *(Cell(name, "number") for name in ("Score", "Share of lesions with a lower score", "FP per image"))], wrong,
        ),
    ]  # fmt: skip


def draw(worst: Worst, folder: Path) -> None:
    """misses.png and false_positives.png: whole mammograms, lesions outlined, detections in dashes (PNG alone: they are pixels)."""
    kinds = {
        "misses": [(worst.truth.lesions.image[one.lesion], f"found at {_rate(one.fp_per_image)}") for one in worst.misses],
        "false_positives": [
            (worst.found.image[one.detection], f"score {worst.found.score[one.detection]:.2f}") for one in worst.false_positives
        ],
    }
    marked = {
        "misses": [(worst.truth.lesions.xyxy[one.lesion], "lesion") for one in worst.misses],
        "false_positives": [(worst.found.xyxy[one.detection], "false") for one in worst.false_positives],
    }
    for name, shown in kinds.items():
        if shown:
            with figure(1.35 * SHOWN, 2.9, SHOWN) as (made, panels):
                for axes, one, mark in zip(panels, shown, marked[name], strict=False):
                    _panel(axes, worst, int(one[0]), one[1], mark)
                for axes in panels[len(shown) :]:
                    axes.set_axis_off()
                save(made, folder, name, vector=False)


def _panel(axes: Any, worst: Worst, image: int, title: str, mark: tuple[NDArray[Any], str]) -> None:
    """A mammogram: its lesions outlined, the best detections dashed, the one that it is about drawn thick."""
    record = _image(worst.truth, image)
    axes.imshow(to_unit(read_image(worst.folder / record["file_name"])), cmap="gray", vmin=0, vmax=1)
    for box in worst.truth.lesions.xyxy[worst.truth.lesions.image == image]:
        _box(axes, box, COLOURS["lesion"], "-", 1.0)
    own = np.flatnonzero(worst.found.image == image)
    for one in own[np.argsort(-worst.found.score[own], kind="stable")][:3]:
        _box(axes, worst.found.xyxy[one], COLOURS["other"], ":", 1.0)
    _box(axes, mark[0], COLOURS[mark[1]], "-", 2.0)
    axes.set_title(f"{record['image_id']}\n{title}", fontsize=6.5)
    axes.set_axis_off()


def _box(axes: Any, xyxy: NDArray[Any], colour: str, dash: str, width: float) -> None:
    left, top, right, bottom = xyxy
    axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color=colour, linestyle=dash, linewidth=width)


def _image(known: Truth, image: int) -> dict[str, Any]:
    return known.images[int(image)]


def _lesion(known: Truth, lesion: int) -> str:
    return f"{_image(known, known.lesions.image[lesion])['image_id']}, lesion {known.annotations[lesion].get('lesion', '')}"


def _side(known: Truth, lesion: int) -> str:
    spacing = known.spacing[known.lesions.image[lesion]]
    return "" if np.isnan(spacing) else number(float(np.sqrt(known.lesions.area[lesion]) * spacing), digits=1)


def _rate(fp_per_image: float | None) -> str:
    return "no score" if fp_per_image is None else f"{fp_per_image:.2f} FP/image"
