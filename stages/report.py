"""Write the report of the run: reports/index.html, summary.json, quality.json and figures/ (PNG, SVG and CSV).

Reads what evaluate and quality wrote, detections and test images. Pictures of real mammograms are left out unless
report.real_pixels is true.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stage_main

if TYPE_CHECKING:
    from pipeline.params import Params

REPORTS = Path("reports")
MODELS = {"Mask GAN": Path("models/masks"), "Infilling GAN": Path("models/infill")}


def run(args: argparse.Namespace, params: "Params") -> None:
    from pipeline.report import build

    inputs = [REPORTS / name for name in ("metrics.json", "curve.csv", "froc.csv")]
    inputs += [Path("data/quality/quality.json"), Path("data/prepared/test/annotations.json")]
    inputs += [Path(f"data/trainsets/{point}/annotations.json") for point in params.study.points]
    inputs += [folder / "model.pth" for folder in MODELS.values()]
    weights, prepared = Path("data/weights/weights.json"), Path("data/prepared")
    build.write(params, build.Paths(REPORTS, Path("data/quality"), MODELS, weights, prepared, Path("predictions"), inputs))


if __name__ == "__main__":
    stage_main(run, __doc__)
