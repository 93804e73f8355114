"""Small inputs of the report in the form of docs/architecture.md, with numbers that can be checked by hand."""

import base64
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from pipeline.io import write_json, write_png
from pipeline.params import Params, check, read_yaml
from pipeline.profile import merge
from tests.code_deps import ROOT

SIZES = {"real": 0.40, "traditional_120": 0.50, "gan_60": 0.52, "gan_120": 0.56, "fresh_120": 0.60}
MIXTURES = {
    "real": {},
    "traditional_120": {"traditional": 120},
    "gan_60": {"gan": 60},
    "gan_120": {"gan": 120},
    "fresh_120": {"fresh": 120},
}
METRICS = [
    "sens_at_0.25fp",
    "sens_at_0.5fp",
    "sens_at_1fp",
    "sens_at_2fp",
    "sens_at_4fp",
    "mean_sens_0.25_4",
    "recall",
    "recall_iou0.5",
    "fp_per_image_recall_iou0.5",
    "auc_0_1",
]


def metrics(seeds: int = 2, names: Iterable[str] = SIZES) -> dict:
    """metrics.json of the points `names`: sens_at_1fp is SIZES, its interval 0.1 to each side, others are shifted by 0.02 a place."""

    def block(value: float, **more: float) -> dict:
        return {"value": round(value, 6), "ci95": [round(value - 0.1, 6), round(value + 0.1, 6)], **more}

    def every(value: float, **more: float) -> dict:
        return {metric: block(value + 0.02 * (i - 2), **more) for i, metric in enumerate(METRICS)}

    points = {}
    names = set(names)
    for name in (name for name in SIZES if name in names):
        value, n = SIZES[name], sum(MIXTURES[name].values())
        points[name] = {
            "arm": (list(MIXTURES[name]) or ["real"])[-1], "n_train": 100 + n, "n_real": 100, "n_synthetic": n,
            "seeds": {str(s): every(value + 0.01 * (s - (seeds - 1) / 2)) for s in range(seeds)}, "mean": every(value, n_runs=seeds),
            "strata": [{"variable": "size", "level": "< 8.1 mm", "n_lesions": 14, "n_clusters": 11, **block(value - 0.1)}],
            "notes": [],
        }  # fmt: skip

    def contrast(against: str, kind: str) -> dict:
        difference = round(SIZES["gan_120"] - SIZES[against], 6)
        one = {
            "difference": difference,
            "ci95": [round(difference - 0.07, 6), round(difference + 0.07, 6)],
            "minimal_detectable": 0.1,
            "p": 0.03,
            "p_holm": 0.06,
        }
        groups = [{"variable": "size", "level": "< 8.1 mm", "n_lesions": 14, "n_clusters": 11, "difference": 0.2, "ci95": [-0.1, 0.5]}]
        return {"point": "gan_120", "against": against, "kind": kind, "primary": True, "metrics": {"sens_at_1fp": one}, "strata": groups}

    pairs = (("real", "real"), ("traditional_120", "best_traditional"))
    share = {"point": "gan_120", "fresh": "fresh_120", "value": 0.8, "ci95": [0.2, 1.4], "reason": None}
    return {
        "settings": {"hit": "iou:0.5"},
        "test": {"n_images": 60, "n_normal_images": 20, "n_lesions": 44, "n_patients": 30, "resampled": 1000},
        "points": points,
        "contrasts": [contrast(name, kind) for name, kind in pairs if {"gan_120", name} <= names],
        "recovered": [share] if {"gan_120", "fresh_120"} <= names else [],
        "notes": ["a remark of the evaluation"],
    }  # fmt: skip


def froc(seeds: int = 2) -> pd.DataFrame:
    """Step corners of a smooth FROC of each point and seed."""
    rows = []
    for name, value in SIZES.items():
        for seed in range(seeds):
            for i, fp in enumerate(np.round(0.02 * 1.25 ** np.arange(0, 28), 4)):
                sensitivity = round(min(1.0, value * (1 + 0.28 * np.log2(fp) / 2) + 0.01 * seed), 4)
                if sensitivity > 0:
                    rows.append((name, seed, round(1 - i / 28, 4), fp, sensitivity))
    return pd.DataFrame(rows, columns=["point", "seed", "threshold", "fp_per_image", "sensitivity"])


def losses(n: int, names: list[str], seed: int = 0) -> pd.DataFrame:
    noise, steps = np.random.default_rng(seed), np.arange(1, n + 1)
    table = {name: 0.5 + np.exp(-steps / (n / 4)) * (i + 1) + 0.1 * noise.random(n) for i, name in enumerate(names)}
    return pd.DataFrame({"iteration": steps, **table})


def quality(auc: float = 0.52) -> dict:
    """quality.json: generated 0.2, floor 0.15, ceiling 0.3 on whole patches, twice that on mask and margin."""

    def row(protocol: str, what: str, area: str, value: float) -> dict:
        return {
            "protocol": protocol, "what": what, "area": area, "lpips": value, "ci_low": value - 0.01, "ci_high": value + 0.01,
            "n": 40, "patients": 12,
        }  # fmt: skip

    means = {
        ("reconstruction", "generated"): 0.1,
        ("reconstruction", "blank"): 0.3,
        ("unpaired", "generated"): 0.2,
        ("unpaired", "real"): 0.15,
    }
    comparisons = [row(*key, area, k * value) for key, value in means.items() for area, k in (("patch", 1), ("region", 2))]
    shapes = {"area": [0.1, 0.15, 0.2], "pairwise_iou": 0.4, "n": 40}
    keys = (
        "measure",
        "reconstruction",
        "unpaired",
        "generated",
        "real",
        "blank",
        "patch",
        "region",
        "nearest_training",
        "masks",
        "host_style",
    )
    style = {
        "auc": auc, "ci95": [auc - 0.05, auc + 0.05], "limit": 0.6, "images": {"real": 40, "hosts": 30},
        "patients": {"real": 20, "hosts": 15},
        "sources": {"real": ["films"], "hosts": ["films", "others"]}, "reason": None,
    }  # fmt: skip
    return {
        "host_style": style,
        "definitions": {key: f"definition of {key}" for key in keys}, "comparisons": comparisons, "generator": {"precision": "fp32"},
        "nearest_training": {"generated": 0.11, "held_out": 0.12}, "masks": {"generated": shapes, "training": shapes},
    }  # fmt: skip


def reports(folder: Path, seeds: int = 2, names: Iterable[str] = SIZES) -> Path:
    """Write metrics.json, curve.csv and froc.csv into `folder`."""
    found = metrics(seeds, names)
    write_json(folder / "metrics.json", found)
    froc(seeds).to_csv(folder / "froc.csv", index=False)
    rows = [
        (name, one["arm"], seed, one["n_train"], one["n_real"], one["n_synthetic"], metric, value["value"], *value["ci95"])
        for name, one in found["points"].items()
        for seed, values in [*one["seeds"].items(), ("mean", one["mean"])]
        for metric, value in values.items()
    ]
    columns = ["point", "arm", "seed", "n_train", "n_real", "n_synthetic", "metric", "value", "ci_low", "ci_high"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "curve.csv", index=False)
    return folder


def params(**change: dict) -> Params:
    """params.yaml of the repository with the points of this module, and any change."""
    ours = {"curve": MIXTURES, "study": {"points": list(SIZES)}}
    return check(merge(merge(read_yaml(ROOT / "params.yaml"), ours), change))


def test_part(folder: Path, points: Iterable[str]) -> None:
    """Three mammograms: a lesion that scores 0.9, one that no box finds, and a normal one with false positives of 0.8 and 0.3."""
    lesions = [(1, [10, 20, 16, 12]), (2, [20, 30, 10, 10])]
    images = [
        {
            "id": i,
            "image_id": f"p{i}_L_CC",
            "file_name": f"images/{i}.png",
            "patient_id": f"p{i}",
            "spacing_mm": 0.5,
            "height": 60,
            "width": 40,
        }
        for i in (1, 2, 3)
    ]
    marks = [{"id": i, "image_id": i, "category_id": 1, "bbox": box, "iscrowd": 0, "lesion": 1} for i, box in lesions]
    write_json(folder / "test/annotations.json", {"images": images, "annotations": marks, "categories": [{"id": 1, "name": "mass"}]})
    for i in (1, 2, 3):
        write_png(folder / f"test/images/{i}.png", np.random.default_rng(i).integers(0, 255, (60, 40), np.uint8))
    counts = {"patients": 1, "images": 1, "lesions": 1, "ignored": 0, "patches": 1}
    balance = {"density": {"2": 1, "3": 4}, "view": {"CC": 5}, "size_mm_quartiles": [8, 9.5, 11]}
    summary = {key: [] for key in ("laterality_mismatch", "no_muscle_in_mlo", "dropped_components", "images_left_out", "same_mammogram")}
    summary |= {
        "parts": dict.fromkeys(("train", "val", "test"), counts),
        "balance": dict.fromkeys(("train", "val", "test"), balance),
        "removed_px": {"p1_L_CC": 30, "p2_L_CC": 4},
        "spacing_assumed": 2,
        "lesion_px_outside_breast": {"p1_L_CC": 5},
    }
    write_json(folder / "patches/preprocess.json", summary)
    _, jpeg = cv2.imencode(".jpg", np.full((128, 80), 90, np.uint8))
    film = {"outside": 0, "removed": 0.0, "width": 80, "height": 128, "jpeg": base64.b64encode(jpeg.tobytes()).decode()}
    outlines = [["breast", [2.0, 2.0, 70.0, 2.0, 70.0, 120.0]], ["lesion", [20.0, 20.0, 30.0, 20.0, 30.0, 30.0]]]
    doubts = [["5 px of lesions outside of the breast"], [], []]
    entries = [{"image_id": f"p{i}_L_CC", "part": "test", "flags": doubts[i - 1], "outlines": outlines, **film} for i in (1, 2, 3)]
    write_json(folder / "qc/qc.json", entries)
    found = [(1, lesions[0][1], 0.9), (3, [5, 5, 8, 8], 0.8), (3, [20, 20, 9, 9], 0.3), (2, [1, 1, 5, 5], 0.2)]
    results = [{"image_id": i, "category_id": 1, "bbox": box, "score": score} for i, box, score in found]
    for point in points:
        write_json(folder / f"predictions/{point}/0.json", results)


def inputs(folder: Path, seeds: int = 2, names: Iterable[str] = SIZES) -> dict:
    """Everything that the report reads, below `folder`; returns the fields of `build.Paths`."""
    reports(folder / "reports", seeds, names)
    models = {
        "Mask GAN": ("masks", ["discriminator", "generator"]),
        "Infilling GAN": ("infill", ["discriminator", "adversarial", "feature_matching"]),
    }
    for name, columns in models.values():
        (folder / "models" / name).mkdir(parents=True)
        losses(60, columns).to_csv(folder / "models" / name / "losses.csv", index=False)
    write_json(folder / "weights.json", {"alexnet": {"file": "alexnet.npz", "sha256": "ab" * 32, "source": "a package"}})
    write_json(folder / "quality/quality.json", quality())
    test_part(folder, [*names, "gan_4"])
    write_png(folder / "quality/patches.png", np.random.default_rng(0).integers(0, 255, (60, 90), np.uint8))
    return {
        "reports": folder / "reports", "quality": folder / "quality", "weights": folder / "weights.json",
        "prepared": folder, "predictions": folder / "predictions",
        "inputs": [folder / "reports/metrics.json"],
        "models": {title: folder / "models" / name for title, (name, _) in models.items()},
    }  # fmt: skip
