"""What pools are made from: training mammograms and training patches, and nothing else."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import coco
from pipeline.errors import PipelineError, raise_all
from pipeline.io import read_image, to_unit
from pipeline.synthesis import laws
from pipeline.synthesis.placement import Placer, find_hosts


@dataclass(frozen=True)
class Patch:
    """A training patch: its frame (x, y, width, height) in px of the prepared image, and where it comes from."""

    name: str
    image_id: str
    patient_id: str
    x: int
    y: int
    width: int
    height: int


class Sources:
    """Training mammograms (`data/prepared/train`) and training patches (`data/prepared/patches`) of one experiment.

    painted: folder of training mammograms whose masses were painted over (`data/hosts`), for the hosts `inpainted`.
    """

    def __init__(self, train: Path, patches: Path, seed: int, painted: Path | None = None) -> None:
        self.train, self.folder, self.seed, self.painted = train, patches, seed, painted

    @cached_property
    def images(self) -> dict[str, dict[str, Any]]:
        """COCO image records by image_id."""
        return {image["image_id"]: image for image in coco.read(self.train / "annotations.json")["images"]}

    @cached_property
    def patches(self) -> list[Patch]:
        """Training patches in the order of the table. Raises PipelineError where there is none, or one of a foreign image."""
        table = pd.read_csv(self.folder / "patches.csv", dtype={"patch": str, "image_id": str, "patient_id": str})
        rows = table[table["split"] == "train"]
        foreign = sorted(set(rows["image_id"]) - set(self.images))
        if foreign:
            raise PipelineError(
                f"{self.folder}/patches.csv: training patches of images that are not in {self.train}: {', '.join(foreign[:5])}"
            )
        wrong = [
            f"{r['patch']}: patient {r['patient_id']}" for r in rows.to_dict("records") if r["patient_id"] != self.patient(r["image_id"])
        ]
        raise_all(wrong, f"{self.folder}/patches.csv: patches of other patients than those of their images")
        if rows.empty:
            raise PipelineError(
                f"{self.folder}/patches.csv has no training patch; more lesions or a larger split.train_fraction are needed"
            )
        return [
            Patch(str(r["patch"]), str(r["image_id"]), str(r["patient_id"]), *(int(r[key]) for key in ("x", "y", "w", "h")))
            for r in rows.to_dict("records")
        ]

    def patient(self, image_id: str) -> str:
        return str(self.images[image_id]["patient_id"])

    @property
    def training(self) -> frozenset[str]:
        """The training patients of the experiment."""
        return frozenset(map(self.patient, self.images))

    def mask(self, patch: Patch) -> NDArray[np.bool_]:
        """(P, P) bool: the mask of a patch as the GANs see it."""
        return np.asarray(read_image(self.folder / "masks" / f"{patch.name}.png") > 0)

    def pixels(self, patch: Patch) -> NDArray[Any]:
        """(h, w): the patch's frame cut from its prepared mammogram, at its own size and depth."""
        image = read_image(self.train / self.images[patch.image_id]["file_name"])
        return image[patch.y : patch.y + patch.height, patch.x : patch.x + patch.width]

    def _small(self, patch: Patch) -> NDArray[np.float32]:
        """(P, P) float32: a patch as the GANs see it."""
        return to_unit(read_image(self.folder / "images" / f"{patch.name}.png"))

    def contrast(self, patch: Patch) -> float:
        """Mean of the mass less mean of the tissue around it in its patch, in units of the full grey range."""
        image, mask = self._small(patch), self.mask(patch)
        return float(image[mask].mean() - image[~mask].mean())

    def size_law(self, law: str) -> laws.SizeLaw:
        """Sizes of padded masses in mm, fitted to the training patches."""
        frames = np.array([(p.width, p.height) for p in self.patches], float)
        boxes = np.array([self._inner(p) for p in self.patches], float)
        spacing = np.array([self.images[p.image_id]["spacing_mm"] for p in self.patches], float)
        around = np.array([laws.surroundings(self._small(p), self.mask(p)) for p in self.patches])
        return laws.fit(frames, boxes * frames, spacing, law, around)

    def _inner(self, patch: Patch) -> tuple[float, float]:
        mask = self.mask(patch)
        _, _, width, height = coco.bounding_box(mask)
        return width / mask.shape[1], height / mask.shape[0]

    def placer(self, hosts: str, sizes: str, position: str) -> Placer:
        """The placer that all inserting pools of an experiment share; arguments: the block `synth` of the params."""
        folder = self.painted if hosts == "inpainted" and self.painted else self.train
        return Placer(self.seed, find_hosts(folder, hosts), self.size_law(sizes), position)
