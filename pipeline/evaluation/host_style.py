"""Whether the hosts of synthetic masses can be told from real training images by the tissue alone, without any mass.

Where they can, a detector may learn the style of the hosts instead of masses, and no difference between points says
anything about synthesis. The features are fixed and made by hand, so that the number means the same in every run.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline import coco
from pipeline.evaluation.bootstrap import interval, resample
from pipeline.io import read_image, to_unit
from pipeline.rng import generator

LIMIT = 0.60  # AUC above which every conclusion carries a warning
KEEP_OFF = 20 / 400  # distance to annotated lesions, as a share of the image height
INSET = 0.01  # of the height: how far tissue lies inside of the breast's outline
LEAST = 400  # px of tissue below which an image is left out
MOST = 200  # images of each kind that are looked at
SIGMAS = (0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.7, 8.0)  # px of the blurs between which the bands lie
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
FEATURES = ("mean", "deviation", "skewness", *(f"quantile {q:g}" for q in QUANTILES), *(f"log energy {s:g} px" for s in SIGMAS))
FOLDS = 5
RIDGE = 1.0  # weight of the squared coefficients
RESAMPLES = 500
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """Features of N images (N, F), and the patient of each."""

    features: Floats
    patients: list[str]


def measure(pool: Path, train: Path, hosts: Path, seed: int) -> dict[str, Any]:
    """host_style of quality.json: the AUC with its interval over patients, and what was compared.

    pool: of an inserting method; its images are looked at outside of the inserted frame and of all lesions, each host
    once. train: prepared training mammograms; real are those with a lesion to find, as in a trainset. hosts: the folder
    that the pool's hosts are in, `train` or that of hosts with their lesions painted over. The classifier is a ridge
    logistic regression; the score of an image comes from a fit to other patients. auc is null, with a reason, where there
    are fewer than FOLDS patients of a kind.
    """
    dataset, made = coco.read(train / "annotations.json"), coco.read(pool / "annotations.json")
    lesions, theirs = coco.by_image(dataset), coco.by_image(made)
    real = [image for image in dataset["images"] if coco.has_target(lesions[image["id"]])]
    used = list({image["host"]: image for image in reversed(made["images"])}.values())
    records = {image["image_id"]: image for image in coco.read(hosts / "annotations.json")["images"]}
    looks = (
        _look(((train, one, one["image_id"], lesions[one["id"]]) for one in _some(real, seed)), train),
        _look(((pool, one, one["host"], theirs[one["id"]]) for one in _some(used, seed)), hosts),
    )
    found: dict[str, Any] = {
        "limit": LIMIT,
        "features": list(FEATURES),
        "images": {"real": len(looks[0].patients), "hosts": len(looks[1].patients)},
        "patients": {"real": len(set(looks[0].patients)), "hosts": len(set(looks[1].patients))},
        "sources": {"real": _sources(real), "hosts": _sources(records[image["host"]] for image in used)},
    }
    if min(found["patients"].values()) < FOLDS:
        return found | {"auc": None, "ci95": [None, None], "reason": f"fewer than {FOLDS} patients of a kind"}
    value, bounds = auc(*looks, seed)
    return found | {"auc": value, "ci95": [None if np.isnan(bound) else bound for bound in bounds], "reason": None}


def auc(real: Look, hosts: Look, seed: int) -> tuple[float, tuple[float, float]]:
    """Chance that an image of `hosts` scores above one of `real`, ties half, and its interval from a bootstrap over patients."""
    features = np.concatenate([real.features, hosts.features])
    names, patient = np.unique([*real.patients, *hosts.patients], return_inverse=True)
    label = np.arange(len(features)) >= len(real.features)
    fold = generator(seed, "host style").permutation(len(names))[patient] % FOLDS
    scores = np.zeros(len(features))
    for k in range(FOLDS):
        out = fold == k
        scores[out] = _predict(features[~out], label[~out], features[out])
    wins = (scores[label][:, None] > scores[~label]) + 0.5 * (scores[label][:, None] == scores[~label])
    times = resample(len(names), RESAMPLES, seed, "host style")[:, patient].astype(float)
    weight = times[:, label].sum(1) * times[:, ~label].sum(1)
    drawn = np.einsum("bh,hr,br->b", times[:, label], wins, times[:, ~label], optimize=True) / np.where(weight > 0, weight, np.nan)
    return float(drawn[0]), interval(float(drawn[0]), drawn[1:], len(names))


def features_of(image: NDArray[Any], tissue: NDArray[np.bool_]) -> Floats:
    """FEATURES of the tissue (H, W bool, not empty) of an image (H, W) uint8 or uint16: greys in 0..1, energies as natural logarithms.

    Bands are differences of blurs that know nothing beyond the tissue.
    """
    unit = to_unit(image)
    inside = unit[tissue].astype(np.float64)
    mean, deviation = inside.mean(), inside.std()
    skewness = ((inside - mean) ** 3).mean() / max(deviation, 1e-6) ** 3
    blurs = [unit, *(_blurred(unit, tissue, sigma) for sigma in SIGMAS)]
    energies = [np.log(((one - other)[tissue] ** 2).mean() + 1e-12) for one, other in itertools.pairwise(blurs)]
    return np.array([mean, deviation, skewness, *np.quantile(inside, QUANTILES), *energies], np.float64)


def tissue_of(region: NDArray[Any], taken: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H, W) bool: breast without muscle, clear of its outline and of what is taken (H, W bool: lesions, inserted frames)."""
    height = len(region)
    depth = cv2.distanceTransform((region == 1).astype(np.uint8), cv2.DIST_L2, 3)
    free = cv2.distanceTransform((~taken).astype(np.uint8), cv2.DIST_L2, 3) if taken.any() else np.full(region.shape, np.inf)
    return np.asarray((depth > INSET * height) & (free >= KEEP_OFF * height))


def _look(images: Iterable[tuple[Path, dict[str, Any], str, list[dict[str, Any]]]], regions: Path) -> Look:
    """images: folder, COCO image, image_id of the mammogram in `regions` whose regions it has, annotations."""
    rows, patients = [], []
    for folder, image, region, annotations in images:
        taken = np.zeros((image["height"], image["width"]), bool)
        for one in annotations:
            taken |= coco.decode(one["segmentation"])
        if "centre" in image:
            (x, y), (width, height) = image["centre"], image["patch_size"]
            left, top = round(x - width / 2), round(y - height / 2)
            taken[max(0, top) : top + height, max(0, left) : left + width] = True
        tissue = tissue_of(read_image(regions / "regions" / f"{region}.png"), taken)
        if tissue.sum() >= LEAST:
            rows.append(features_of(read_image(folder / image["file_name"]), tissue))
            patients.append(image["patient_id"])
    return Look(np.array(rows).reshape(len(rows), len(FEATURES)), patients)


def _some(images: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """At most MOST of the images, drawn without replacement."""
    return [images[k] for k in generator(seed, "host style images").permutation(len(images))[:MOST]]


def _sources(images: Iterable[dict[str, Any]]) -> list[str]:
    return sorted({str(image.get("source") or "") for image in images} - {""})


def _blurred(unit: NDArray[np.float32], tissue: NDArray[np.bool_], sigma: float) -> NDArray[np.float32]:
    weight = cv2.GaussianBlur(tissue.astype(np.float32), (0, 0), sigma)
    return np.asarray(cv2.GaussianBlur(np.where(tissue, unit, np.float32(0)), (0, 0), sigma) / np.maximum(weight, np.float32(1e-6)))


def _predict(known: Floats, label: NDArray[np.bool_], new: Floats) -> Floats:
    """Log odds of `new` (M, F) by a ridge logistic regression on `known` (N, F), both scaled by `known`; Newton's method.

    Both kinds weigh the same: else the odds would say how many of a kind the other folds hold, and scores of different
    folds could not be compared. Without both kinds there is nothing to learn, and all odds are 0.
    """
    shares = np.array([label.mean(), 1 - label.mean()])
    if not shares.all():
        return np.zeros(len(new))
    weight = np.where(label, 0.5 / shares[0], 0.5 / shares[1])
    centre, scale = known.mean(0), known.std(0)
    x, z = (np.c_[np.ones(len(one)), (one - centre) / np.where(scale > 0, scale, 1)] for one in (known, new))
    penalty = RIDGE * np.eye(x.shape[1])
    penalty[0, 0] = 1e-6  # the intercept is free
    beta = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        step = np.linalg.solve((x.T * (weight * p * (1 - p))) @ x + penalty, x.T @ (weight * (label - p)) - penalty @ beta)
        beta += step
        if np.abs(step).max() < 1e-8:
            break
    return np.asarray(z @ beta)
