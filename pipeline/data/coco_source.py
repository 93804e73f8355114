"""Any COCO data set with boxes or masks, as a source of mammograms.

`data.root` is the JSON file, or a folder with ``annotations.json``. ``file_name`` is relative to the JSON file, or to a folder
``images`` beside it, and names a grey PNG (or another lossless grey format) or a DICOM file. Beyond COCO an image says
``patient_id``, ``laterality`` (L, R) and ``view`` (CC, MLO), and where known ``image_id``, ``pathology``, ``density``,
``spacing_mm``, ``official_split``, ``source``, ``birads`` and ``bits`` (of a 16-bit file that uses fewer); an annotation may
say ``pathology``, ``shape``, ``margins`` and ``subtlety``.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from pipeline import coco
from pipeline.data import dicom
from pipeline.data.reading import SEVERITY, Mammogram, Select, below, choose, full_range, gather, in_both, positive, read_real
from pipeline.data.records import Case, Lesion, Record, Rejected, Stored
from pipeline.data.shapes import FAR, ellipse
from pipeline.data.table import DEPTHS
from pipeline.errors import PipelineError, raise_all

REQUIRED = ("patient_id", "laterality", "view")
WORDS = ("source", "official_split", "birads")
MASS = "mass"
Shape = tuple[int, int]
POLYGONS = 1000  # of one annotation, at most
OUTLINE = 100  # longest outline of a polygon, as a multiple of height + width: it decides what pycocotools allocates


def cases(root: Path, select: Select = "malignant", window: dicom.Window = "none", done: Collection[str] = ()) -> Iterator[Record]:
    """The images with a mass that `select` keeps, and those without annotations (normal), in the order of the file.

    A mass is an annotation of a category with ``mass`` in its name, or of the only category. Images with other annotations
    only are left out; beside a mass they are kept as other findings. A box without a mask becomes the ellipse in it. Raises
    PipelineError where the file itself is unsound: ids that occur twice, annotations of unknown images, no category of masses.
    """
    path = root if root.is_file() else root / "annotations.json"
    dataset = coco.read(path)
    raise_all(list(_unsound(dataset)), f"{path} cannot be used")
    categories = _categories(dataset)
    annotations = coco.by_image(dataset)
    both = in_both((str(image.get("patient_id")), str(image.get("official_split") or "")) for image in dataset["images"])
    for image in dataset["images"]:
        findings = [(one, _finding(one, categories)) for one in annotations[image["id"]]]
        masses = [one for one, finding in findings if finding == MASS]
        pathologies = [str(one.get("pathology") or image.get("pathology") or "").lower() for one in masses]
        if _image_id(image) in done:
            yield Stored(_image_id(image))
        elif masses or not findings:
            case = _case(path.parent, image, findings, pathologies, select, window, both)
            if case is not None:
                yield case


def _unsound(dataset: dict[str, Any]) -> Iterator[str]:
    for key in ("images", "annotations", "categories"):
        entries = dataset[key]
        if not isinstance(entries, list) or not all(isinstance(one, dict) and isinstance(one.get("id"), int) for one in entries):
            yield f"{key} is no list of entries with an integer id"
            return
        for number, times in Counter(one["id"] for one in entries).items():
            if times > 1:
                yield f"{key}: the id {number} occurs {times} times"
    known = {image["id"] for image in dataset["images"]}
    for one in dataset["annotations"]:
        if not isinstance(one.get("image_id"), int) or one["image_id"] not in known:
            yield f"annotation {one['id']} is of image {one.get('image_id')}, which is not there"
    if MASS not in _categories(dataset).values():
        yield f"no category has mass in its name: {', '.join(str(one.get('name')) for one in dataset['categories'])}"


def _categories(dataset: dict[str, Any]) -> dict[Any, str]:
    """Category id -> `mass`, or the name of another finding in small letters."""
    names = {one["id"]: str(one.get("name") or "other").lower() for one in dataset["categories"]}
    return {number: MASS if len(names) == 1 or MASS in name else name for number, name in names.items()}


def _finding(annotation: dict[str, Any], categories: dict[Any, str]) -> str:
    category = annotation.get("category_id")
    return str(annotation.get("finding") or (categories.get(category, "other") if isinstance(category, int) else "other"))


def _image_id(image: dict[str, Any]) -> str:
    return str(image.get("image_id") or Path(str(image.get("file_name", ""))).stem or f"image {image['id']}")


def _case(
    folder: Path,
    image: dict[str, Any],
    findings: list[tuple[dict[str, Any], str]],
    pathologies: list[str],
    select: Select,
    window: dicom.Window,
    both: set[str],
) -> Case | Rejected | None:
    name, image_id = str(image.get("file_name", "")), _image_id(image)
    faults = [f"lacks {key}" for key in REQUIRED if not image.get(key)]
    faults += ["is synthetic (its annotation says so) and cannot serve as real data; take it out"] if image.get("synthetic") else []
    faults += [f"patient {image['patient_id']} is in both official splits"] if str(image.get("patient_id")) in both else []
    faults += [f"pathology is {word!r}" for word in sorted(set(pathologies) - set(SEVERITY))]
    if not findings and str(image.get("pathology") or "normal").lower() != "normal":
        faults.append(f"pathology is {image['pathology']!r}, but nothing is annotated")
    pathology = choose(pathologies, select) if findings and not faults else "" if findings else "normal"
    if pathology is None:
        return None
    read: Mammogram | None = None
    with gather(faults):
        read = _read(folder, name, image, window)
    lesions = []
    for one, finding in findings:
        with gather(faults, f"annotation {one['id']}"):
            if read is not None:
                height, width = read.image.shape
                lesions.append(_lesion(one, finding, (height, width)))
    if faults or read is None:
        return Rejected(image_id, "; ".join(faults))
    return Case(
        image_id=image_id,
        patient_id=str(image["patient_id"]),
        laterality=str(image["laterality"]),
        view=str(image["view"]),
        pathology=pathology,
        density=image.get("density"),
        spacing_mm=read.spacing_mm,
        grey_range=read.grey_range,
        image=read.image,
        lesions=tuple(lesions),
        **{key: str(image.get(key) or "") for key in WORDS},
    )


def _read(folder: Path, name: str, image: dict[str, Any], window: dicom.Window) -> Mammogram:
    places = [below(folder, name), below(folder, f"images/{name}")]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise PipelineError(f"{name}: no such file in {folder} or its folder images")
    said = image.get("spacing_mm")
    if said is not None and not isinstance(said, int | float):
        raise PipelineError(f"spacing_mm is {said!r}, not a number")
    spacing = None if said is None else positive(said, "spacing_mm")
    if path.suffix.lower() in (".dcm", ".dicom"):
        read = dicom.read(path, window)
        return Mammogram(read.image, spacing or read.spacing_mm, read.grey_range)
    pixels = read_real(path)
    if pixels.dtype != np.uint16:
        return Mammogram(pixels, spacing)
    bits = _whole(image, "bits", 8, 16) or next(bits for bits in DEPTHS if int(pixels.max()) < 2**bits)
    top = 2**bits - 1
    return Mammogram(full_range(pixels, 0, top), spacing, f"0..{top}")


def _lesion(annotation: dict[str, Any], finding: str, shape: Shape) -> Lesion:
    pathology = str(annotation.get("pathology") or "").lower()
    if annotation.get("iscrowd") and finding == MASS and not pathology:
        raise PipelineError("is a crowd of unknown pathology, not one mass")
    mask = _mask(annotation.get("segmentation"), shape) if annotation.get("segmentation") else _in_box(annotation.get("bbox"), shape)
    if not mask.any():
        raise PipelineError("its mask is empty, or lies outside of the image")
    words = {key: str(annotation.get(key) or "") for key in ("shape", "margins")}
    words |= {"pathology": pathology, "finding": finding}
    return Lesion(mask=mask, subtlety=_whole(annotation, "subtlety", 0, 5), **words)


def _whole(entry: dict[str, Any], key: str, low: int, high: int) -> int | None:
    value = entry.get(key)
    if value is not None and not (isinstance(value, int) and low <= value <= high):
        raise PipelineError(f"{key} is {value!r}, not a whole number from {low} to {high}")
    return value


def _mask(segmentation: Any, shape: Shape) -> NDArray[np.bool_]:
    """Polygons, RLE, or RLE as a list of counts, to (H, W) bool."""
    if isinstance(segmentation, dict):
        mask = coco.decode(segmentation)
        if mask.shape != shape:
            raise PipelineError(f"its mask is {mask.shape}, the image {shape} (rows, columns)")
        return mask
    if not isinstance(segmentation, list) or len(segmentation) > POLYGONS:
        raise PipelineError(f"its segmentation is no RLE, nor a list of at most {POLYGONS} polygons")
    for polygon in segmentation:
        _check_polygon(polygon, shape)
    try:
        return np.asarray(rle.decode(rle.merge(rle.frPyObjects(segmentation, *shape))), bool)
    except Exception as error:  # pycocotools raises that class itself
        raise PipelineError(f"its segmentation cannot be read ({error})") from None


def _check_polygon(polygon: Any, shape: Shape) -> None:
    """Refuse what pycocotools, which checks nothing, would turn into wild writes or gigabytes."""
    try:
        points = np.array(polygon, np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        raise PipelineError("a polygon is no list of x, y, x, y, ...") from None
    height, width = shape
    if len(points) < 3 or not np.isfinite(points).all():
        raise PipelineError(f"a polygon has {len(points)} points, not three or more of finite numbers")
    if (points < (-width, -height)).any() or (points > (2 * width, 2 * height)).any():
        raise PipelineError(f"a polygon leaves the image of {shape} (rows, columns) by more than its size")
    length = float(np.abs(np.diff(points, axis=0)).max(1).sum())
    if length > OUTLINE * (height + width):
        raise PipelineError(f"the outline of a polygon is {length:.0f} px long, more than {OUTLINE} times around the image")


def _in_box(box: Any, shape: Shape) -> NDArray[np.bool_]:
    """The ellipse that fills a box xywh in px."""
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(value, int | float) for value in box):
        raise PipelineError(f"has neither a mask nor a box (bbox is {box!r})")
    width, height = positive(box[2], "the width of the box"), positive(box[3], "the height of the box")
    x, y = (value if abs(value) <= FAR else math.inf for value in box[:2])  # `ellipse` refuses what is far
    return ellipse(x + (width - 1) / 2, y + (height - 1) / 2, width / 2, height / 2, shape)
