"""The original DDSM (Heath et al. 2001; Bowyer et al. 1996): LJPEG images, ``.ics`` headers and ``.OVERLAY`` outlines.

Grey levels of its four scanners are not comparable, so they become optical density by the calibration that the database
publishes for the scanner and site (first letter of the case: A is MGH, B and C are Wake Forest, D is ISMD), and then
uint16: density 0 (clear film, dense tissue) is white, 4 black.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data import ljpeg
from pipeline.data.ddsm_overlay import Abnormality, abnormalities
from pipeline.data.reading import BEFORE_5TH, Select, below, choose, full_range, gather, number, positive
from pipeline.data.records import Case, Record, Rejected, Stored
from pipeline.data.shapes import polygon
from pipeline.errors import PipelineError
from pipeline.io import check_size

VIEWS = ("LEFT_CC", "LEFT_MLO", "RIGHT_CC", "RIGHT_MLO")
CLEAR, BLACK = 0.0, 4.0

Greys = NDArray[np.float64]
# Fits to scans of a step wedge, from the calibration pages of the database; grey levels below 1 have no logarithm.
CALIBRATIONS: dict[tuple[str, str], Callable[[Greys], Greys]] = {
    ("MGH", "DBA"): lambda grey: (np.log10(np.maximum(grey, 1)) - 4.80662) / -1.07553,
    ("MGH", "HOWTEK"): lambda grey: 3.789 - 0.00094568 * grey,
    ("WFU", "LUMISYS"): lambda grey: (grey - 4096.99) / -1009.01,
    ("ISMD", "HOWTEK"): lambda grey: 3.96604095240593 - 0.00099055807612 * grey,
}
SITES = {"A": "MGH", "B": "WFU", "C": "WFU", "D": "ISMD"}


@dataclass(frozen=True)
class Film:
    """A line of the .ics file: the size of an image in px, of a pixel in micrometres, and whether it has an overlay."""

    lines: int
    pixels: int
    microns: float
    overlay: bool


def cases(root: Path, select: Select = "malignant", done: Collection[str] = ()) -> Iterator[Record]:
    """The mammograms with a mass that `select` keeps, and those of breasts without any finding (normal), by case and view.

    Left out: images with other findings only, and images without an outline of a breast that has one in its other view,
    where the finding may be invisible rather than absent. A case is a patient. Raises PipelineError where there is no .ics file.
    """
    headers = sorted(root.rglob("*.ics"), key=lambda path: (path.name, path))
    if not headers:
        raise PipelineError(f"{root}: holds no .ics file; point data.root at a folder above the case folders of the DDSM")
    for header in headers:
        try:
            patient, calibrate, density, films = _header(below(root, header.relative_to(root)))
        except PipelineError as error:
            yield Rejected(header.stem, str(error))
            continue
        marked = {view.split("_")[0] for view, film in films.items() if film.overlay}
        for view, film in films.items():
            if f"{patient}_{view}" in done:
                yield Stored(f"{patient}_{view}")
            elif film.overlay or view.split("_")[0] not in marked:
                case = _case(header.parent, patient, view, film, density, calibrate, select)
                if case is not None:
                    yield case


def optical_density(greys: NDArray[Any], site: str, scanner: str) -> Greys:
    """Optical density of grey levels. site: MGH, WFU or ISMD. scanner: DBA, HOWTEK or LUMISYS. PipelineError for another pair."""
    if (site, scanner) not in CALIBRATIONS:
        known = ", ".join(f"{name} at {place}" for place, name in CALIBRATIONS)
        raise PipelineError(f"no calibration of {scanner or 'an unnamed scanner'} at {site or 'an unknown site'}; there are {known}")
    return CALIBRATIONS[site, scanner](greys.astype(np.float64))


def _header(path: Path) -> tuple[str, Callable[[NDArray[Any]], Greys], int | None, dict[str, Film]]:
    """Patient, calibration, density and films of an .ics file."""
    lines = [line.split() for line in path.read_text(encoding="latin-1").splitlines() if line.strip()]
    cells = {line[0]: line[1:] for line in lines}
    patient = "".join(cells.get("filename", [])).replace("-", "_")
    site, scanner = SITES.get(patient[:1], ""), next(iter(cells.get("DIGITIZER", [])), "").upper()
    faults: list[str] = []
    with gather(faults):
        optical_density(np.zeros(1), site, scanner)
    density = None
    with gather(faults):
        density = number("".join(cells.get("DENSITY", [])[:1]), "DENSITY") or None
    films: dict[str, Film] = {}
    for view in VIEWS:
        with gather(faults, view):
            if view in cells:
                films[view] = _film(cells[view])
    if not patient or not films:
        faults.append("names no case (filename) or no image")
    if faults:
        raise PipelineError(f"{path}: {'; '.join(faults)}")
    return patient, lambda greys: optical_density(greys, site, scanner), density, films


def _film(words: list[str]) -> Film:
    """``LINES 4696 PIXELS_PER_LINE 3024 BITS_PER_PIXEL 12 RESOLUTION 50 OVERLAY``"""
    values = dict(zip(words[:-1:2], words[1::2], strict=False))
    lines, pixels = (number(values.get(key, ""), key) or 0 for key in ("LINES", "PIXELS_PER_LINE"))
    microns = number(values.get("RESOLUTION", ""), "RESOLUTION", float)
    if lines < 1 or pixels < 1 or microns is None:
        raise PipelineError(f"lacks LINES, PIXELS_PER_LINE or RESOLUTION: {' '.join(words)}")
    check_size("the film", lines, pixels)
    return Film(lines, pixels, positive(microns, "RESOLUTION"), words[-1] == "OVERLAY")


def _case(
    folder: Path,
    patient: str,
    view: str,
    film: Film,
    density: int | None,
    calibrate: Callable[[NDArray[Any]], Greys],
    select: Select,
) -> Case | Rejected | None:
    image_id, faults = f"{patient}_{view}", list[str]()
    findings: list[Abnormality] = []
    with gather(faults):
        findings = _overlay(folder, patient, view) if film.overlay else []
    masses = [one for one in findings if one.finding == "mass"]
    if film.overlay and not masses and not faults:
        return None
    pathology = choose([one.pathology for one in masses], select) if masses else "normal"
    if pathology is None:
        return None
    image: NDArray[np.uint16] | None = None
    with gather(faults):
        image = full_range(calibrate(_pixels(below(folder, f"{patient}.{view}.LJPEG"), film)), BLACK, CLEAR)
    lesions = []
    with gather(faults):
        lesions = [one.lesion(polygon(one.outline, (film.lines, film.pixels))) for one in findings]
    if faults or image is None:
        return Rejected(image_id, "; ".join(faults))
    return Case(
        image_id=image_id,
        patient_id=patient,
        laterality=view[0],
        view=view.split("_")[1],
        pathology=pathology,
        density=density,
        spacing_mm=film.microns / 1000,
        source="DDSM",
        grey_range=f"OD {BLACK:g}..{CLEAR:g}",
        birads=BEFORE_5TH,
        image=image,
        lesions=tuple(lesions),
    )


def _overlay(folder: Path, patient: str, view: str) -> list[Abnormality]:
    path = below(folder, f"{patient}.{view}.OVERLAY")
    try:
        text = path.read_text(encoding="latin-1")
    except OSError:
        raise PipelineError(f"{path}: no such file, though the .ics file says OVERLAY") from None
    try:
        return abnormalities(text)
    except PipelineError as error:
        raise PipelineError(f"{path}: {error}") from None


def _pixels(path: Path, film: Film) -> NDArray[np.uint16]:
    """(lines, pixels) grey levels. The headers of many files have width and height exchanged: the .ics file is right."""
    try:
        samples = ljpeg.decode(path.read_bytes())
    except OSError:
        raise PipelineError(f"{path}: no such file") from None
    except PipelineError as error:
        raise PipelineError(f"{path}: {error}") from None
    if samples.size != film.lines * film.pixels:
        raise PipelineError(f"{path}: is {samples.shape}, the .ics file says {(film.lines, film.pixels)} (rows, columns)")
    return samples.reshape(film.lines, film.pixels)
