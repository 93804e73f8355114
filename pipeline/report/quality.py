"""Tables of quality.json: LPIPS of both protocols beside floor and ceiling, nearest training patch, variety of masks."""

from typing import Any

from pipeline.report.results import Estimate
from pipeline.report.tables import Cell, Table, number, whole

PROTOCOLS = {"reconstruction": "Reconstruction", "unpaired": "Random pairs"}
AREAS = {"patch": "whole patch", "region": "mask and margin"}
COLUMNS = {"generated": "Generated", "real": "Floor: real against real", "blank": "Ceiling: mass left out"}
SHEETS = {
    "patches": "Inserted masses (columns): host tissue, the generator's input, the result, and the most similar real training patch.",
    "mammograms": "Synthetic mammograms as they are and with the boxes of their annotations.",
}
TERMS = {
    "measure": "LPIPS",
    "reconstruction": "LPIPS, reconstruction",
    "unpaired": "LPIPS, random pairs",
    "real": "LPIPS, floor",
    "blank": "LPIPS, ceiling",
    "region": "LPIPS, mask and margin",
    "nearest_training": "Nearest training patch",
    "masks": "Masks",
}


def tables(measured: Any) -> list[Table]:
    return [_lpips(measured), _nearest(measured), _masks(measured)]


def lpips_rows(measured: Any) -> list[tuple[str, str]]:
    """(name, value beside its floor or ceiling) of the whole-patch LPIPS of both protocols, for Table 1."""
    found = _by_key(measured)
    rows = []
    for protocol, title in PROTOCOLS.items():
        beside = [
            f"{COLUMNS[what].partition(':')[0].lower()} {number(one.value)}"
            for what in ("real", "blank")
            if (one := found.get((protocol, "patch", what)))
        ]
        rows.append((title.lower(), f"{number(found[protocol, 'patch', 'generated'].value)} ({', '.join(beside)})"))
    return rows


def definitions(measured: Any) -> list[tuple[str, str]]:
    """(term, text) as the measurement states them."""
    return [(term, f"{measured['definitions'][key]}.") for key, term in TERMS.items()]


def _by_key(measured: Any) -> dict[tuple[str, str, str], Estimate]:
    return {
        (one["protocol"], one["area"], one["what"]): Estimate(one["lpips"], one["ci_low"], one["ci_high"])
        for one in measured["comparisons"]
    }


def _lpips(measured: Any) -> Table:
    found = _by_key(measured)
    sizes = {(one["protocol"], one["area"]): (one["n"], one["patients"]) for one in measured["comparisons"]}
    rows = []
    for protocol, title in PROTOCOLS.items():
        for area, where in AREAS.items():
            values = [found.get((protocol, area, what)) for what in COLUMNS]
            cells = [Cell(whole(one), "number") if one else Cell("does not apply", "none") for one in values]
            rows.append([Cell(f"{title}, {where}"), *cells, *(Cell(str(n), "number") for n in sizes[protocol, area])])
    columns = [Cell("Protocol"), *(Cell(name, "number") for name in (*COLUMNS.values(), "Pairs", "Patients"))]
    return Table("LPIPS (AlexNet), mean with 95 % interval; lower is more similar", columns, rows)


def _nearest(measured: Any) -> Table:
    rows = [
        [Cell(title), Cell(number(measured["nearest_training"][key]), "number")]
        for key, title in (("generated", "Generated patches"), ("held_out", "Held-out real patches"))
    ]
    return Table(
        "LPIPS to the most similar training patch; generated far below held-out would mean memorised",
        [Cell(""), Cell("Mean LPIPS", "number")],
        rows,
    )


def _masks(measured: Any) -> Table:
    rows = []
    for key, title in (("generated", "Drawn by the mask GAN"), ("training", "Real training masks")):
        one = measured["masks"][key]
        quartiles = ", ".join(number(value) for value in one["area"])
        rows.append([Cell(title), Cell(quartiles, "number"), Cell(number(one["pairwise_iou"]), "number"), Cell(str(one["n"]), "number")])
    columns = [Cell(""), *(Cell(name, "number") for name in ("Area, quartiles (share of the patch)", "Mean IoU of random pairs", "Masks"))]
    return Table("Variety of the masks; an IoU near 1 would mean that the mask GAN draws one shape", columns, rows)
