"""CBIS-DDSM, its masses (Sawyer-Lee et al. 2016, doi 10.7937/K9/TCIA.2016.7O02S9CY; Lee et al. 2017, doi 10.1038/sdata.2017.177).

Reads the archive's tables ``mass_case_description_{train,test}_set.csv`` and its files in any of three layouts
(`cbis_files`); of ``calc_case_description_..`` the calcifications that lie in an image with a mass. Words for shape and
margins are those of the tables (BI-RADS of the DDSM's time: lobulated, architectural distortion), in small letters; density
is 1 to 4.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from pipeline.data import dicom
from pipeline.data.canonical import read_rows
from pipeline.data.cbis_files import Archive, mammogram, roi_mask
from pipeline.data.reading import BEFORE_5TH, Mammogram, Select, choose, gather, in_both, number
from pipeline.data.records import Case, Lesion, Record, Rejected, Stored
from pipeline.errors import PipelineError

COLUMNS = (
    *("patient_id", "left or right breast", "image view", "abnormality id", "mass shape", "mass margins", "pathology", "subtlety"),
    *("image file path", "cropped image file path", "ROI mask file path"),
)
CALC_COLUMNS = tuple(column for column in COLUMNS if column not in ("mass shape", "mass margins", "subtlety"))
LATERALITY = {"LEFT": "L", "RIGHT": "R"}
PATHOLOGY = {"MALIGNANT": "malignant", "BENIGN": "benign", "BENIGN_WITHOUT_CALLBACK": "benign"}
DENSITY = ("breast_density", "breast density")
UNKNOWN = ("", "n/a")

Row = dict[str, str]
Rows = dict[tuple[str, str], list[Row]]


def cases(root: Path, select: Select = "malignant", window: dicom.Window = "none", done: Collection[str] = ()) -> Iterator[Record]:
    """Every mammogram of the tables that `select` keeps, in the order of image_id; several abnormalities make one case.

    An image with any fault, or of a patient who is in both official splits, comes as Rejected with all of its faults.
    Raises PipelineError where the tables cannot be used.
    """
    archive = Archive(root)
    rows = {split: read_rows(path, COLUMNS) for split, path in archive.tables().items()}
    both = in_both((row["patient_id"], split) for split, table in rows.items() for row in table)
    images: Rows = {}
    for split, table in rows.items():
        for row in table:
            images.setdefault((_image_id(row), split), []).append(row)
    calcifications: dict[str, list[Row]] = {}
    for path in archive.tables("calc").values():
        for row in read_rows(path, CALC_COLUMNS):
            calcifications.setdefault(_image_id(row), []).append(row)
    for (image_id, split), its_rows in sorted(images.items()):
        faults: list[str] = []
        masses = _masses(its_rows, faults)
        pathology = choose([PATHOLOGY.get(row["pathology"], "") for row in masses], select)
        if image_id in done:
            yield Stored(image_id)
        elif pathology is not None:
            if its_rows[0]["patient_id"] in both:
                faults.append(f"patient {its_rows[0]['patient_id']} is in both official splits")
            yield _case(archive, image_id, split, pathology, masses, calcifications.get(image_id, []), window, faults)
        elif faults:
            yield Rejected(image_id, "; ".join(faults))


def _image_id(row: Row) -> str:
    return "_".join(row[column] for column in COLUMNS[:3])


def _masses(rows: list[Row], faults: list[str]) -> list[Row]:
    """One row an abnormality: repeated rows once. Faults: an abnormality described in two ways, unknown pathology."""
    masses: dict[str, Row] = {}
    for row in rows:
        one = masses.setdefault(row["abnormality id"], row)
        if one != row:
            faults.append(f"abnormality {row['abnormality id']} is described in two ways")
        if row["pathology"] not in PATHOLOGY:
            faults.append(f"pathology is {row['pathology']!r}, not one of {', '.join(PATHOLOGY)}")
    return list(masses.values())


def _case(
    archive: Archive,
    image_id: str,
    split: str,
    pathology: str,
    rows: list[Row],
    calcifications: list[Row],
    window: dicom.Window,
    faults: list[str],
) -> Case | Rejected:
    read: Mammogram | None = None
    with gather(faults):
        read = _image(archive, rows, window)
    lesions = [lesion for row in rows if (lesion := _lesion(archive, row, read, faults)) is not None]
    others = [_calcification(archive, row, read, faults) for row in {row["abnormality id"]: row for row in calcifications}.values()]
    density: set[int] = set()
    with gather(faults):
        density = {value for row in rows for name in DENSITY if (value := number(row.get(name, ""), "density"))}
    if faults or read is None:
        return Rejected(image_id, "; ".join(dict.fromkeys(faults)))
    return Case(
        image_id=image_id,
        patient_id=rows[0]["patient_id"],
        laterality=LATERALITY.get(rows[0]["left or right breast"], rows[0]["left or right breast"]),
        view=rows[0]["image view"],
        pathology=pathology,
        density=density.pop() if len(density) == 1 else None,
        spacing_mm=read.spacing_mm,
        source="CBIS-DDSM",
        official_split=split,
        grey_range=read.grey_range,
        birads=BEFORE_5TH,
        image=read.image,
        lesions=(*lesions, *(one for one in others if one is not None)),
    )


def _image(archive: Archive, rows: list[Row], window: dicom.Window) -> Mammogram:
    cells = {row["image file path"] for row in rows}
    files = [file for cell in sorted(cells) for file in archive.files(cell)]
    if len(files) != 1:
        raise PipelineError(f"the image is one of {len(files)} files: {', '.join(map(str, files))}")
    return mammogram(files[0], window)


def _lesion(archive: Archive, row: Row, read: Mammogram | None, faults: list[str]) -> Lesion | None:
    """One abnormality; None where it has a fault, or there is no image to compare its mask with."""
    where = f"abnormality {row['abnormality id']}"
    files: list[Path] = []
    missing: list[str] = []
    for column in ("ROI mask file path", "cropped image file path"):
        with gather(missing, where):
            files += archive.files(row[column])
    with gather(faults, where):
        subtlety = number(row["subtlety"], "subtlety")
        if read is not None and files:
            height, width = read.image.shape
            mask = roi_mask(list(dict.fromkeys(files)), (height, width))
            words = {"shape": _word(row["mass shape"]), "margins": _word(row["mass margins"])}
            return Lesion(mask=mask, subtlety=subtlety, pathology=PATHOLOGY.get(row["pathology"], ""), **words)
    faults.extend(missing)  # a crop that is missing does no harm where the mask is found
    return None


def _calcification(archive: Archive, row: Row, read: Mammogram | None, faults: list[str]) -> Lesion | None:
    """A calcification in an image with a mass; None where its files are not there: many copies hold the masses alone."""
    files: list[Path] = []
    for column in ("ROI mask file path", "cropped image file path"):
        with gather([]):
            files += archive.files(row[column])
    with gather(faults, f"calcification {row['abnormality id']}"):
        if read is not None and files:
            height, width = read.image.shape
            mask = roi_mask(list(dict.fromkeys(files)), (height, width))
            return Lesion(mask=mask, pathology=PATHOLOGY.get(row["pathology"], ""), finding="calcification")
    return None


def _word(cell: str) -> str:
    return "" if cell.lower() in UNKNOWN else cell.lower()
