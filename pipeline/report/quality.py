"""Tables of quality.json: LPIPS of both protocols beside floor and ceiling, nearest training patch, variety of masks."""

from typing import Any

from pipeline.report import realism
from pipeline.report.results import Estimate
from pipeline.report.tables import Cell, Table, number, whole

PROTOCOLS = {"reconstruction": "Reconstruction", "unpaired": "Random pairs"}
AREAS = {"patch": "whole patch", "region": "mask and margin"}
RIVALS = {"copy_paste": "Real masses, soft edges", "poisson": "Real masses, Poisson-blended"}
COLUMNS = {"generated": "Generated", "real": "Floor: real against real", "blank": "Ceiling: mass left out"}
SHEETS = {
    "patches": "Inserted masses (columns): host tissue, the generator's input, the result, and the most similar real training patch.",
    "copies": "Generated masses that are flagged as copies, nearest first, and the training masses they are nearest to.",
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
    "host_style": "Style of the hosts",
}


def tables(measured: Any, hosts: str) -> list[Table]:
    """hosts: params `synth.hosts`."""
    return [_lpips(measured), _nearest(measured), _masks(measured), *realism.tables(measured), _hosts(measured, hosts)]


def warnings(measured: Any) -> list[str]:
    """What every conclusion of the page is subject to."""
    style = measured["host_style"]
    if style["auc"] is None or style["auc"] <= style["limit"]:
        return []
    return [
        "The hosts of synthetic masses differ in style from the real training images: features of tissue alone tell them apart with an "
        f"AUC of {whole(Estimate(style['auc'], *style['ci95']))}, limit {number(style['limit'])}. Every difference "
        "between points below may be due to the style of the hosts, not to synthesis."
    ]


def _hosts(measured: Any, kind: str) -> Table:
    style = measured["host_style"]
    names = {"hosts": "Hosts of synthetic masses", "real": "Real training images"}
    auc = Estimate(style["auc"], *style["ci95"])
    rows = [
        [Cell(title), Cell(str(style["images"][key]), "number"), Cell(str(style["patients"][key]), "number"),
         Cell(", ".join(style["sources"][key]) or "not said"), Cell(whole(auc) if key == "hosts" else "", "number")]
        for key, title in names.items()
    ]  # fmt: skip
    columns = [Cell(""), Cell("Images", "number"), Cell("Patients", "number"), Cell("Source"), Cell("AUC (95 % interval)", "number")]
    remark = f" ({style['reason']})" if style["reason"] else ""
    return Table(
        f"Hosts of synthetic masses ({kind}): whether tissue alone tells them from real training images; 0.5: not at all{remark}",
        columns,
        rows,
    )


def lpips_rows(measured: Any) -> list[tuple[str, str]]:
    """(name, value beside its floor or ceiling) of the whole-patch LPIPS of both protocols, for Table 1."""
    found = by_key(measured)
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
    return [*((term, f"{measured['definitions'][key]}.") for key, term in TERMS.items()), *realism.definitions(measured)]


def by_key(measured: Any) -> dict[tuple[str, str, str], Estimate]:
    """LPIPS of a quality.json by (protocol, area, what)."""
    return {
        (one["protocol"], one["area"], one["what"]): Estimate(one["lpips"], one["ci_low"], one["ci_high"])
        for one in measured["comparisons"]
    }


def _lpips(measured: Any) -> Table:
    found = by_key(measured)
    sizes = {(one["protocol"], one["area"]): (one["n"], one["patients"]) for one in measured["comparisons"]}
    rivals = {what: name for what, name in RIVALS.items() if any(key[2] == what for key in found)}
    shown = {**COLUMNS, **rivals}
    rows = []
    for protocol, title in PROTOCOLS.items():
        for area, where in AREAS.items():
            values = [found.get((protocol, area, what)) for what in shown]
            cells = [Cell(whole(one), "number") if one else Cell("does not apply", "none") for one in values]
            rows.append([Cell(f"{title}, {where}"), *cells, *(Cell(str(n), "number") for n in sizes[protocol, area])])
    columns = [Cell("Protocol"), *(Cell(name, "number") for name in (*shown.values(), "Pairs", "Patients"))]
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
