"""The paper's four infilling generators on real masses, several trainings each, and every measure of how real they look.

    python -m benchmarks.synthesis --data ../shared/data/cbis-ddsm --seeds 0 1 2 --out docs/results/synthesis

DATA is a folder with cases.csv, as data.source table reads it. Settings are params.yaml with the profile cbis-cpu, mammograms
800 px high and patches of 64 px, which is about the true size of a padded mass there; the painted masses of the paper's generators
are all kept, and as strong as painted (`CHOSEN` has what differs for `best`). Everything learns from masses of training patients
of split.fold 0 alone, and is compared with those of --held-out: `val`, whose patients all choices are made on, or, once, `test`.
Each training is a process with one thread, --jobs of them at once; all of it can be interrupted and called again. The measures of a
training are kept as OUT/measures/<generator>-<seed>.json, and what is there is not trained again: with all of them there, OUT is
made anew without DATA. Writes OUT: README.md, results.json and figures. What a person saw goes into OUT/NOTES.md, which is put at
the end of README.md. Patches that hold nearly every mass without making it smaller (these films are 800 px high; more height would
enlarge them), one training:

    python -m benchmarks.synthesis --data DATA --patch-px 128 --no-seam --seeds 0 --generators tri_unet best --precision bf16 \\
        --work build/synthesis-128 --out docs/results/synthesis/128
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

from benchmarks import synthesis_measures, synthesis_page
from pipeline.cli import guarded, parser
from pipeline.errors import PipelineError, raise_all
from pipeline.io import read_json, write_json
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
# What a user would take, chosen on development patients: a training of the paper's method, its masses the best of four by the
# discriminator, as grainy as the tissue around, and put in without touching that tissue.
CHOSEN: dict[str, dict[str, Any]] = {"best": {"gen": {"grain": 1.0}, "synth": {"keep": 0.25, "blend": "mask"}}}
SHARED = ("masks", "sham")  # trained once for all of them
SEAM = "tri_unet"  # the generator whose like is trained on healthy tissue too, and whose trainings CHOSEN takes


def settings(args: argparse.Namespace, generator: str) -> Params:
    """params.yaml with the profile and the arguments of this run."""
    overlay = {
        "runtime": {"threads": 1, "precision": args.precision, "workers": 0},
        "data": {"root": str(args.data)},
        "preprocess": {"height": args.height, "patch_px": args.patch_px},
        "masks": {"iterations": args.mask_iterations},
        "gen": {**{**PAPER, **FURTHER}[trained_as(generator)], "train": {"iterations": args.iterations}},
        "synth": {"keep": 1.0, "contrast": 1.0},
        "pools": {"gan": {"n": args.n}},
        "study": {"points": ["real"], "baselines": [], "controls": ["sham"] if args.seam else []},
        "quality": {"n": args.n},
    }
    params = merge(merge(read_yaml(Path("params.yaml")), read("cbis-cpu")), overlay)
    return check(merge(params, CHOSEN.get(generator, {})))


def trained_as(generator: str) -> str:
    """The generator whose trainings this one takes: its own, but for those of CHOSEN."""
    return SEAM if generator in CHOSEN else generator


def prepare(args: argparse.Namespace) -> None:
    """What all trainings learn from, below --work: prepared data and weights."""
    from pipeline import weights
    from pipeline.data.adapters import records, state
    from pipeline.data.canonical import write
    from pipeline.preprocess.prepare import prepare as preprocess

    params, work = settings(args, SEAM), args.work
    _same_study(args)
    if not (work / "prepared/patches/patches.csv").is_file():
        write(work / "raw", lambda done: records(params, done), params.data.on_error, state(params))
        preprocess(work / "raw", work / "prepared", params.preprocess, params.split, params.seed)
    if not (work / "weights/weights.json").is_file():
        weights.write(work / "weights", "vgg16")


def share(args: argparse.Namespace, name: str) -> None:
    """Train what all generators share, below --work: `masks`, or `sham`, the generator of healthy tissue; nothing where it is there."""
    from pipeline.gan import infill, masks, patches
    from pipeline.synthesis import healthy
    from pipeline.synthesis.sources import Sources

    params, work, target = settings(args, SEAM), args.work, args.work / "shared" / name
    prepared, state = work / "prepared", work / "resume" / name
    if (target / "meta.json").is_file():
        return
    if name == "masks":
        masks.train(prepared / "patches", target, params.masks, params.runtime, params.seed, state)
        return
    side, synth = patches.read(prepared / "patches", ["train"]).patch_px, params.synth
    sources = Sources(prepared / "train", prepared / "patches", params.seed)
    tissue = healthy.patches(sources, synth.hosts, synth.sizes, synth.position, side)
    infill.train(tissue, work / "weights", target, params.gen, "vgg16", params.runtime, params.seed, state)


TRAINED = ("data", "height", "patch_px", "iterations", "mask_iterations", "precision")  # arguments that a training depends on


def _same_study(args: argparse.Namespace) -> None:
    """Raises PipelineError where --work holds trainings of other settings, which would be taken for those of this call."""
    asked = {name: str(getattr(args, name)) for name in TRAINED}
    path = args.work / "study.json"
    held = read_json(path) if path.is_file() else asked
    raise_all(_differing(held, asked), f"{args.work} holds a study with other settings; name another --work")
    write_json(path, asked)


def _differing(held: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    there = {name: held.get(name, "not named") for name in asked}  # an older study may lack an argument
    return [f"--{name.replace('_', '-')}: {there[name]} there, {value} here" for name, value in asked.items() if there[name] != value]


def kept(args: argparse.Namespace, generator: str, seed: int) -> dict[str, Any] | None:
    """What OUT holds of one training: study, masses, quality. Raises PipelineError where it was made with other settings."""
    path = _kept_path(args, generator, seed)
    if not path.is_file():
        return None
    found: dict[str, Any] = read_json(path)
    raise_all(_differing(found["study"], _study(args)), f"{path} is of a study with other settings; name another --out")
    return found


def _kept_path(args: argparse.Namespace, generator: str, seed: int) -> Path:
    path: Path = args.out / "measures" / f"{generator}-{seed}.json"
    return path


def _study(args: argparse.Namespace) -> dict[str, Any]:
    """What measures depend on besides generator, seed and data."""
    return {name: getattr(args, name) for name in (*TRAINED[1:], "n", "held_out", "seam")}


def measured(args: argparse.Namespace, generator: str, seed: int) -> Path:
    """Where measures and figures of one training lie while the study runs."""
    folder: Path = args.work / "cells" / generator / str(seed) / "quality"
    return folder


def trained(args: argparse.Namespace, generator: str, seed: int) -> Path:
    """Folder of the generator that was trained for it, after its training where there is none."""
    from pipeline.gan import infill, patches

    name, work = trained_as(generator), args.work
    params = settings(args, name)
    model: Path = work / "cells" / name / str(seed) / "models/infill"
    if not (model / "meta.json").is_file():
        real = patches.read(work / "prepared/patches", ["train"])
        infill.train(real, work / "weights", model, params.gen, "vgg16", params.runtime, seed, work / "resume" / name / str(seed))
    return model


def cell(args: argparse.Namespace, generator: str, seed: int) -> None:
    """Train one generator once, make its pool, measure it and keep the measures; or train one of SHARED."""
    import torch

    from pipeline import quality
    from pipeline.gan import infill, masks
    from pipeline.realism.measure import Given
    from pipeline.synthesis import inserting, pool
    from pipeline.synthesis.sources import Sources

    torch.set_num_threads(1)
    if generator in SHARED:
        share(args, generator)
        return
    params, work, folder = settings(args, generator), args.work, args.work / "cells" / generator / str(seed)
    prepared, synth = work / "prepared", params.synth
    model = trained(args, generator, seed)
    shared = {name: work / "shared" / name for name in (SHARED if trained_as(generator) == SEAM and args.seam else ("masks",))}
    for name, there in {**shared, "infill": model}.items():
        if there != folder / "models" / name:
            _sampled(there, folder / "models" / name, {} if name == "masks" else {"grain": params.gen.grain})
    sources = Sources(prepared / "train", prepared / "patches", seed)
    placer = sources.placer(synth.hosts, synth.sizes, synth.position)
    draw = inserting.learned_masks(masks.load(folder / "models/masks"), seed)
    method = inserting.gan(sources, placer, infill.load(folder / "models/infill"), draw, synth.blend, synth.keep, contrast=synth.contrast)
    pool.write("gan", method, args.n, seed, folder / "pool")
    given = Given(prepared, None, work / "weights", folder / "models", folder / "pool", synth, args.n, seed, (args.held_out,))
    target = measured(args, generator, seed)
    quality.measure(given, target, params.quality.measures, 1)
    shutil.rmtree(folder / "pool")
    counts = {part: masses(work, part) for part in ("train", args.held_out)}
    write_json(_kept_path(args, generator, seed), {"study": _study(args), "masses": counts, "quality": read_json(target / "quality.json")})


def _sampled(there: Path, here: Path, meta: dict[str, Any]) -> None:
    """The folder of a model that several cells share, with its weights linked and other values in its meta.json."""
    here.mkdir(parents=True, exist_ok=True)
    for path in there.iterdir():
        if path.name != "meta.json" and not (here / path.name).exists():
            (here / path.name).symlink_to(path.resolve())
    write_json(here / "meta.json", {**read_json(there / "meta.json"), **meta})


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


def collect(args: argparse.Namespace, generators: Sequence[str]) -> dict[str, Any]:
    """Measures of every generator over its trainings, and of the controls, with what they were made with."""
    runs = {name: [_found(args, name, seed) for seed in args.seeds] for name in generators}
    counts = next(iter(runs.values()))[0]["masses"]
    reports = {name: [one["quality"] for one in found] for name, found in runs.items()}
    return {"settings": {"seeds": args.seeds, **_study(args), "masses": counts}, **synthesis_measures.over_trainings(reports)}


def _found(args: argparse.Namespace, generator: str, seed: int) -> dict[str, Any]:
    found = kept(args, generator, seed)
    if found is None:
        raise PipelineError(f"{_kept_path(args, generator, seed)} is missing; call the command again to go on")
    return found


def masses(work: Path, part: str) -> dict[str, int]:
    """How many real masses of how many patients a part of the split has."""
    import pandas as pd

    table = pd.read_csv(work / "prepared/patches/patches.csv", dtype=str)
    patients = table.loc[table["split"] == part, "patient_id"]
    return {"masses": len(patients), "patients": patients.nunique()}


def _command(args: argparse.Namespace) -> str:
    """The call, less --data and the folders: what differs from the defaults, and what decides in any case."""
    always = ("seeds", "iterations", "n", "held_out")
    given = {name: getattr(args, name) for name in (*always, "height", "patch_px", "mask_iterations", "precision", "generators")}
    told = {name: value for name, value in given.items() if name in always or value != arguments().get_default(name)}
    parts = [
        f"--{name.replace('_', '-')} {' '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in told.items()
    ]
    return " ".join(["python -m benchmarks.synthesis --data DATA", *parts, *([] if args.seam else ["--no-seam"])])


def arguments() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--data", type=Path, required=True, help="folder with cases.csv")
    made.add_argument(
        "--work", type=Path, default=Path("build/synthesis"), help="folder for everything in between (default: build/synthesis)"
    )
    made.add_argument("--out", type=Path, default=Path("docs/results/synthesis"), help="folder to write (default: docs/results/synthesis)")
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="trainings of each generator (default: 0 1 2)")
    made.add_argument("--iterations", type=int, default=2000, help="steps of each training (default: 2000, as profiles/cbis-cpu.yaml)")
    made.add_argument("--mask-iterations", type=int, default=1500, help="steps of the mask GAN (default: 1500)")
    made.add_argument(
        "--precision", choices=["fp32", "bf16"], default="fp32", help="of trainings (default: fp32, since not every processor has bf16)"
    )
    made.add_argument("--n", type=int, default=250, help="masses inserted and compared (default: 250)")
    made.add_argument("--held-out", choices=["val", "test"], default="val", help="part whose masses are compared with (default: val)")
    made.add_argument("--height", type=int, default=800, help="of the mammograms in px (default: 800)")
    made.add_argument("--patch-px", type=int, default=64, help="side of the patches (default: 64)")
    made.add_argument(
        "--seam", action=argparse.BooleanOptionalAction, default=True, help="train a generator of healthy tissue too (default: yes)"
    )
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
        missing = [(name, seed) for seed in args.seeds for name in args.generators if kept(args, name, seed) is None]
        if missing:
            prepare(args)
            run_cells(args, [(name, 0) for name in SHARED if name == "masks" or args.seam])
        for seed, before in zip([*args.seeds, None], [None, *args.seeds], strict=True):  # CHOSEN when what they take is trained
            run_cells(args, [one for one in missing if one[1] == (before if one[0] in CHOSEN else seed)])
        shown = next((name for name in (*CHOSEN, SEAM) if name in args.generators), args.generators[0])
        samples = args.work / "cells" / shown / str(args.seeds[0]) / "models/infill/samples.png"
        sheets = synthesis_page.Shown(shown, measured(args, shown, args.seeds[0]), samples)
        synthesis_page.write(args.out, _command(args), collect(args, args.generators), sheets)

    guarded(work, args.debug)


if __name__ == "__main__":
    main()
