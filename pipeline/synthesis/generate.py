"""Make labelled mammograms from trained models and one's own healthy mammograms, without the pipeline around.

  python -m pipeline.synthesis.generate --models models --hosts DIR --n 100 --out OUT

DIR holds grey images (PNG of 8 or 16 bit, breast bright, no findings). OUT gets images/, masks/ (0/255), annotations.json (COCO),
manifest.json and MODEL_CARD.md. Image i depends on the models, the hosts, the seed and i alone: it is the same whatever --n is.
Images are turned so that the chest wall is on the left, cut to the breast and scaled to --height.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.cli import guarded, parser
from pipeline.errors import PipelineError, raise_all
from pipeline.io import write_png

FILM_HEIGHT_MM = 240.0  # of a host whose spacing is not given, as preprocess.film_height_mm
ENDINGS = {".png", ".pgm", ".tif", ".tiff"}


@dataclass(frozen=True)
class Own:
    """In the place of an experiment: its seed, and the patients that its models may have seen."""

    seed: int
    training: frozenset[str]


def generate(
    models: Path,
    hosts: Path,
    out: Path,
    n: int,
    *,
    seed: int = 0,
    height: int | None = 800,
    spacing_mm: float | None = None,
    blend: str = "mask",
    keep: float = 1.0,
    quality: Path | None = None,
    position: str = "breast",
    contrast: float = 1.0,
) -> None:
    """Write the folder `out`; it is complete or absent.

    models: folder with masks/, infill/ and sizes.json. hosts: folder of healthy mammograms. height: of the results in px; None: as given.
    spacing_mm: of a pixel of the hosts; None: taken from a film height of 240 mm. blend, keep, position, contrast: as in the
    block `synth` of the params. quality: a quality.json that was measured with these models. Raises PipelineError where `out`
    exists, where a host cannot be used, and where a model or the sizes of masses are missing.
    """
    from pipeline.gan import infill, masks
    from pipeline.synthesis import card, inserting, pool
    from pipeline.synthesis.laws import SizeLaw
    from pipeline.synthesis.placement import Placer

    if out.exists():
        raise PipelineError(f"{out}: exists; remove it, or name another folder with --out")
    infiller, sampler = infill.load(models / "infill"), masks.load(models / "masks")
    law = SizeLaw.read(models / "sizes.json")
    own = Own(seed, frozenset({*infiller.meta["patients"], *sampler.meta["patients"]}))
    with tempfile.TemporaryDirectory() as scratch:
        placer = Placer(seed, prepared(hosts, Path(scratch), height, spacing_mm), law, position)
        method = inserting.gan(own, placer, infiller, inserting.learned_masks(sampler, seed), blend, keep, contrast=contrast)
        files = {"MODEL_CARD.md": card.text(infiller.meta, sampler.meta, len(law.sizes), quality, n, hosts.name)}
        pool.write("generated", method, n, seed, out, masks=True, files=files)


def prepared(folder: Path, scratch: Path, height: int | None, spacing_mm: float | None) -> list[Any]:
    """The images of `folder` as hosts: cleaned, turned, cut and scaled as the stage preprocess does, written below `scratch`.

    Raises PipelineError that lists all files that cannot be used.
    """
    from pipeline.data.reading import read_real
    from pipeline.preprocess.breast import chest_wall_right
    from pipeline.preprocess.cleaning import clean
    from pipeline.preprocess.geometry import Geometry
    from pipeline.preprocess.prepare import regions
    from pipeline.progress import track
    from pipeline.synthesis.placement import Host

    if not folder.is_dir():
        raise PipelineError(f"{folder}: no such folder")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    found: list[Any] = []
    faults = [] if files else [f"{folder} holds no image ({', '.join(sorted(ENDINGS))})"]
    for path in track(files, "hosts"):
        try:
            image = read_real(path)
            view = "MLO" if "MLO" in path.stem.upper() else "CC"
            cleaned = clean(image, view)
        except (PipelineError, ValueError) as error:
            faults.append(f"{path.name}: {error}")
            continue
        flipped = chest_wall_right(cleaned.breast)
        geometry = Geometry.of(cleaned.breast, flipped, height)
        write_png(scratch / "images" / f"{path.stem}.png", geometry.apply(cleaned.image))
        write_png(scratch / "regions" / f"{path.stem}.png", regions(cleaned, geometry))
        record = {
            "file_name": f"images/{path.stem}.png",
            "image_id": path.stem,
            "patient_id": f"host_{path.stem}",  # of whom nothing is known
            "height": geometry.height,
            "width": geometry.width,
            "laterality": "R" if flipped else "L",
            "view": view,
            "spacing_mm": (spacing_mm or FILM_HEIGHT_MM / len(image)) / geometry.scale,
            "spacing_assumed": spacing_mm is None,
        }
        found.append(Host(record, (), scratch))
    raise_all(faults, "hosts that cannot be used; take them out of the folder")
    return found


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--models", type=Path, default=Path("models"), help="folder with masks/, infill/ and sizes.json (default: models)")
    made.add_argument("--hosts", type=Path, required=True, help="folder of healthy mammograms")
    made.add_argument("--n", type=int, required=True, help="number of images, >= 1")
    made.add_argument("--out", type=Path, required=True, help="folder to write; must not exist")
    made.add_argument("--seed", type=int, default=0, help="any integer >= 0 (default: 0)")
    made.add_argument("--height", type=int, default=800, help="height of the results in px, 0: as given (default: 800)")
    made.add_argument("--spacing-mm", type=float, help="side of a pixel of the hosts in mm (default: from a film height of 240 mm)")
    made.add_argument(
        "--blend", choices=("paste", "feather", "mask", "poisson"), default="mask", help="how a mass meets its host (default: mask)"
    )
    made.add_argument(
        "--position",
        choices=("breast", "tissue"),
        default="breast",
        help="tissue: where it is as bright and as varied as around a training mass, for hosts of the same kind (default: breast)",
    )
    made.add_argument("--keep", type=float, default=1.0, help="share of painted masses that is kept, 0.05..1 (default: 1)")
    made.add_argument("--contrast", type=float, default=1.0, help="factor of what is painted onto the tissue, > 0, <= 3 (default: 1)")
    made.add_argument("--quality", type=Path, help="quality.json measured with these models, for the model card")
    made.add_argument("--threads", type=int, default=0, help="CPU threads, 0: all (default: 0)")
    args = made.parse_args()
    guarded(lambda: _run(args), args.debug)


def _run(args: argparse.Namespace) -> None:
    raise_all(
        [
            text
            for text, wrong in (
                (f"--n is {args.n}, not at least 1", args.n < 1),
                (f"--seed is {args.seed}, not at least 0", args.seed < 0),
                (f"--height is {args.height}, neither 0 nor at least 64", 0 != args.height < 64),
                (f"--keep is {args.keep}, not within 0.05..1", not 0.05 <= args.keep <= 1),
                (f"--contrast is {args.contrast}, not above 0 and at most 3", not 0 < args.contrast <= 3),
                (f"--spacing-mm is {args.spacing_mm}, not above 0", args.spacing_mm is not None and args.spacing_mm <= 0),
            )
            if wrong
        ],
        "arguments that cannot be used",
    )
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    given = {key: value for key, value in vars(args).items() if key not in ("debug", "height", "threads")}
    generate(**given, height=args.height or None)


if __name__ == "__main__":
    main()
