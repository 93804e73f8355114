"""mini-MIAS (Suckling et al. 1994): PGM images of 1024 x 1024 px at 0.2 mm, and ``Info.txt`` with a circle around each finding.

A line reads ``mdb005 F CIRC B 477 133 30``: image, tissue, class, severity, centre x and y from the lower left corner, radius
in px. All views are MLO; each pair of numbers is a patient, the odd one right and the even one left. The tissue (fatty,
fatty-glandular, dense-glandular) is no ACR class and is not turned into one.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from pipeline.data.reading import Select, below, choose, gather
from pipeline.data.records import Case, Lesion, Record, Rejected, Stored
from pipeline.data.shapes import ellipse
from pipeline.errors import PipelineError
from pipeline.io import read_image

LINE = re.compile(r"(mdb(\d{3}))\s+([FGD])\s+([A-Z]{4})(.*)")
CIRCLE = re.compile(r"\s+([BM])\s+(\d+)\s+(\d+)\s+([1-9]\d*)\s*")
# The classes that are masses, with the word for their margins.
MARGINS = {"CIRC": "circumscribed", "SPIC": "spiculated", "MISC": "ill-defined"}
OTHERS = {"CALC": "calcification", "ARCH": "distortion", "ASYM": "asymmetry"}
PATHOLOGY = {"B": "benign", "M": "malignant"}
SPACING_MM = 0.2

Finding = tuple[str, str]


def cases(root: Path, select: Select = "malignant", done: Collection[str] = ()) -> Iterator[Record]:
    """The mammograms with a mass that `select` keeps, and the normal ones, in the order of their numbers.

    Images with other findings only (calcifications, architectural distortion, asymmetry) are left out. A circle becomes a
    mask of its pixels. Raises PipelineError where Info.txt cannot be used.
    """
    for name, findings in sorted(_findings(root / "Info.txt").items()):
        case = Stored(name) if name in done else _case(root, name, findings, select)
        if case is not None:
            yield case


def _findings(path: Path) -> dict[str, list[Finding]]:
    """Image -> (class, rest of the line) of its findings. Lines of the file's preface are passed over."""
    try:
        text = path.read_text(encoding="latin-1")
    except OSError:
        raise PipelineError(f"{path}: no such file; point data.root at the folder with Info.txt and the .pgm files") from None
    found: dict[str, list[Finding]] = {}
    for line in text.splitlines():
        match = LINE.fullmatch(line.strip())
        if match:
            found.setdefault(match[1], []).append((match[4], match[5]))
    if not found:
        raise PipelineError(f"{path}: holds no line like `mdb005 F CIRC B 477 133 30`")
    return found


def _case(root: Path, name: str, findings: list[Finding], select: Select) -> Case | Rejected | None:
    faults = [f"class {kind} is none of NORM, {', '.join((*MARGINS, *OTHERS))}" for kind, _ in findings if not _known(kind)]
    masses = [(kind, rest) for kind, rest in findings if kind in MARGINS]
    if masses and ("NORM", "") in findings:
        faults.append("is both normal and has a mass")
    severities = [PATHOLOGY.get(rest.split()[0] if rest.split() else "", "") for _, rest in masses]
    pathology = choose(severities, select) if masses else "normal"
    if not faults and (pathology is None or (not masses and any(kind in OTHERS for kind, _ in findings))):
        return None
    image = None
    with gather(faults):
        image = read_image(below(root, f"{name}.pgm"))
    lesions = []
    for kind, rest in findings:
        circle = CIRCLE.fullmatch(rest)
        if circle is None and kind in MARGINS:
            faults.append(f"{kind}: Info.txt gives no circle ({rest.strip()})")
        elif circle is not None and image is not None:
            x, y, radius = (float(value) for value in circle.groups()[1:])
            height, width = image.shape
            margins, finding = MARGINS.get(kind, ""), OTHERS.get(kind, "mass")
            with gather(faults, kind):
                mask = ellipse(x, height - 1 - y, radius, radius, (height, width))
                lesions.append(Lesion(mask=mask, margins=margins, pathology=PATHOLOGY[circle[1]], finding=finding))
    if faults or image is None or pathology is None:
        return Rejected(name, "; ".join(faults))
    index = int(name[3:])
    return Case(
        image_id=name,
        patient_id=f"mias{(index + 1) // 2:03d}",
        laterality="R" if index % 2 else "L",
        view="MLO",
        pathology=pathology,
        spacing_mm=SPACING_MM,
        source="mini-MIAS",
        image=image,
        lesions=tuple(lesions),
    )


def _known(kind: str) -> bool:
    return kind == "NORM" or kind in MARGINS or kind in OTHERS
