"""The paper's four infilling generators on real masses, several trainings each, and every measure of how real they look.

    python -m benchmarks.synthesis --data ../shared/data/cbis-ddsm --seeds 0 1 2 --iterations 3500 --out docs/results/synthesis

DATA is a folder with cases.csv, as data.source table reads it. Settings are params.yaml with the profile cbis-cpu, mammograms
800 px high and patches of 64 px, which is about the true size of a padded mass there; the painted masses of the paper's generators
are all kept, and as strong as painted (`CHOSEN` has what differs for `best`). Each training is a process with one thread, --jobs
of them at once; all of it can be interrupted and called again. Writes OUT: README.md, results.json and figures.
What a person saw goes into OUT/NOTES.md, which is put at the end of README.md.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.cli import guarded, parser
from pipeline.errors import PipelineError
from pipeline.io import read_json, write_json, write_text
from pipeline.markdown import table
from pipeline.params import Params, check, read_yaml
from pipeline.profile import merge, read

PAPER: dict[str, dict[str, Any]] = {
    "two_crn": {"arch": "crn", "labels": "two"},
    "tri_crn": {"arch": "crn", "labels": "tri"},
    "two_unet": {"arch": "unet", "labels": "two"},
    "tri_unet": {"arch": "unet", "labels": "tri"},
}
FURTHER: dict[str, dict[str, Any]] = {
    "tri_spade": {"arch": "spade", "labels": "tri"},
    "tri_unet_hidden": {"arch": "unet", "labels": "tri", "noise": "mask+margin"},
    "tri_unet_smooth": {"arch": "unet", "labels": "tri", "grain": 0},
}
# What a user would take: a training of the paper's method, its masses the best of four by the discriminator, and as strong as real ones.
CHOSEN: dict[str, dict[str, Any]] = {"best": {"keep": 0.25, "contrast": 1.2}}
SEAM = "tri_unet"  # the generator whose like is trained on healthy tissue too
DISTANCES = ("kid", "fid", "precision", "recall", "density", "coverage")
LPIPS = [(protocol, area) for protocol in ("reconstruction", "unpaired") for area in ("patch", "region")]


def settings(args: argparse.Namespace, generator: str) -> Params:
    """params.yaml with the profile and the arguments of this run."""
    plain = {"keep": 1.0, "contrast": 1.0}
    overlay = {
        "runtime": {"threads": 1, "workers": 0},
        "data": {"root": str(args.data)},
        "preprocess": {"height": args.height, "patch_px": 64},
        "masks": {"iterations": args.mask_iterations},
        "gen": {**{**PAPER, **FURTHER}[trained_as(generator)], "train": {"iterations": args.iterations}},
        "synth": CHOSEN.get(generator, plain),
        "pools": {"gan": {"n": args.n}},
        "study": {"points": ["real"], "baselines": [], "controls": ["sham"]},
        "quality": {"n": args.n},
    }
    return check(merge(merge(read_yaml(Path("params.yaml")), read("cbis-cpu")), overlay))


def trained_as(generator: str) -> str:
    """The generator whose trainings this one takes: its own, but for those of CHOSEN."""
    return SEAM if generator in CHOSEN else generator


def prepare(args: argparse.Namespace) -> None:
    """What all trainings share, below --work: prepared data, weights, the mask GAN, and the generator of healthy tissue."""
    from pipeline import weights
    from pipeline.data.adapters import records, state
    from pipeline.data.canonical import write
    from pipeline.gan import infill, masks, patches
    from pipeline.preprocess.prepare import prepare as preprocess
    from pipeline.synthesis import healthy
    from pipeline.synthesis.sources import Sources

    params, work = settings(args, SEAM), args.work
    if not (work / "prepared/patches/patches.csv").is_file():
        write(work / "raw", lambda done: records(params, done), params.data.on_error, state(params))
        preprocess(work / "raw", work / "prepared", params.preprocess, params.split, params.seed)
    if not (work / "weights/weights.json").is_file():
        weights.write(work / "weights", "vgg16")
    real = patches.read(work / "prepared/patches", ["train"])
    if not (work / "shared/masks/meta.json").is_file():
        masks.train(work / "prepared/patches", work / "shared/masks", params.masks, params.runtime, params.seed, work / "resume/masks")
    if not (work / "shared/sham/meta.json").is_file():
        sources, synth = Sources(work / "prepared/train", work / "prepared/patches", params.seed), params.synth
        tissue = healthy.patches(sources, synth.hosts, synth.sizes, synth.position, real.patch_px)
        where = work / "shared/sham", params.gen, "vgg16", params.runtime, params.seed, work / "resume/sham"
        infill.train(tissue, work / "weights", *where)


def cell(args: argparse.Namespace, generator: str, seed: int) -> None:
    """Train one generator once, make its pool and measure it; nothing where that is done."""
    import torch

    from pipeline import quality
    from pipeline.gan import infill, masks, patches
    from pipeline.realism.measure import Given
    from pipeline.synthesis import inserting, pool
    from pipeline.synthesis.sources import Sources

    torch.set_num_threads(1)
    params, work, folder = settings(args, generator), args.work, args.work / "cells" / generator / str(seed)
    if (folder / "quality/quality.json").is_file():
        return
    prepared, synth = work / "prepared", params.synth
    if generator in CHOSEN and not (folder / "models/infill").exists():
        shutil.copytree(work / "cells" / trained_as(generator) / str(seed) / "models/infill", folder / "models/infill")
    if not (folder / "models/infill/meta.json").is_file():
        real = patches.read(prepared / "patches", ["train"])
        where = folder / "models/infill", params.gen, "vgg16", params.runtime, seed, work / "resume" / generator / str(seed)
        infill.train(real, work / "weights", *where)
    for name in ("masks", "sham") if generator == SEAM else ("masks",):
        if not (folder / "models" / name).exists():
            shutil.copytree(work / "shared" / name, folder / "models" / name)
    sources = Sources(prepared / "train", prepared / "patches", seed)
    placer = sources.placer(synth.hosts, synth.sizes, synth.position)
    draw = inserting.learned_masks(masks.load(folder / "models/masks"), seed)
    method = inserting.gan(sources, placer, infill.load(folder / "models/infill"), draw, synth.blend, synth.keep, contrast=synth.contrast)
    pool.write("gan", method, args.n, seed, folder / "pool")
    given = Given(prepared, None, work / "weights", folder / "models", folder / "pool", synth, args.n, seed)
    quality.measure(given, folder / "quality", params.quality.measures, 1)
    shutil.rmtree(folder / "pool")


def run_cells(args: argparse.Namespace, cells: Sequence[tuple[str, int]]) -> None:
    """Every cell in a process of its own, --jobs at once. Raises PipelineError that names the failed ones."""

    def start(one: tuple[str, int]) -> int:
        command = [sys.executable, "-m", "benchmarks.synthesis", *sys.argv[1:], "--cell", one[0], str(one[1])]
        return subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}).returncode

    with ThreadPoolExecutor(args.jobs) as threads:
        codes = list(threads.map(start, cells))
    failed = [f"{name} {seed}" for (name, seed), code in zip(cells, codes, strict=True) if code]
    if failed:
        raise PipelineError(f"{len(failed)} of {len(cells)} trainings failed: {', '.join(failed)}; call the command again to go on")


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Mean of the trainings and its 95 % t interval, null bounds for one."""
    from pipeline.evaluation.bootstrap import t_quantile

    found, n = np.asarray(values, float), len(values)
    half = t_quantile(n - 1, 0.975) * found.std(ddof=1) / n**0.5 if n > 1 else None
    low, high = (None, None) if half is None else (float(found.mean() - half), float(found.mean() + half))
    return {"mean": float(found.mean()), "ci_low": low, "ci_high": high, "values": [float(value) for value in values]}


def collect(args: argparse.Namespace, generators: Sequence[str]) -> dict[str, Any]:
    """Measures of every generator over its trainings, and of the controls."""
    reports = {
        name: [read_json(args.work / "cells" / name / str(seed) / "quality/quality.json") for seed in args.seeds] for name in generators
    }

    def lpips(report: Any, what: str, protocol: str, area: str) -> float:
        return next(
            float(row["lpips"]) for row in report["comparisons"] if (row["what"], row["protocol"], row["area"]) == (what, protocol, area)
        )

    def block(runs: list[Any], what: str, arm: str) -> dict[str, Any]:
        protocols = [one for one in LPIPS if what in ("generated",) or one[0] == "unpaired"]
        found = {f"lpips_{p}_{a}": over_seeds([lpips(run, what, p, a) for run in runs]) for p, a in protocols}
        found |= {key: over_seeds([run["distances"][arm][key] for run in runs]) for key in DISTANCES}
        found["classifier_auc"] = over_seeds([run["classifier"][arm]["auc"] for run in runs])
        if arm in runs[0]["copies"]:
            found["copy_share"] = over_seeds([run["copies"][arm]["share"] for run in runs])
        if arm in runs[0]["lesions"]:
            found |= {f"ks_{key}": over_seeds([run["lesions"][arm][key]["ks"] for run in runs]) for key in runs[0]["lesions"][arm]}
        return found

    any_runs = next(iter(reports.values()))
    results = {name: block(runs, "generated", "gan") for name, runs in reports.items()}
    controls = {what: block(any_runs, what, what) for what in ("real", "copy_paste", "poisson")}
    for what in ("paste", "untouched"):
        controls[what] = {"classifier_auc": over_seeds([run["classifier"][what]["auc"] for run in any_runs])}
        controls[what] |= {key: over_seeds([run["distances"][what][key] for run in any_runs]) for key in DISTANCES}
    seam = [run["seam"]["sham"]["auc"] for run in reports.get(SEAM, []) if "seam" in run]
    return {
        "settings": {"seeds": args.seeds, "iterations": args.iterations, "n": args.n, "height": args.height, "patch_px": 64},
        "generators": results,
        "controls": controls,
        "seam_auc": over_seeds(seam) if seam else None,
        "definitions": any_runs[0]["definitions"],
    }


def write_report(args: argparse.Namespace, results: dict[str, Any]) -> None:
    """README.md, results.json, lpips.png, and the contact sheets of one training: the paper's method, where it is among them."""
    shown = SEAM if SEAM in results["generators"] else next(iter(results["generators"]))
    write_json(args.out / "results.json", results)
    _figure(results, args.out)
    quality = args.work / "cells" / shown / str(args.seeds[0]) / "quality"
    sheets = [path.name for path in sorted(quality.glob("*.png"))]
    for name in sheets:
        shutil.copyfile(quality / name, args.out / name)
    shutil.copyfile(args.work / "cells" / shown / str(args.seeds[0]) / "models/infill/samples.png", args.out / "samples.png")
    notes = args.out / "NOTES.md"
    text = _readme(args, results, shown, [*sheets, "samples.png"])
    write_text(args.out / "README.md", text + ("\n" + notes.read_text(encoding="utf-8") if notes.is_file() else ""))


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
        save(made, out, "lpips")


def _shown(one: dict[str, Any] | None) -> str:
    if one is None:
        return ""
    return f"{one['mean']:.3f}" + ("" if one["ci_low"] is None else f" [{one['ci_low']:.3f}, {one['ci_high']:.3f}]")


def _readme(args: argparse.Namespace, results: dict[str, Any], shown: str, sheets: Sequence[str]) -> str:
    everything = {**results["generators"], **results["controls"]}
    columns = [f"lpips_{protocol}_{area}" for protocol, area in LPIPS]
    realism = ["classifier_auc", *DISTANCES, "copy_share"]
    look = sorted(key for key in results["generators"][shown] if key.startswith("ks_"))
    seeds = f"{len(args.seeds)} training{'s' if len(args.seeds) > 1 else ''}"
    command = f"python -m benchmarks.synthesis --seeds {' '.join(map(str, args.seeds))} --iterations {args.iterations} --n {args.n}"
    return f"""# Synthesis on real masses

Made by `{command} --data DATA` (see `benchmarks/synthesis.py`): {seeds} of each generator, {args.iterations} iterations, patches of
64 px of mammograms {args.height} px high, {args.n} inserted masses each. Means over trainings with 95 % t intervals.
Seam: holes in healthy tissue filled by a generator of healthy tissue, against the same places untouched: AUC {_shown(results["seam_auc"])}.

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

`best`: the trainings of `tri_unet`, its masses the best of four by the discriminator and 1.2 times as strong (`synth.keep`,
`synth.contrast`).
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

![LPIPS of every training](lpips.png)

Contact sheets of {shown}, training {args.seeds[0]}:

{chr(10).join(f"![{Path(name).stem}]({name})" for name in sheets)}

Images: CBIS-DDSM (Sawyer-Lee et al., The Cancer Imaging Archive, doi 10.7937/K9/TCIA.2016.7O02S9CY; Lee et al., Sci Data 2017 4:170177;
CC BY 3.0), cropped, downscaled, cleaned, and with synthetic masses inserted. Clark et al. 2013 for TCIA.
"""


def arguments() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--data", type=Path, required=True, help="folder with cases.csv")
    made.add_argument(
        "--work", type=Path, default=Path("build/synthesis"), help="folder for everything in between (default: build/synthesis)"
    )
    made.add_argument("--out", type=Path, default=Path("docs/results/synthesis"), help="folder to write (default: docs/results/synthesis)")
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="trainings of each generator (default: 0 1 2)")
    made.add_argument("--iterations", type=int, default=3500, help="steps of each training (default: 3500)")
    made.add_argument("--mask-iterations", type=int, default=1500, help="steps of the mask GAN (default: 1500)")
    made.add_argument("--n", type=int, default=250, help="masses inserted and compared (default: 250)")
    made.add_argument("--height", type=int, default=800, help="of the mammograms in px (default: 800)")
    made.add_argument("--jobs", type=int, default=2, help="trainings at once (default: 2)")
    made.add_argument(
        "--generators",
        nargs="+",
        choices=[*PAPER, *FURTHER, *CHOSEN],
        default=[*PAPER, *CHOSEN],
        help="default: the paper's four, and best",
    )
    made.add_argument("--cell", nargs=2, metavar=("GENERATOR", "SEED"), help=argparse.SUPPRESS)
    return made


def main() -> None:
    args = arguments().parse_args()

    def work() -> None:
        if args.cell:
            cell(args, args.cell[0], int(args.cell[1]))
            return
        if set(args.generators) & set(CHOSEN) and SEAM not in args.generators:
            raise PipelineError(f"--generators {' '.join(CHOSEN)}: takes the trainings of {SEAM}, which has to be named too")
        prepare(args)
        for taken in (False, True):  # first those that train
            run_cells(args, [(name, seed) for seed in args.seeds for name in args.generators if (name in CHOSEN) == taken])
        write_report(args, collect(args, args.generators))

    guarded(work, args.debug)


if __name__ == "__main__":
    main()
