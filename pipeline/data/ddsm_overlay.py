"""The ``.OVERLAY`` files of the DDSM: abnormalities with their words and chain-coded outlines."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.reading import number
from pipeline.data.records import Lesion
from pipeline.errors import PipelineError

# Steps (x, y) of the codes 0..7: up, then clockwise; y grows downwards.
STEPS = np.array([(0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1)])
PATHOLOGY = {"MALIGNANT": "malignant", "BENIGN": "benign", "BENIGN_WITHOUT_CALLBACK": "benign", "UNPROVEN": "unproven"}


@dataclass(frozen=True)
class Abnormality:
    """outline: (N, 2) x, y in px of the outer boundary. finding: mass, or the file's LESION_TYPE. Words in small letters."""

    finding: str
    shape: str
    margins: str
    subtlety: int | None
    pathology: str
    outline: NDArray[Any]

    def lesion(self, mask: NDArray[np.bool_]) -> Lesion:
        words = {"shape": self.shape, "margins": self.margins, "pathology": self.pathology, "finding": self.finding}
        return Lesion(mask=mask, subtlety=self.subtlety, **words)


def abnormalities(text: str) -> list[Abnormality]:
    """The abnormalities of a file, in its order. Of several outlines the first counts: it holds the others (``CORE``).

    Raises PipelineError where one lacks its outline, or its number is not the announced one.
    """
    blocks = re.split(r"^ABNORMALITY\b", text, flags=re.MULTILINE)
    total = re.search(r"TOTAL_ABNORMALITIES\s+(\d+)", blocks[0])
    if total is None or total[1] != str(len(blocks) - 1):
        raise PipelineError(f"TOTAL_ABNORMALITIES is {total[1] if total else 'missing'}, but {len(blocks) - 1} are described")
    return [_abnormality(block, f"abnormality {index}") for index, block in enumerate(blocks[1:], 1)]


def _abnormality(block: str, where: str) -> Abnormality:
    kinds = re.findall(r"^LESION_TYPE\s+(\S+)(.*)$", block, flags=re.MULTILINE)
    words = next((rest for kind, rest in kinds if kind == "MASS"), "")
    pathology = _word(block, r"^PATHOLOGY\s+(\S+)").upper()
    if pathology not in PATHOLOGY:
        raise PipelineError(f"{where}: PATHOLOGY is {pathology!r}, not one of {', '.join(PATHOLOGY)}")
    outline = re.search(r"^BOUNDARY\s+([\d\s]+)#", block, flags=re.MULTILINE)
    if outline is None:
        raise PipelineError(f"{where}: has no BOUNDARY that ends in #")
    return Abnormality(
        finding="mass" if any(kind == "MASS" for kind, _ in kinds) else kinds[0][0].lower() if kinds else "other",
        shape=_word(words, r"\bSHAPE\s+(\S+)").lower(),
        margins=_word(words, r"\bMARGINS\s+(\S+)").lower(),
        subtlety=number(_word(block, r"^SUBTLETY\s+(\S+)"), f"{where}: SUBTLETY"),
        pathology=PATHOLOGY[pathology],
        outline=_outline(outline[1], where),
    )


def _word(text: str, pattern: str) -> str:
    match = re.search(pattern, text, flags=re.MULTILINE)
    return match[1] if match else ""


def _outline(numbers: str, where: str) -> NDArray[Any]:
    """(N, 2) x, y of a chain code: start column, start row, then a code 0..7 a step."""
    try:
        values = np.array(numbers.split(), np.int64)
    except (ValueError, OverflowError):
        raise PipelineError(f"{where}: its BOUNDARY holds a number that is too large") from None
    if len(values) < 4 or values[2:].max() > 7:
        raise PipelineError(f"{where}: its BOUNDARY is no chain code (column, row, codes 0..7)")
    return values[:2] + np.concatenate([np.zeros((1, 2), np.int64), np.cumsum(STEPS[values[2:]], axis=0)])
