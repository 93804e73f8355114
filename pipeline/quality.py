"""How close generated patches are to real ones (paper 4.4, upper half of Table 1), with floors and intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import coco, leaks
from pipeline.errors import PipelineError
from pipeline.evaluation import host_style
from pipeline.evaluation.bootstrap import interval, resample
from pipeline.evaluation.similarity import Lpips
from pipeline.gan import infill, masks
from pipeline.gan.patches import Patches, read
from pipeline.gan.sheets import boxed, sheet
from pipeline.io import atomic_folder, read_image, to_unit, write_json, write_png
from pipeline.preprocess.geometry import resize
from pipeline.preprocess.trilabel import margin
from pipeline.realism import measure as realism
from pipeline.realism.measure import Given
from pipeline.realism.sets import Set
from pipeline.rng import generator

Images = NDArray[np.float32]
Masks = NDArray[np.bool_]

RESAMPLES = 1000
SHOWN = 8
DEFINITIONS = {
    "measure": "mean LPIPS 0.1 with AlexNet; interval: 95 % percentile bootstrap over the patients of the held-out patches",
    "reconstruction": "held-out ({parts}) patches against themselves, their own mask painted again",
    "unpaired": "random pairs of a held-out patch and a patch cut from the pool gan, as it was inserted",
    "generated": "real against generated",
    "real": "floor: random pairs of held-out patches of different patients",
    "copy_paste": "real training masses with soft edges in the same hosts",
    "poisson": "the same, Poisson-blended",
    "blank": "ceiling: held-out patches against themselves with the mean of the margin in place of the mass",
    "patch": "whole patch; the context counts, which a generator can copy",
    "region": "mask and margin of either patch alone: LPIPS map averaged over these pixels",
    "nearest_training": "mean LPIPS to the most similar training patch; generated far below held_out means memorised",
    "host_style": "AUC: chance that fixed features of breast tissue outside of lesions (grey levels, energy by scale) rank a host of the "
    f"pool gan above a real training image of another patient; above {host_style.LIMIT} a detector may learn the hosts' style",
    "masks": "area: share of the patch, quartiles; pairwise_iou: mean over random pairs, near 1 after mode collapse",
}


@dataclass(frozen=True)
class Inserted:
    """Patches cut from synthetic mammograms, (N, P, P): host's tissue, mask, result; and the items of the pool."""

    tissue: Images
    masks: Masks
    images: Images
    items: list[int]


def measure(given: Given, target: Path, measures: Sequence[str], threads: int) -> None:
    """Write `target`: quality.json, patches.png, mammograms.png, and what the `measures` (keys of realism.MEASURES, or `rivals`) add.

    Raises PipelineError where there is no held-out patch or the pool is empty.
    """
    torch.set_num_threads(threads)
    n, seed, infiller, lpips = given.n, given.seed, given.infiller, given.lpips
    patches = given.prepared / "patches"
    held, training = _some(read(patches, given.held_out), n, seed), read(patches, ["train"])
    sampler = masks.load(given.models / "masks")
    train = given.prepared / "train"
    hosts = host_folder(train, given.painted)
    made = cut_out(given.pool, hosts, infiller.patch_px, n)
    models_saw = {"models/masks": sampler.meta["patients"], "models/infill": infiller.meta["patients"]}
    leaks.require_unseen(models_saw, {"the held-out patches": held.patients})
    scale = infiller.meta["margin"] / 256
    drawn = np.stack([sampler.sample(seed, item, 0) for item in range(n)])
    nearest, distance = lpips.nearest(made.images, training.images)
    shown = {"generated": made} | (given.rivals() if "rivals" in measures else {})
    more, pictures = realism.measure(given, [name for name in measures if name != "rivals"])
    report = {
        "comparisons": [*reconstruction(lpips, infiller, held, seed), *unpaired(lpips, held, shown, scale, n, seed)],
        "nearest_training": {"generated": float(distance.mean()), "held_out": float(lpips.nearest(held.images, training.images)[1].mean())},
        "masks": {"generated": _shapes(drawn, seed), "training": _shapes(training.masks, seed)},
        "host_style": host_style.measure(given.pool, train, hosts, seed),
        "generator": {key: value for key, value in infiller.meta.items() if key != "patients"},
        "lpips": lpips.record,
        **more,
        "definitions": {**_definitions(given.held_out), **more.get("definitions", {})},
    }
    pictures |= {"patches": _patch_sheet(infiller, made, training.images[nearest], seed), "mammograms": _mammogram_sheet(given.pool)}
    with atomic_folder(target) as folder:
        write_json(folder / "quality.json", report)
        for name, picture in pictures.items():
            write_png(folder / f"{name}.png", picture)


def _definitions(held_out: Sequence[str]) -> dict[str, str]:
    return {**DEFINITIONS, "reconstruction": DEFINITIONS["reconstruction"].format(parts=" and ".join(held_out))}


def reconstruction(lpips: Lpips, infiller: infill.Infiller, held: Patches, seed: int) -> list[dict[str, Any]]:
    """Held-out patches against themselves with the mass painted again, and with no mass at all (`blank`)."""
    noise = np.stack([generator(seed, "quality noise", item).random(held.images.shape[1:], np.float32) for item in range(len(held))])
    ring = margin(held.masks, infiller.meta["margin"] / 256)
    blank = [np.where(m, i[r if r.any() else ~m].mean(), i) for i, m, r in zip(held.images, held.masks, ring, strict=True)]
    versions = {"generated": infiller.fill(held.images, held.masks, noise), "blank": np.stack(blank).astype(np.float32)}
    return [
        _row("reconstruction", what, area, lpips(held.images, images, region), held.patients, seed)
        for what, images in versions.items()
        for area, region in (("patch", None), ("region", held.masks | ring))
    ]


def unpaired(lpips: Lpips, held: Patches, shown: Mapping[str, Inserted | Set], scale: float, n: int, seed: int) -> list[dict[str, Any]]:
    """Random pairs of a held-out patch with an inserted one of each kind `shown`, and with one of another patient (`real`)."""
    rng = generator(seed, "quality pairs")
    first = rng.integers(len(held), size=n)
    others = [np.flatnonzero(np.array(held.patients) != held.patients[one]) for one in first]
    if not all(map(len, others)):
        raise PipelineError(f"all {len(held)} held-out patches are of one patient; a larger split.val or split.test is needed")
    second = np.array([rng.choice(other) for other in others])
    regions = held.masks | margin(held.masks, scale)
    pairs = {"real": (held.images[second], regions[second])}
    for what, made in shown.items():
        synthetic = generator(seed, "quality pairs", what).integers(len(made.images), size=n)
        pairs[what] = made.images[synthetic], (made.masks | margin(made.masks, scale))[synthetic]
    patients = [held.patients[one] for one in first]
    return [
        _row("unpaired", what, area, lpips(held.images[first], images, region), patients, seed)
        for what, (images, theirs) in pairs.items()
        for area, region in (("patch", None), ("region", regions[first] | theirs))
    ]


def host_folder(train: Path, painted: Path | None) -> Path:
    """Where the hosts of the pools lie: `painted` (data/hosts) where it holds mammograms, else `train`."""
    return painted if painted and (painted / "annotations.json").is_file() else train


def cut_out(pool: Path, train: Path, side: int, n: int) -> Inserted:
    """The frames of the first n inserted masses of a pool, scaled to `side` px; `train`: the hosts (`host_folder`)."""
    dataset, hosts = coco.read(pool / "annotations.json"), coco.read(train / "annotations.json")["images"]
    files = {image["image_id"]: train / image["file_name"] for image in hosts}
    lesions = coco.by_image(dataset)
    found: list[tuple[Images, Masks, Images]] = []
    for image in dataset["images"][:n]:
        mask = coco.decode(next(one for one in lesions[image["id"]] if one.get("synthetic"))["segmentation"])
        frame = _frame(image)
        small = resize(mask[frame].astype(np.float32), (side, side))
        sources = (files[image["host"]], pool / image["file_name"])
        tissue, result = (resize(to_unit(read_image(file))[frame], (side, side)) for file in sources)
        found.append((tissue, small >= min(0.5, float(small.max())), result))
    if not found:
        raise PipelineError(f"{pool} holds no image; raise pools.gan.n")
    tissue, inserted, results = (np.stack(part) for part in zip(*found, strict=True))
    return Inserted(tissue, inserted, results, list(range(len(found))))


def _frame(image: dict[str, Any]) -> tuple[slice, slice]:
    """Rows and columns of an inserted patch within its mammogram."""
    (x, y), (width, height) = image["centre"], image["patch_size"]
    left, top = round(x - width / 2), round(y - height / 2)
    return slice(max(top, 0), top + height), slice(max(left, 0), left + width)


def _some(patches: Patches, n: int, seed: int) -> Patches:
    """At most n of the patches, drawn without replacement, in their order."""
    chosen = np.sort(generator(seed, "quality patches").permutation(len(patches))[:n])
    names, patients = ([texts[index] for index in chosen] for texts in (patches.names, patches.patients))
    return Patches(patches.images[chosen], patches.masks[chosen], names, patients)


def _row(protocol: str, what: str, area: str, distances: NDArray[np.float64], patients: list[str], seed: int) -> dict[str, Any]:
    """Mean of the distances and its interval; null bounds where there are fewer than two patients."""
    names, index = np.unique(patients, return_inverse=True)
    sums, counts = np.bincount(index, distances), np.bincount(index)
    times = resample(len(names), RESAMPLES, seed, "quality")
    means = (times @ sums) / (times @ counts)
    bounds = interval(means[0], means[1:], len(names), proportion=False)
    low, high = (None if np.isnan(bound) else bound for bound in bounds)
    return {"protocol": protocol, "what": what, "area": area, "lpips": float(means[0]), "ci_low": low, "ci_high": high,
            "n": len(distances), "patients": len(names)}  # fmt: skip


def _shapes(drawn: Masks, seed: int) -> dict[str, Any]:
    """Quartiles of the area and mean overlap of random pairs: whether masks vary as real ones do."""
    first, second = generator(seed, "quality masks").integers(len(drawn), size=(2, 500))
    differ = first != second
    both, either = ((drawn[first] & drawn[second]).sum((1, 2)), (drawn[first] | drawn[second]).sum((1, 2)))
    iou = float((both[differ] / either[differ]).mean()) if differ.any() else None
    return {"area": [float(q) for q in np.quantile(drawn.mean((1, 2)), [0.25, 0.5, 0.75])], "pairwise_iou": iou, "n": len(drawn)}


def _patch_sheet(infiller: infill.Infiller, made: Inserted, similar: Images, seed: int) -> NDArray[np.uint8]:
    """Columns: inserted masses. Rows: host tissue, labels, result, the most similar real training mass."""
    shown = slice(0, SHOWN)
    noise = np.stack([generator(seed, "noise", item).random(made.tissue.shape[1:], np.float32) for item in made.items[shown]])
    labels = infiller.condition(made.tissue[shown], made.masks[shown], noise).swapaxes(0, 1)
    rows = [made.tissue[shown], *labels, made.images[shown], similar[shown]]
    names = ["tissue, noise", "mask", "margin"][: len(labels)]
    return sheet([list(row) for row in rows], ["host tissue", *names, "inserted", "nearest training"])


def _mammogram_sheet(pool: Path) -> NDArray[np.uint8]:
    """The first mammograms of the pool as they are and with the boxes of their annotations, synthetic ones doubled."""
    dataset = coco.read(pool / "annotations.json")
    lesions, pictures = coco.by_image(dataset), []
    for image in dataset["images"][:SHOWN]:
        pixels = to_unit(read_image(pool / image["file_name"]))
        pictures.append((pixels, [(one["bbox"], bool(one.get("synthetic"))) for one in lesions[image["id"]]]))
    height, width = (max(p.shape[axis] for p, _ in pictures) for axis in (0, 1))
    plain = [np.pad(p, ((0, height - p.shape[0]), (0, width - p.shape[1]))) for p, _ in pictures]
    return sheet([plain, [boxed(image, boxes) for image, (_, boxes) in zip(plain, pictures, strict=True)]], ["mammogram", "with boxes"])
