"""An experiment in one small file, to publish with results: everything that its numbers are computed from, and no pixels.

Gzip of JSON: params, test ground truth (boxes and areas, without masks), detections of every cell, sizes of the points,
quality. `stages.compare` reads it like an experiment of DVC, without the data and the models.
"""

import gzip
import json
from pathlib import Path
from typing import Any

from pipeline.comparison.experiments import Experiment
from pipeline.errors import PipelineError
from pipeline.io import atomic

ENDING = ".experiment.json.gz"
FORMAT = 1


def pack(one: Experiment, folder: Path) -> Path:
    """Write ``folder/<name>.experiment.json.gz``; equal experiments give equal bytes."""
    test = {**one.test, "annotations": [{k: v for k, v in lesion.items() if k != "segmentation"} for lesion in one.test["annotations"]]}
    cells = [
        {"point": point, "seed": seed, "found": [[box["image_id"], *box["bbox"], box["score"]] for box in found]}
        for (point, seed), found in one.predictions.items()
    ]
    value = {"format": FORMAT, "params": one.params, "test": test, "cells": cells, "sizes": one.sizes, "quality": one.quality}
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False)
    path = folder / f"{one.name}{ENDING}"
    with atomic(path) as temporary:
        temporary.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    return path


def unpack(path: Path) -> Experiment:
    """The experiment of a packed file, named after it. Raises PipelineError where it is none or of a newer format."""
    try:
        value: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
        if value["format"] != FORMAT:
            raise PipelineError(f"{path}: packed experiment of format {value['format']}; this version reads format {FORMAT}")
        predictions = {
            (cell["point"], cell["seed"]): [
                {"image_id": image, "category_id": 1, "bbox": box, "score": score} for image, *box, score in cell["found"]
            ]
            for cell in value["cells"]
        }
        name = path.name.removesuffix(ENDING)
        return Experiment(name, value["params"], value["test"], predictions, value["sizes"], value["quality"])
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise PipelineError(f"{path}: no packed experiment ({type(error).__name__}: {error})") from None
