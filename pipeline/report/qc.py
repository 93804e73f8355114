"""Data QC: what preprocessing removed, dropped or doubts, and every mammogram with its outlines, worst first."""

from pathlib import Path
from typing import Any, NamedTuple

from pipeline.io import read_json
from pipeline.report import page
from pipeline.report.tables import Cell, Table

WORST = 12  # shown on the page of the report; the sheet holds all
FLAGGED = 40  # rows of the table of doubtful mammograms
PARTS = ("train", "val", "test")
KINDS = ("patients", "images", "lesions", "ignored", "patches")
NOTED = {
    "laterality_mismatch": "face the other side than recorded",
    "no_muscle_in_mlo": "MLO views without a muscle",
    "dropped_components": "components of masks dropped (too small)",
    "images_left_out": "left out: no lesion of theirs remains",
    "removed_px": "with bright pixels removed (labels, tape, borders)",
    "lesion_px_outside_breast": "with lesion pixels outside of the breast",
    "same_mammogram": "pairs of the same mammogram within a part",
}


class Quality(NamedTuple):
    """entries: qc.json, worst first. summary: preprocess.json."""

    entries: list[dict[str, Any]]
    summary: dict[str, Any]


def read(prepared: Path) -> Quality:
    """prepared: the folder with qc/ and patches/."""
    return Quality(read_json(prepared / "qc/qc.json"), read_json(prepared / "patches/preprocess.json"))


def tables(found: Quality) -> list[Table]:
    """Counts of the parts, counts of what is doubtful, and the doubtful mammograms by name."""
    parts = found.summary["parts"]
    counts = [[Cell(part), *(Cell(str(parts[part][kind]), "number") for kind in KINDS)] for part in PARTS if part in parts]
    noted = [[Cell(text), Cell(str(len(found.summary[key])), "number")] for key, text in NOTED.items() if key in found.summary]
    noted.append([Cell("with assumed pixel spacing"), Cell(str(found.summary["spacing_assumed"]), "number")])
    doubtful = [one for one in found.entries if one["flags"]]
    rows = [[Cell(one["image_id"]), Cell(one["part"]), Cell("; ".join(one["flags"]))] for one in doubtful[:FLAGGED]]
    more = f" (the first {FLAGGED} of {len(doubtful)})" if len(doubtful) > FLAGGED else ""
    made = [
        Table("Parts of the data; ignored: findings that are not looked for", _columns("Part", *KINDS), counts),
        _balance(found.summary["balance"]),
        Table("What preprocessing changed, dropped or doubts", _columns("Mammograms", "Count"), noted),
    ]
    return (
        [*made, Table(f"Doubtful mammograms, worst first{more}", [Cell(name) for name in ("Image", "Part", "Why")], rows)] if rows else made
    )


def _balance(balance: dict[str, Any]) -> Table:
    """Images with a lesion by density and view, and the sizes of lesions, of each part."""
    rows = [
        [
            Cell(part),
            *(Cell(", ".join(f"{level}: {count}" for level, count in one[name].items()) or "none") for name in ("density", "view")),
            Cell(", ".join(f"{size:g}" for size in one["size_mm_quartiles"] or []) or "none"),
        ]
        for part, one in balance.items()
    ]
    names = ("Part", "Images with a lesion, by density", "By view", "Size of lesions, quartiles in mm")
    return Table("Balance of the parts: reported, not forced", [Cell(name) for name in names], rows)


def pictures(found: Quality, shown: bool, n: int) -> list[dict[str, Any]]:
    """The first n mammograms for the page's macro `mammogram`; none where pixels may not be shown."""
    return found.entries[:n] if shown else []


def write(found: Quality, shown: bool, path: Path) -> None:
    """The QC sheet: one HTML page that opens without a network. shown: whether pixels may be; outlines always are."""
    content = {
        "title": "Data QC", "subtitle": f"{len(found.entries)} mammograms, worst first.", "notices": [],
        "tables": tables(found), "mammograms": found.entries, "pixels": shown, "data": None,
    }  # fmt: skip
    path.write_text(page.render("qc.html", [], **content), encoding="utf-8")


def _columns(first: str, *others: str) -> list[Cell]:
    return [Cell(first), *(Cell(name, "number") for name in others)]
