"""The model card that lies beside generated mammograms: what made them, from what, how good it is, and what it is for."""

from pathlib import Path
from typing import Any

from pipeline.io import read_json


def text(infill: dict[str, Any], masks: dict[str, Any], n_sizes: int, quality: Path | None, n: int, hosts: str) -> str:
    """Markdown.

    infill, masks: meta.json of the two models. n_sizes: masses that sizes are drawn from. quality: a quality.json that may
    belong to them. hosts: their folder's name.
    """
    perceptual = infill["perceptual"]
    painter = f"{infill['arch']}, {infill['labels']}-label, margin {infill['margin']}, noise over {infill['noise']}, loss {infill['loss']}"
    return f"""# Synthetic mammograms: model card

{n} mammograms with one synthetic mass each, painted into healthy mammograms of the folder `{hosts}`. Every PNG says so in its
text chunk `Synthetic mammogram`, every COCO image in `synthetic` and `origin`.

## Models
| | masks | infilling |
|---|---|---|
| what | DCGAN | {painter} |
| trained on | {len(masks["patients"])} patients | {len(infill["patients"])} patients |
| iterations | {masks["iterations"]} | {infill["iterations"]} |
| patch | {masks["patch_px"]} px | {infill["patch_px"]} px |
| perceptual loss | | {perceptual["network"]} {" ".join(perceptual.get("layers", []))} |
| SHA-256 | `{masks["sha256"]}` | `{infill["sha256"]}` |

Sizes of masses are those of the {n_sizes} training masses; places are uniform in the breast without the pectoral muscle.

## Measured
{_measured(infill, quality)}

## Intended use
Training data for mass detectors, beside real mammograms, and studies of such training. What it adds has to be shown on real test images.
Not a medical device, not for diagnosis, and no evidence of how a detector works on patients: never test on these images.

## Limits
Masses are of the kinds, film and population of the training patients alone. Spiculation beyond the mask and calcifications are not
painted. Masks are drawn, not outlined by a reader. Pixels of the hosts are in the images: their terms of use and consent go on.
"""


def _measured(infill: dict[str, Any], quality: Path | None) -> str:
    if quality is None:
        return "Nothing was handed over (`--quality`)."
    report = read_json(quality)
    if report.get("generator", {}).get("sha256") != infill["sha256"]:
        return f"`{quality.name}` is of other models, so its numbers are not shown."
    rows = ["| measure | generated | real | n |", "|---|---|---|---|"]
    found = {(row["protocol"], row["area"], row["what"]): row for row in report["comparisons"]}
    for area in ("patch", "region"):
        made, real = found["unpaired", area, "generated"], found["unpaired", area, "real"]
        rows.append(f"| LPIPS, random pairs, {area} | {made['lpips']:.3f} | {real['lpips']:.3f} | {made['n']} |")
    if "classifier" in report:
        made, real = report["classifier"]["gan"], report["classifier"]["real"]
        rows.append(f"| patch classifier AUC (0.5 is best) | {made['auc']:.3f} | {real['auc']:.3f} | {made['n'][0]} + {made['n'][1]} |")
    if "copies" in report:
        made = report["copies"]["gan"]
        rows.append(f"| share nearer to a training mass than 5 % of held-out ones | {made['share']:.3f} | 0.050 | {made['n'][0]} |")
    return "\n".join(rows)
