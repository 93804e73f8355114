"""Where masses go: hosts, patch frames and masks that stay in the breast.

The place of image i depends on (seed, i, hosts, laws) alone, never on the mask, so that image i of every
inserting pool has the same host, centre and patch size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline import coco
from pipeline.errors import PipelineError
from pipeline.io import read_image, to_unit
from pipeline.preprocess.geometry import resize
from pipeline.rng import generator
from pipeline.synthesis.laws import POSITIONS, SizeLaw, surroundings

CLEARANCE = 20 / 400  # least distance of a patch to an annotated lesion, as a share of the image height
PLACE_TRIES, MASK_TRIES = 200, 20
PROPOSALS = 50  # positions of one size that the law `tissue` chooses from


@dataclass(frozen=True)
class Host:
    """A training mammogram that receives masses: its COCO image, its annotations and its files' folder."""

    record: dict[str, Any]
    annotations: tuple[dict[str, Any], ...]
    folder: Path

    def image(self) -> NDArray[Any]:
        """(H, W) uint8 or uint16."""
        return read_image(self.folder / self.record["file_name"])

    def region(self) -> NDArray[np.uint8]:
        """(H, W) uint8: 0 background, 1 breast, 2 pectoral muscle."""
        return np.asarray(read_image(self.folder / "regions" / f"{self.record['image_id']}.png"), np.uint8)

    def allowed(self) -> NDArray[np.bool_]:
        """(H, W) bool: where a mass may lie (breast without pectoral muscle)."""
        return self.region() == 1

    def forbidden(self) -> NDArray[np.bool_]:
        """(H, W) bool: annotated lesions, widened by CLEARANCE; a patch must not touch it."""
        height, width = self.record["height"], self.record["width"]
        taken = np.zeros((height, width), np.uint8)
        for one in self.annotations:
            taken |= coco.decode(one["segmentation"]).astype(np.uint8)
        if not taken.any():
            return taken.astype(bool)
        return np.asarray(cv2.distanceTransform(1 - taken, cv2.DIST_L2, 5) < CLEARANCE * height)


@dataclass(frozen=True)
class Place:
    """A patch frame in a host: left upper corner and size in px; it may reach over the image's edge."""

    host: int
    x: int
    y: int
    width: int
    height: int

    @property
    def centre(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2

    def clip(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Rows and columns of the frame within an image of (H, W)."""
        rows = slice(max(self.y, 0), min(self.y + self.height, shape[0]))
        return rows, slice(max(self.x, 0), min(self.x + self.width, shape[1]))

    def inside(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """The same part of the image, in coordinates of the frame."""
        rows, columns = self.clip(shape)
        return slice(rows.start - self.y, rows.stop - self.y), slice(columns.start - self.x, columns.stop - self.x)


def find_hosts(folder: Path, kind: str) -> list[Host]:
    """Hosts among the prepared training mammograms in `folder`, in the order of image_id. kind: a key of HOSTS.

    Raises PipelineError where there is none.
    """
    dataset = coco.read(folder / "annotations.json")
    lesions = coco.by_image(dataset)
    everyone = [Host(image, tuple(lesions[image["id"]]), folder) for image in dataset["images"]]
    found = HOSTS[kind](everyone)
    if not found:
        other = ", ".join(key for key in HOSTS if key != kind)
        raise PipelineError(f"synth.hosts is {kind}, but {folder} has no such mammogram; use {other} or add images")
    return sorted(found, key=lambda host: host.record["image_id"])


def _normals(hosts: list[Host]) -> list[Host]:
    """Without a finding of any kind, of the source or of the second one (`data.normals`)."""
    return [host for host in hosts if not host.annotations and host.record["pathology"] == "normal"]


def _lesion_free(hosts: list[Host]) -> list[Host]:
    """With lesions, malignant or benign, which patches keep clear of: hosts of the same film domain."""
    return [host for host in hosts if host.annotations]


def _contralateral(hosts: list[Host]) -> list[Host]:
    """The other breast, without a finding, in the same view of patients with a lesion to find."""
    opposite = {"L": "R", "R": "L"}
    sick = {(h.record["patient_id"], h.record["view"], h.record["laterality"]) for h in hosts if coco.has_target(h.annotations)}
    free = {(patient, view, opposite[side]) for patient, view, side in sick if (patient, view, opposite[side]) not in sick}
    return [h for h in _normals(hosts) if (h.record["patient_id"], h.record["view"], h.record["laterality"]) in free]


def _inpainted(hosts: list[Host]) -> list[Host]:
    """Whose lesions were painted over with healthy tissue: in the folder that the stage hosts writes."""
    return [host for host in hosts if not host.annotations and host.record.get("synthetic")]


HOSTS: dict[str, Callable[[list[Host]], list[Host]]] = {
    "normals": _normals,
    "lesion_free": _lesion_free,
    "contralateral": _contralateral,
    "inpainted": _inpainted,
}


class Placer:
    """Draws places: `placer(i)` is the place of image i, whatever the pool. position: a key of `laws.POSITIONS`.

    `tissue` looks for the surroundings of a training mass drawn at random (`SizeLaw.around`; PipelineError where there are
    none): real masses lie in brighter tissue than a point drawn at random in the breast does.
    """

    def __init__(self, seed: int, hosts: list[Host], sizes: SizeLaw, position: str) -> None:
        self.seed, self.hosts, self.sizes, self.position = seed, hosts, sizes, POSITIONS[position]
        self.around = sizes.around if position == "tissue" else None
        if self.around is not None and not len(self.around):
            raise PipelineError("position tissue: the law of sizes has no `around`; make the pool gan again, or use position breast")

    def __call__(self, item: int) -> Place:
        """The place of image `item`. Every host is used once before any is used again.

        Raises PipelineError where no host offers a place.
        """
        n = len(self.hosts)
        order = generator(self.seed, "hosts", item // n).permutation(n)
        for step in range(n):
            place = self._in_host(int(order[(item + step) % n]), item)
            if place:
                return place
        raise PipelineError(
            f"no place for image {item} in any of {n} hosts: breasts too small for the patches; check synth.sizes and synth.position"
        )

    def _in_host(self, index: int, item: int) -> Place | None:
        host = self.hosts[index]
        allowed, forbidden = host.allowed(), host.forbidden()
        if not allowed.any():
            return None
        rng = generator(self.seed, "place", item, index)
        proposals = 1 if self.around is None else PROPOSALS
        for _ in range(PLACE_TRIES // proposals):
            width, height = np.maximum(np.rint(self.sizes.draw(rng) / host.record["spacing_mm"]), 4).astype(int).tolist()
            found = []
            for _ in range(proposals):
                x, y = self.position(allowed, rng)
                place = Place(index, round(x - width / 2), round(y - height / 2), width, height)
                if fits(ellipse(place, self.sizes.inner), place, allowed) and not forbidden[place.clip(forbidden.shape)].any():
                    found.append(place)
            if found:
                return found[0] if self.around is None else self._nearest(found, self.around, to_unit(host.image()), rng)
        return None

    def _nearest(self, places: list[Place], around: NDArray[np.float64], image: NDArray[np.float32], rng: np.random.Generator) -> Place:
        """The place whose surroundings in `image` (H, W) are nearest to those of one training mass, in standard deviations."""
        wanted, spread = around[rng.integers(len(around))], np.maximum(around.std(0), 1e-6)
        shapes = [(place, ellipse(place, self.sizes.inner)[place.inside(image.shape)]) for place in places]
        found = np.array([surroundings(image[place.clip(image.shape)], shape) for place, shape in shapes])
        away = np.square((found - wanted) / spread).sum(1)
        return places[int(np.argmin(np.where(np.isfinite(away), away, np.inf)))]


def ellipse(place: Place, inner: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(h, w) bool: the ellipse about the frame's centre whose axes are the shares `inner` (width, height) of the frame."""
    y = (np.arange(place.height) + 0.5) / place.height * 2 - 1
    x = (np.arange(place.width) + 0.5) / place.width * 2 - 1
    return np.asarray((x[None] / inner[0]) ** 2 + (y[:, None] / inner[1]) ** 2 <= 1)


def fits(mask: NDArray[np.bool_], place: Place, allowed: NDArray[np.bool_]) -> bool:
    """Whether a mask (h, w) in the frame lies within the image and within `allowed` (H, W) entirely."""
    part = mask[place.inside(allowed.shape)]
    return bool(part.sum() == mask.sum() and allowed[place.clip(allowed.shape)][part].all())


def fit_mask(
    draw: Callable[[int], NDArray[np.bool_]], place: Place, inner: NDArray[np.float64], allowed: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The first mask that lies in the breast; after MASK_TRIES the last one, shrunk about the centre until it does.

    draw(attempt) gives a mask (P, P) bool in the patch's frame, scaled to (h, w) here. The ellipse of the place is free
    by construction, so shrinking ends.
    """
    for attempt in range(MASK_TRIES):
        drawn = draw(attempt)
        mask = to_frame(drawn, place)
        if mask.any() and fits(mask, place, allowed):
            return mask
    for step in range(1, 40):
        mask = to_frame(drawn, place, 0.9**step)
        if not mask.any():
            break
        if fits(mask, place, allowed):
            return mask
    return ellipse(place, inner / 2)


def to_frame(mask: NDArray[np.bool_], place: Place, scale: float = 1.0) -> NDArray[np.bool_]:
    """(P, P) bool to the frame's (h, w) bool: a pixel belongs to it where half of its area does. scale: about the centre."""
    size = (max(round(place.width * scale), 1), max(round(place.height * scale), 1))
    resized = resize(mask.astype(np.float32), size[::-1]) >= 0.5
    whole = np.zeros((place.height, place.width), bool)
    top, left = (place.height - size[1]) // 2, (place.width - size[0]) // 2
    whole[top : top + size[1], left : left + size[0]] = resized
    return whole
