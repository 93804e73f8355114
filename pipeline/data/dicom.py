"""DICOM mammograms: pixels of every usual transfer syntax over the full grey range, and the size of a pixel.

Only `TAGS` are read, pixels and how to show them: no tag about the patient enters the program.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.data import apart
from pipeline.data.reading import Mammogram, full_range, positive
from pipeline.errors import PipelineError
from pipeline.io import check_bytes, check_size

if TYPE_CHECKING:
    from pydicom import Dataset

Window = Literal["none", "voi"]
# In the plane of the patient, at the detector, of a scanned film (PS3.3 10.7.1.3 and C.8.11.4).
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
SQUARE = 0.01
COLOURED = ("RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")  # named; other texts are not repeated
NEEDED = ("PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation")
# Everything that is read of a file.
TAGS = (
    *("PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths", *NEEDED, "SamplesPerPixel", "PlanarConfiguration"),
    *("NumberOfFrames", "HighBit", *SPACINGS, "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth"),
)


def read(path: Path, window: Window = "none") -> Mammogram:
    """One grey frame as (H, W) uint16 over 0..65535, bright where the breast is dense (MONOCHROME1 is inverted).

    window: `none` spreads the range of the stored bits; `voi` applies the file's modality transform, then its first VOI
    LUT or else its first window (PS3.3 C.11.1 and C.11.2), and spreads the output range of that.
    Raises PipelineError that names the file: missing, unreadable, no single grey frame, `voi` without LUT and window,
    spacing that is no positive number or not square.
    """
    dataset, stored = _load(path)
    low, high = _stored_range(dataset)
    values: NDArray[Any] = stored
    if window == "voi":
        values, low, high = _view(path, dataset, stored)
    black, white = (high, low) if dataset.PhotometricInterpretation == "MONOCHROME1" else (low, high)
    return Mammogram(full_range(values, black, white), _spacing(path, dataset), f"{black:g}..{white:g}")


def stored(path: Path) -> NDArray[Any]:
    """(H, W) of the values as stored, without window or inversion: for masks."""
    return _load(path)[1]


def _load(path: Path) -> tuple["Dataset", NDArray[Any]]:
    """The data set (`TAGS` without the pixels) and its one grey frame; whatever a damaged file makes the readers raise
    becomes a PipelineError. Compressed files are read apart (`apart`)."""
    import pydicom
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if not path.is_file():
        raise PipelineError(f"{path}: no such file")
    check_bytes(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            syntax = pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID")
    except Exception as error:
        raise PipelineError(f"{path}: cannot be read as DICOM ({type(error).__name__})") from None
    if syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian):
        return _decode(path)
    try:
        return cast("tuple[Dataset, NDArray[Any]]", apart.call(_decode, path))
    except PipelineError as error:
        raise PipelineError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def _decode(path: Path) -> tuple["Dataset", NDArray[Any]]:
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path, specific_tags=list(TAGS))
            kept = pydicom.Dataset()
            kept.update({element.tag: element for element in dataset if element.keyword != "PixelData"})
            fault = _not_one_grey_frame(dataset)
            sides = (0, 0) if fault else (int(dataset.Rows), int(dataset.Columns))  # a tag can be of any kind
        except Exception as error:  # its text may hold what the patient's tags say
            raise PipelineError(f"{path}: cannot be read as DICOM ({type(error).__name__})") from None
        if fault:
            raise PipelineError(f"{path}: {fault}")
        check_size(path, *sides)
        try:
            pixels = pydicom.pixels.pixel_array(dataset)
        except Exception as error:
            reason = " ".join(str(error).split())
            raise PipelineError(f"{path}: its pixels cannot be decoded ({type(error).__name__}: {reason})") from None
    return kept, pixels


def _not_one_grey_frame(dataset: "Dataset") -> str | None:
    missing = [name for name in NEEDED if dataset.get(name) is None]
    if missing:
        return f"lacks {', '.join(missing)}"
    if "PixelData" not in dataset:
        return "holds no pixels"
    if dataset.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        kind = dataset.PhotometricInterpretation if dataset.PhotometricInterpretation in COLOURED else "of an unknown kind"
        return f"is {kind}, not MONOCHROME1 or MONOCHROME2"
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        return f"holds {dataset.NumberOfFrames} frames, not one"
    if not 1 <= int(dataset.BitsStored) <= 16 or int(dataset.PixelRepresentation) not in (0, 1):
        return f"stores {dataset.BitsStored} bits (representation {dataset.PixelRepresentation}), not 1 to 16"
    return None


def _stored_range(dataset: "Dataset") -> tuple[float, float]:
    bits = int(dataset.BitsStored)
    if dataset.PixelRepresentation == 1:
        return -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1
    return 0.0, 2.0**bits - 1


def _view(path: Path, dataset: "Dataset", pixels: NDArray[Any]) -> tuple[NDArray[Any], float, float]:
    """The values for viewing, and the range that they may take."""
    from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing

    try:
        values = apply_modality_lut(pixels, dataset)
        if dataset.get("VOILUTSequence"):
            return apply_voi(values, dataset), 0.0, 2.0 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
        if "WindowCenter" in dataset and "WindowWidth" in dataset:
            with np.errstate(over="ignore"):
                low, high = apply_windowing(np.array([-1e9, 1e9]), dataset)
            return apply_windowing(values, dataset), float(low), float(high)
    except Exception as error:  # pydicom checks little of what it applies
        raise PipelineError(f"{path}: its VOI LUT or window cannot be applied ({error}); set data.window: none") from None
    raise PipelineError(f"{path}: has neither a VOI LUT nor a window; set data.window: none")


def _spacing(path: Path, dataset: "Dataset") -> float | None:
    """Side of a pixel in mm by the first of `SPACINGS` in the file; None where it has none of them."""
    for name in SPACINGS:
        try:
            sides = [float(side) for side in np.ravel(dataset[name].value)] if dataset.get(name) else []
        except (TypeError, ValueError) as error:
            raise PipelineError(f"{path}: {name} cannot be read ({error})") from None
        if not sides:
            continue
        height, width = (positive(sides[k], f"{path}: {name}") for k in (0, -1))
        if len(sides) != 2 or abs(height - width) > SQUARE * height:
            raise PipelineError(f"{path}: {name} is {sides}, not that of square pixels")
        return (height + width) / 2
    return None
