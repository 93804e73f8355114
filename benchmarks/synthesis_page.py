"""The page of `benchmarks.synthesis`: README.md, results.json and figures from the collected measures."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.io import write_json, write_text
from pipeline.markdown import interval, table

DISTANCES = ("kid", "fid", "precision", "recall", "density", "coverage")
LPIPS_FIGURE = "lpips"
LPIPS = [(protocol, area) for protocol in ("reconstruction", "unpaired") for area in ("patch", "region")]
BEST = """`best`: the trainings of `tri_unet`, its masses the best of four by the discriminator (`synth.keep: 0.25`), as grainy as the
tissue around (`gen.grain: 1`), and put in without touching that tissue (`synth.blend: mask`).
"""


class Shown(NamedTuple):
    """Of which training contact sheets are shown. quality: folder of its figures; samples: sheet of its training. Where they are
    missing, as where its measures alone were kept, those of the page stay."""

    name: str
    quality: Path
    samples: Path


def write(out: Path, command: str, results: dict[str, Any], shown: Shown) -> None:
    """Write the folder `out`. results: as `benchmarks.synthesis.collect` gives them; command: that made them."""
    write_json(out / "results.json", results)
    _figure(results, out)
    for sheet in [*sorted(shown.quality.glob("*.png")), *([shown.samples] if shown.samples.is_file() else [])]:
        shutil.copyfile(sheet, out / sheet.name)
    sheets = [path.name for path in sorted(out.glob("*.png")) if path.stem != LPIPS_FIGURE]
    notes = out / "NOTES.md"
    text = _readme(command, results, shown.name, sheets)
    write_text(out / "README.md", text + ("\n" + notes.read_text(encoding="utf-8") if notes.is_file() else ""))


def _figure(results: dict[str, Any], out: Path) -> None:
    from pipeline.report.style import figure, save

    out.mkdir(parents=True, exist_ok=True)
    with figure(7.0, 3.5) as (made, axes):
        for y, block in enumerate(results["generators"].values()):
            for (protocol, area), marker in zip(LPIPS, "osD^", strict=True):
                one = block[f"lpips_{protocol}_{area}"]
                label = f"{protocol}, {area}" if y == 0 else None
                axes.plot(
                    one["values"], [y] * len(one["values"]), marker, color="#0072B2" if protocol == "unpaired" else "#E69F00", label=label
                )
        for area, dash in (("patch", "--"), ("region", ":")):
            axes.axvline(
                results["controls"]["real"][f"lpips_unpaired_{area}"]["mean"], color="#333333", linestyle=dash, label=f"real, {area}"
            )
        axes.set_yticks(range(len(results["generators"])), list(results["generators"]))
        axes.set_xlabel("LPIPS (AlexNet), a marker a training")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
        save(made, out, LPIPS_FIGURE)


def _shown(one: dict[str, Any] | None) -> str:
    return "" if one is None else interval(one["mean"], (one["ci_low"], one["ci_high"]))


def _readme(command: str, results: dict[str, Any], shown: str, sheets: Sequence[str]) -> str:
    everything, settings = {**results["generators"], **results["controls"]}, results["settings"]
    columns = [f"lpips_{protocol}_{area}" for protocol, area in LPIPS]
    realism = ["classifier_auc", *DISTANCES, "copy_share"]
    realism += ["seam_auc"] if any("seam_auc" in block for block in everything.values()) else []
    look = sorted(key for key in results["generators"][shown] if key.startswith("ks_"))
    seeds, held_out = f"{len(settings['seeds'])} training{'s' if len(settings['seeds']) > 1 else ''}", settings["held_out"]
    real = {part: f"{one['masses']} masses of {one['patients']} patients" for part, one in settings["masses"].items()}
    part = "val, the patients of all choices" if held_out == "val" else "test"
    return f"""# Synthesis on real masses

Made by `{command}` (see `benchmarks/synthesis.py`): {seeds} of each generator, {settings["iterations"]} iterations, patches of
{settings["patch_px"]} px of mammograms {settings["height"]} px high, {
        settings["n"]
    } inserted masses each. Means over trainings with 95 % t intervals.

Learned from {real["train"]}, compared with them and with {real[held_out]} of {part}.

LPIPS (AlexNet, lower is nearer), of held-out patches painted again, and of random pairs of real and inserted patches; real: pairs
of real patches.

{
        table(
            ["", *(name.replace("lpips_", "").replace("_", ", ") for name in columns)],
            [[name, *(_shown(block.get(key)) for key in columns)] for name, block in everything.items()],
        )
    }

{
        table(
            ["", *(key.replace("_", " ") for key in realism)],
            [[name, *(_shown(block.get(key)) for key in realism)] for name, block in everything.items()],
        )
    }

{BEST if "best" in everything else ""}
`untouched` is what a generator that paints nothing would get: a number near it is no merit unless contrast and sharpness below are near
those of real masses.

Lesion statistics: largest difference of the distribution functions of real and generated masses (real: of training and held-out masses).

{
        table(
            ["", *(key.removeprefix("ks_").replace("_", " ") for key in look)],
            [[name, *(_shown(block.get(key)) for key in look)] for name, block in everything.items() if look[0] in block],
        )
    }

{chr(10).join(f"- {key}: {text}" for key, text in results["definitions"].items())}

![LPIPS of every training]({LPIPS_FIGURE}.png)

Contact sheets of {shown}, training {settings["seeds"][0]}:

{chr(10).join(f"![{Path(name).stem}]({name})" for name in sheets)}

Images: CBIS-DDSM (Sawyer-Lee et al., The Cancer Imaging Archive, doi 10.7937/K9/TCIA.2016.7O02S9CY; Lee et al., Sci Data 2017 4:170177;
CC BY 3.0), cropped, downscaled, cleaned, and with synthetic masses inserted. Clark et al. 2013 for TCIA.
"""
