"""Tables of the measures that `quality.measures` adds to quality.json; those that were not taken have none."""

from typing import Any

from pipeline.report.results import Estimate
from pipeline.report.tables import Cell, Table, number, whole

ARMS = {
    "gan": "Generated",
    "poisson": "Real masses, Poisson-blended",
    "copy_paste": "Real masses, soft edges",
    "paste": "Real masses, cut out hard",
    "untouched": "The same places without a mass",
    "real": "Floor: real against real",
}
STATISTICS = {
    "area_mm2": "Area (mm²)",
    "contrast": "Contrast",
    "sharpness": "Sharpness of the edge",
    "glcm_contrast": "Texture: contrast",
    "glcm_homogeneity": "Texture: homogeneity",
    "glcm_correlation": "Texture: correlation",
    "circularity": "Circularity",
    "solidity": "Solidity",
}
TERMS = {
    "patches": "Patches of the measures below",
    "lesions": "Lesion statistics",
    "distances": "Distances between sets of patches",
    "classifier": "Patch classifier",
    "seam": "Seam",
    "copies": "Copies",
    **{f"lesions.{key}": title for key, title in STATISTICS.items()},
}


def tables(measured: Any) -> list[Table]:
    """One for each measure of quality.json that was taken."""
    return [make(measured[name]) for name, make in TABLES.items() if name in measured]


def definitions(measured: Any) -> list[tuple[str, str]]:
    return [(term, f"{measured['definitions'][key]}.") for key, term in TERMS.items() if key in measured["definitions"]]


def _lesions(found: Any) -> Table:
    rows = []
    for key, title in STATISTICS.items():
        one, floor = found["gan"][key], found["real"][key]
        quartiles = [", ".join(number(value) for value in one[side]) for side in ("real", "other")]
        rows.append([Cell(title), *(Cell(text, "number") for text in (*quartiles, number(one["ks"]), number(floor["ks"])))])
    heads = ("Real, quartiles", "Generated, quartiles", "Difference (KS)", "Floor: training against held-out")
    n_real, n_made = found["gan"]["area_mm2"]["n"]
    return Table(
        f"Statistics of {n_real} real and {n_made} generated masses; KS 0: alike, 1: apart",
        [Cell(""), *(Cell(head, "number") for head in heads)],
        rows,
    )


def _distances(found: Any) -> Table:
    keys = ("kid", "fid", "precision", "recall", "density", "coverage")
    rows = [[Cell(title), *(Cell(number(found[arm][key]), "number") for key in keys)] for arm, title in ARMS.items() if arm in found]
    heads = ("KID", "FID", *(key.capitalize() for key in keys[2:]))
    return Table(
        f"Distances to {found['gan']['n'][0]} real patches on VGG-16 features; not comparable with values on Inception features",
        [Cell(""), *(Cell(head, "number") for head in heads)],
        rows,
    )


def _aucs(caption: str) -> Any:
    def make(found: Any) -> Table:
        titles = {**ARMS, "sham": "Healthy tissue painted by the generator of the pool sham"}
        rows = [
            [Cell(title), Cell(whole(Estimate(one["auc"], one["ci_low"], one["ci_high"])), "number"),
             Cell(" + ".join(map(str, one["n"])), "number"), Cell(str(one["patients"]), "number")]
            for arm, title in titles.items() if (one := found.get(arm))
        ]  # fmt: skip
        heads = ("AUC (95 % interval)", "Patches", "Patients")
        return Table(caption, [Cell(""), *(Cell(head, "number") for head in heads)], rows)

    return make


def _copies(found: Any) -> Table:
    rows = [
        [Cell(ARMS[arm]), *(Cell(text, "number") for text in (number(one["share"]), number(one["median"]), number(one["median_held_out"])))]
        for arm, one in found.items()
    ]
    heads = ("Share nearer than 5 % of held-out masses", "Median LPIPS to the nearest training mass", "The same of held-out masses")
    return Table("Copies of training masses; .05 is chance", [Cell(""), *(Cell(head, "number") for head in heads)], rows)


TABLES = {
    "lesions": _lesions,
    "distances": _distances,
    "classifier": _aucs("Patches told from real ones by a linear classifier on frozen features; 0.5: not at all"),
    "seam": _aucs("Patches told from the same places untouched; 0.5: no seam and no trace"),
    "copies": _copies,
}
