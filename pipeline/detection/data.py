"""Mammograms as the detector sees them: read without loss of depth, resized, augmented, with boxes from masks."""

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from numpy.typing import NDArray

from pipeline import coco
from pipeline.detection.shared import NUMBER
from pipeline.errors import raise_all
from pipeline.io import read_image, sha256, to_unit
from pipeline.params import Augment
from pipeline.rng import generator


def scale_to(height: int, width: int, size: tuple[float, float] | None) -> float:
    """Factor that brings an image to at most [short side, long side] px, aspect kept (MMDetection's rule); 1 for None."""
    if size is None:
        return 1.0
    return min(max(size) / max(height, width), min(size) / min(height, width))


def resized(image: NDArray[np.float32], size: tuple[float, float] | None) -> NDArray[np.float32]:
    """An image (H, W) or (H, W, C) at the detector's size; averaged over px where it shrinks."""
    factor = scale_to(image.shape[0], image.shape[1], size)
    if factor == 1:
        return image
    shape = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return np.asarray(cv2.resize(image, shape, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR), np.float32)


def load(path: Path, size: tuple[int, int] | None) -> NDArray[np.float32]:
    """An image as (H, W) float32 in [0, 1] at the detector's size."""
    return resized(to_unit(read_image(path)), size)


def outline(annotation: dict[str, Any]) -> NDArray[np.float64]:
    """(N, 2) corner points whose hull is the lesion: of its mask where there is one, else of its box (px edges)."""
    x, y, width, height = annotation["bbox"]
    box = np.array([[x, y], [x + width, y], [x, y + height], [x + width, y + height]], float)
    if not isinstance(annotation.get("segmentation"), dict):
        return box
    mask = coco.decode(annotation["segmentation"])
    if not mask.any():
        return box
    pixels = np.argwhere(mask)[:, ::-1]
    corners = np.concatenate([pixels + offset for offset in ([0, 0], [0, 1], [1, 0], [1, 1])])
    return np.asarray(cv2.convexHull(corners.astype(np.int32))[:, 0], float)


def draw(seed: int, number: int, height: int, width: int, limits: Augment) -> tuple[NDArray[np.float64], float, float]:
    """The augmentation of a sample: (2, 3) affine map of px coordinates, gain and offset of the grey values."""
    rng = generator(seed, "augment", number)
    flip = -1 if rng.random() < limits.flip else 1
    angle = math.radians(rng.uniform(-limits.turn, limits.turn))
    scale = math.exp(rng.uniform(-limits.scale, limits.scale))
    shift = rng.uniform(-limits.shift, limits.shift, 2) * (width, height)
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) @ np.diag([1, flip])
    centre = np.array([width, height]) / 2
    move = centre + shift - turn @ centre
    return np.column_stack([turn, move]), 1 + rng.uniform(-limits.gain, limits.gain), rng.uniform(-limits.offset, limits.offset)


def warp(image: NDArray[np.float32], affine: NDArray[np.float64], gain: float, offset: float) -> NDArray[np.float32]:
    """The augmented image, same size; outside of the source it is black, and black stays black."""
    at_centres = affine.copy()  # cv2 counts from the centre of the first px, boxes from its corner
    at_centres[:, 2] += affine[:, :2] @ (0.5, 0.5) - 0.5
    moved = cv2.warpAffine(image, at_centres, image.shape[::-1], flags=cv2.INTER_LINEAR)
    return np.where(moved > 0, np.clip(moved * gain + offset, 0, 1), 0).astype(np.float32)


def boxes_of(outlines: list[NDArray[np.float64]], affine: NDArray[np.float64], height: int, width: int) -> NDArray[np.float32]:
    """(N, 4) xyxy of outlines (px of the detector's input) after an affine map, clipped to the image."""
    boxes = np.zeros((len(outlines), 4), np.float32)
    for box, points in zip(boxes, outlines, strict=True):
        moved = points @ affine[:, :2].T + affine[:, 2]
        box[:] = (*moved.min(0), *moved.max(0))
    boxes[:, 0::2] = boxes[:, 0::2].clip(0, width)
    boxes[:, 1::2] = boxes[:, 1::2].clip(0, height)
    return boxes


class MassImages:
    """The training images of one `annotations.json`; ``images[index, number]`` is a sample of the engine.

    number: the sample's number, which with the seed decides the augmentation. Crowd annotations are regions that
    count neither as mass nor as background. synthetic: (N,) whether an image comes from a pool. Raises PipelineError
    naming every image that is missing or whose sha256 is not the one of the annotations.
    """

    def __init__(self, annotations: Path, size: tuple[int, int] | None, seed: int, augment: Augment) -> None:
        dataset = coco.read(annotations)
        self.size, self.seed, self.augment = size, seed, augment
        self.images: list[dict[str, Any]] = sorted(dataset["images"], key=lambda image: image["id"])
        self.synthetic = [bool(image.get("synthetic")) for image in self.images]
        self.paths = [annotations.parent / image["file_name"] for image in self.images]
        _check(self.paths, self.images, annotations)
        grouped = coco.by_image(dataset)
        self.lesions = [[(outline(one), bool(one.get("iscrowd"))) for one in grouped[image["id"]]] for image in self.images]

    def __len__(self) -> int:
        return len(self.images)

    def sides(self, synthetic: bool) -> list[float]:
        """Geometric mean side in px of the detector's input of every mass of the images that are, or are not, synthetic."""
        found = []
        for image, lesions, made in zip(self.images, self.lesions, self.synthetic, strict=True):
            scale = scale_to(image["height"], image["width"], self.size)
            spans = [np.ptp(points, axis=0) * scale for points, crowd in lesions if made == synthetic and not crowd]
            found += [float(np.sqrt(width * height)) for width, height in spans]
        return found

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        index, number = key
        image = load(self.paths[index], self.size)
        height, width = image.shape
        factor = np.array([width / self.images[index]["width"], height / self.images[index]["height"]])
        affine, gain, offset = draw(self.seed, number, height, width, self.augment)
        outlines = [points * factor for points, _ in self.lesions[index]]
        ignored = np.array([crowd for _, crowd in self.lesions[index]], bool)
        boxes = boxes_of(outlines, affine, height, width)
        inside = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(1)
        sample = DetDataSample(metainfo={"img_shape": (height, width)})
        sample.gt_instances = _instances(boxes[inside & ~ignored])
        sample.gt_instances.set_metainfo({NUMBER: number})
        sample.ignored_instances = _instances(boxes[inside & ignored])
        return {"inputs": as_input(warp(image, affine, gain, offset)), "data_samples": sample}


def as_input(image: NDArray[np.float32]) -> torch.Tensor:
    """(H, W) to three equal channels (3, H, W)."""
    return torch.from_numpy(image).expand(3, -1, -1)


def _instances(boxes: NDArray[np.float32]) -> InstanceData:
    return InstanceData(bboxes=torch.from_numpy(boxes), labels=torch.zeros(len(boxes), dtype=torch.long))


def _check(paths: list[Path], images: list[dict[str, Any]], annotations: Path) -> None:
    offences = []
    for path, image in zip(paths, images, strict=True):
        if not path.is_file():
            offences.append(f"{path}: no such image")
        elif "sha256" in image and sha256(path) != image["sha256"]:
            offences.append(f"{path}: sha256 differs from the one in {annotations}; run `dvc repro` to renew what changed")
    raise_all(offences, "training images are not those of the annotations")
