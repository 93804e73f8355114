"""A blinded reader study: real and synthetic masses, shuffled on one page, and what a reader's answers are worth."""

import base64
import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.errors import PipelineError, raise_all
from pipeline.evaluation.bootstrap import interval, resample
from pipeline.io import atomic_folder, from_unit, write_text
from pipeline.realism.classifier import auc
from pipeline.realism.sets import Set
from pipeline.rng import generator

SIDE, RESAMPLES = 384, 1000  # px of a shown patch
RATINGS = {1: "surely real", 2: "rather real", 3: "cannot tell", 4: "rather synthetic", 5: "surely synthetic"}
PAGE = Path(__file__).parent / "reader.html"


def write(real: Set, synthetic: Set, n: int, seed: int, out: Path) -> None:
    """Write `out`: index.html, which a reader gets, and key.csv (item, synthetic, name, patient), which he does not.

    n: patches of each kind; they are drawn by the seed, shuffled and numbered. The page opens without a network, holds no
    hint of the truth, and hands the answers over as a CSV file. Raises PipelineError where a set holds fewer than n.
    """
    raise_all(
        [f"{len(one)} {what} patches, {n} are asked for" for what, one in (("real", real), ("synthetic", synthetic)) if len(one) < n],
        "too few patches for the reader study; lower --n, or raise pools.gan.n",
    )
    rng = generator(seed, "reader study")
    chosen = [one.some(rng.permutation(len(one))[:n]) for one in (real, synthetic)]
    rows = [(is_synthetic, one, k) for is_synthetic, one in enumerate(chosen) for k in range(n)]
    order = [rows[index] for index in rng.permutation(len(rows))]
    study = f"{seed}-{n}"
    items = [{"item": number, "png": _png(one.images[k])} for number, (_, one, k) in enumerate(order, 1)]
    page = PAGE.read_text(encoding="utf-8")
    for name, value in (("STUDY", study), ("ITEMS", items), ("RATINGS", list(RATINGS.items()))):
        page = page.replace(f"/*{name}*/null", json.dumps(value))
    with atomic_folder(out) as folder:
        write_text(folder / "index.html", page)
        with open(folder / "key.csv", "w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["study", "item", "synthetic", "name", "patient"])
            table.writerows([study, number, kind, one.names[k], one.patients[k]] for number, (kind, one, k) in enumerate(order, 1))


def _png(image: Any) -> str:
    """A patch as 8-bit PNG without any text in it, enlarged, base64."""
    enlarged = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    done, coded = cv2.imencode(".png", from_unit(enlarged, np.uint8))
    if not done:
        raise PipelineError("a patch cannot be encoded as PNG")
    return base64.b64encode(coded.tobytes()).decode("ascii")


def score(key: Path, answers: Path, seed: int = 0) -> dict[str, Any]:
    """What a reader's answers are worth.

    key: key.csv. answers: the CSV that the page handed over (study, item, rating 1..5, seconds).
    Returns auc of the ratings (0.5: the reader cannot tell) with a 95 % interval over patients, accuracy of the decided
    answers (rating 3 is none), sensitivity and specificity for synthetic, n, seconds (median). Raises PipelineError that
    lists every answer which is missing, double, of another study or no rating.
    """
    truth = {row["item"]: row for row in _rows(key, ("study", "item", "synthetic", "patient"))}
    given = _rows(answers, ("study", "item", "rating", "seconds"))
    studies = {row["study"] for row in truth.values()}
    faults = [f"item {row['item']}: is of study {row['study']}" for row in given if row["study"] not in studies]
    faults += [f"item {row['item']}: rating {row['rating']!r}" for row in given if row["rating"] not in map(str, RATINGS)]
    items = [row["item"] for row in given]
    faults += [f"item {item}: answered {items.count(item)} times" for item in sorted({*items, *truth}, key=str) if items.count(item) != 1]
    faults += [f"item {item}: is not in the key" for item in items if item not in truth]
    raise_all(faults, f"{answers} does not answer {key}")
    label = np.array([int(truth[item]["synthetic"]) for item in items])
    rating = np.array([float(row["rating"]) for row in given])
    names, group = np.unique([truth[item]["patient"] for item in items], return_inverse=True)
    together = np.zeros(len(items), np.int64)
    draws = np.array([auc(rating, label, together, times[group]) for times in resample(len(names), RESAMPLES, seed, "reader")])
    low, high = interval(draws[0], draws[1:], len(names))
    said, decided = rating > 3, rating != 3
    return {
        "auc": float(draws[0]), "ci_low": low, "ci_high": high, "n": [int((label == 0).sum()), int((label == 1).sum())],
        "undecided": int((~decided).sum()), "accuracy": _mean((said == label)[decided]), "sensitivity": _mean(said[decided & (label == 1)]),
        "specificity": _mean(~said[decided & (label == 0)]), "seconds": float(np.median([float(row["seconds"]) for row in given])),
    }  # fmt: skip


def _mean(values: Any) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    from pipeline.data.canonical import read_rows

    return read_rows(path, columns)
