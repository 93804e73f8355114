"""Where the files of CBIS-DDSM lie: the paths of its tables, the archive downloader's own folders, or the copy in JPEG."""

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data import dicom
from pipeline.data.canonical import read_rows
from pipeline.data.reading import Mammogram, below, read_real
from pipeline.errors import PipelineError
from pipeline.io import read_image

TOP = "CBIS-DDSM"
# The share of pixels near black or white, and how near (of 1), that make a file a mask; JPEG blurs the edge of a mask.
MASK_SHARE, MASK_NEAR = 0.99, 0.15


class Archive:
    """Finds the files behind a path cell of the tables."""

    def __init__(self, root: Path) -> None:
        """root: the folder that holds the tables, or their folder ``csv``."""
        self.root = root
        self._tops = ("", TOP)
        self._jpegs = _jpegs(root)

    def tables(self, kind: str = "mass") -> dict[str, Path]:
        """The table of each official split that is there; kind: `mass`, or `calc`. PipelineError where there is none of masses."""
        names = {split: f"{kind}_case_description_{split}_set.csv" for split in ("train", "test")}
        places = [(split, folder / name) for split, name in names.items() for folder in (self.root / "csv", self.root)]
        found = {split: place for split, place in places if place.is_file()}
        if not found and kind == "mass":
            raise PipelineError(f"{self.root}: holds neither {' nor '.join(names.values())}, here or in csv/; point data.root at them")
        return found

    def files(self, cell: str) -> list[Path]:
        """The file that a cell names, or all files of its case folder where the layout has other names below that.

        A case folder is one full mammogram (``Mass-Training_P_00001_LEFT_CC``) or the ROI mask and the crop of one
        abnormality (``.._1``). PipelineError where there is none, or the path leaves the data folder.
        """
        name = PurePosixPath(cell.replace("\n", "").replace("\r", "").strip())
        places = [below(self.root, top / name) for top in map(PurePosixPath, self._tops)]
        exact = [place for place in places if place.is_file()]
        if exact:
            return exact[:1]
        case = name.parts[0]
        if case in self._jpegs:
            return [below(self.root, jpeg) for jpeg in self._jpegs[case]]
        for top in map(PurePosixPath, self._tops):
            found = sorted(below(self.root, top / case).rglob("*.dcm"))
            if found:
                return [below(self.root, file.relative_to(self.root)) for file in found]
        raise PipelineError(f"{name}: no such file, nor any in its case folder {case}")


def _jpegs(root: Path) -> dict[str, list[str]]:
    """Case folder -> paths of its JPEG files, by the table ``dicom_info.csv`` of that copy; empty where there is none."""
    table = root / "csv" / "dicom_info.csv"
    found: dict[str, list[str]] = {}
    if table.is_file():
        for row in read_rows(table, ("PatientID", "image_path")):
            found.setdefault(row["PatientID"], []).append(row["image_path"].removeprefix(f"{TOP}/"))
    return found


def mammogram(path: Path, window: dicom.Window) -> Mammogram:
    return dicom.read(path, window) if path.suffix == ".dcm" else Mammogram(read_real(path))


def roi_mask(files: list[Path], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The ROI mask among the files of an abnormality, as (H, W) bool of `shape`.

    The two columns of the tables name the mask and the crop, often the wrong way round, so content tells: a mask is
    black and white, and as large as the mammogram. A mask of another size but the same aspect is scaled (nearest pixel).
    Raises PipelineError where none is a mask, it is empty, or its aspect is another.
    """
    names = ", ".join(str(file) for file in files)
    masks = [pixels for pixels in map(_pixels, files) if _black_and_white(pixels)]
    if not masks:
        raise PipelineError(f"there is no ROI mask among {names}: none is black and white")
    mask = max(masks, key=lambda pixels: pixels.size)
    if not mask.any():
        raise PipelineError(f"the ROI mask in {names} is empty")
    return _fit(mask > mask.max() / 2, shape)


def _pixels(path: Path) -> NDArray[Any]:
    return dicom.stored(path) if path.suffix == ".dcm" else read_image(path)


def _black_and_white(pixels: NDArray[Any]) -> bool:
    low, high = float(pixels.min()), float(pixels.max())
    if low == high:
        return low == 0
    near = MASK_NEAR * (high - low)
    return bool(((pixels <= low + near) | (pixels >= high - near)).mean() >= MASK_SHARE)


def _fit(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    if mask.shape == shape:
        return mask
    import cv2

    if abs(mask.shape[0] / mask.shape[1] / (shape[0] / shape[1]) - 1) > 0.01:
        raise PipelineError(f"the ROI mask is {mask.shape}, the image {shape} (rows, columns)")
    return cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT).astype(bool)
