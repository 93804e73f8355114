"""Patches of real masses as the GANs see them (`data/prepared/patches`)."""

import csv
import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from pipeline import leaks
from pipeline.errors import PipelineError, raise_all
from pipeline.io import read_image, to_unit
from pipeline.preprocess.trilabel import Labels, Noise, tri_label
from pipeline.rng import generator


@dataclass(frozen=True)
class Patches:
    """images: (N, P, P) float32 in [0, 1]; masks: (N, P, P) bool; names and patients of the N patches.

    donors: patients that masks come from, where these are not the patches' own.
    """

    images: NDArray[np.float32]
    masks: NDArray[np.bool_]
    names: list[str]
    patients: list[str]
    donors: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def patch_px(self) -> int:
        return int(self.images.shape[-1])

    def digest(self) -> str:
        """SHA-256 of all of it."""
        text = json.dumps([self.names, self.patients, sorted(self.donors), list(self.images.shape)]).encode()
        return hashlib.sha256(text + self.images.tobytes() + self.masks.tobytes()).hexdigest()


def read(folder: Path, splits: Collection[str]) -> Patches:
    """The patches of the named splits, in the order of their names.

    Raises PipelineError where there is none, where a patient is also in another part, where one is not square or of
    another size, or where a mask is empty.
    """
    table = folder / "patches.csv"
    if not table.is_file():
        raise PipelineError(f"{table}: no such file; run the stage preprocess")
    with open(table, encoding="utf-8", newline="") as file:
        every = sorted(csv.DictReader(file), key=lambda row: row["patch"])
    rows = [row for row in every if row["split"] in splits]
    others = [row for row in every if row["split"] not in splits]
    leaks.require_unseen({f"the patches of {' and '.join(splits)}": _patients(rows)}, {"those of another part": _patients(others)})
    if not rows:
        raise PipelineError(f"{table}: no patch of {' or '.join(splits)}; more lesions or another split are needed")
    images = [to_unit(read_image(folder / "images" / f"{row['patch']}.png")) for row in rows]
    masks = [read_image(folder / "masks" / f"{row['patch']}.png") > 0 for row in rows]
    side = images[0].shape[0]
    offences = [
        f"{row['patch']}: image {image.shape}, mask {mask.shape}, {int(mask.sum())} px of mass; {side} x {side} and a mass are needed"
        for row, image, mask in zip(rows, images, masks, strict=True)
        if image.shape != (side, side) or mask.shape != (side, side) or not mask.any()
    ]
    raise_all(offences, f"patches of {folder} that cannot be used")
    return Patches(np.stack(images), np.stack(masks), [row["patch"] for row in rows], [row["patient_id"] for row in rows])


def _patients(rows: list[dict[str, str]]) -> set[str]:
    return {row["patient_id"] for row in rows}


class MaskSamples:
    """Training samples of the mask GAN: (1, P, P) float32 from `from_outline`, turned and mirrored by (seed, sample number).

    edge: as `masks.edge` of the params.
    """

    def __init__(self, patches: Patches, seed: int, edge: float) -> None:
        self.seed, self.masks = seed, np.stack([from_outline(mask, edge * patches.patch_px) for mask in patches.masks])

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, key: tuple[int, int]) -> NDArray[np.float32]:
        index, number = key
        return turn(self.masks[index], int(generator(self.seed, "augment", number).integers(8)))[None]


def from_outline(mask: NDArray[np.bool_], reach: float) -> NDArray[np.float32]:
    """(P, P) float32 in [-1, 1]: distance of each pixel of a mask (P, P; bool) to its outline, in units of `reach` px, cut at 1.

    Above 0 inside, below 0 outside. reach 0: -1 and 1 alone. A generator never draws hard edges, so a discriminator that is
    shown them tells masks by their greys and learns nothing of shapes.
    """
    if not reach:
        return np.where(mask, np.float32(1), np.float32(-1))
    inside, outside = (distance_transform_edt(part) for part in (mask, ~mask))
    return np.clip((np.maximum(inside - 0.5, 0) - np.maximum(outside - 0.5, 0)) / reach, -1, 1).astype(np.float32)


class InfillSamples:
    """Training samples of the infilling GAN: condition (C, P, P) and image (1, P, P), float32 in [0, 1].

    Turned and mirrored (the paper augments by rotation and flips), with fresh noise, all by (seed, sample number).
    """

    def __init__(self, patches: Patches, seed: int, labels: Labels, margin: float, noise_in: Noise = "mask") -> None:
        self.patches, self.seed, self.labels, self.margin, self.noise_in = patches, seed, labels, margin, noise_in

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
        index, number = key
        rng = generator(self.seed, "augment", number)
        way = int(rng.integers(8))
        image, mask = turn(self.patches.images[index], way), turn(self.patches.masks[index], way)
        noise = rng.random(image.shape, np.float32)
        return {"condition": tri_label(image, mask, noise, self.labels, self.margin, self.noise_in), "image": image[None]}


def turn(image: NDArray[Any], way: int) -> NDArray[Any]:
    """One of the eight rotations and reflections of a square (P, P): way 0..7, 0 leaves it as it is."""
    turned = np.rot90(image, way % 4)
    return np.ascontiguousarray(turned[:, ::-1] if way >= 4 else turned)
