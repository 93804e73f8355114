"""The report of a run: figures, summary, and the page."""

import importlib.metadata
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.io import atomic_folder, read_json, sha256, write_json, write_text
from pipeline.params import Params
from pipeline.report import charts, definitions, figures, page, qc, tables, worst
from pipeline.report import quality as quality_tables
from pipeline.report.paper import generator_title
from pipeline.report.results import Results, operating_points, read
from pipeline.report.tables import Cell, Table

PACKAGES = (
    "torch", "torchvision", "onedl-mmdetection", "onedl-mmengine", "onedl-mmcv", "numpy", "scipy", "scikit-image", "opencv-python-headless",
    "pandas", "pycocotools", "lpips", "dvc",
)  # fmt: skip
DETECTORS = {
    "light_head": "Light-Head R-CNN", "faster_rcnn_c4": "Faster R-CNN (C4)", "faster_rcnn_fpn": "Faster R-CNN (FPN)",
    "retinanet": "RetinaNet",
}  # fmt: skip
SECTIONS = [
    ("augmentation", "Augmentation curve"), ("operating", "FROC"), ("contrasts", "Contrasts"), ("table1", "Table 1"),
    ("worst", "Worst cases"), ("quality", "Quality"), ("qc", "Data QC"), ("definitions", "Definitions"), ("made", "How it was made"),
]  # fmt: skip


@dataclass(frozen=True)
class Paths:
    """Where a report comes from and goes to.

    reports: folder that holds metrics.json and froc.csv, and is written to. quality: folder with quality.json and contact
    sheets (*.png). models: title to the folder of each GAN (losses.csv). weights: weights.json. prepared: the mammograms
    by part. predictions: folder of <point>/<seed>.json. inputs: files whose hashes are listed.
    """

    reports: Path
    quality: Path
    models: dict[str, Path]
    weights: Path
    prepared: Path
    predictions: Path
    inputs: list[Path]


def write(params: Params, paths: Paths) -> None:
    """Write figures/, summary.json, quality.json, index.html and qc.html into `paths.reports`. Equal inputs give equal bytes."""
    results = read(paths.reports, params.curve, params.study.points)
    worst_of = worst.read(params, results, paths.prepared / "test/annotations.json", paths.predictions)
    with atomic_folder(paths.reports / "figures") as folder:
        how = definitions.training(params.detector.model_dump())
        figures.augmentation_curve(results, folder, how)
        figures.froc(results, folder, how)
        figures.differences(results, params.evaluate, folder)
        figures.losses({name: pd.read_csv(path / "losses.csv") for name, path in paths.models.items()}, folder)
        for sheet in sheets(params, paths.quality):
            shutil.copyfile(sheet, folder / sheet.name)
        if shows_pixels(params):
            worst.draw(worst_of, folder)
    qc.write(qc.read(paths.prepared), shows_pixels(params), paths.reports / "qc.html")
    write_json(paths.reports / "summary.json", tables.summary(results))
    shutil.copyfile(paths.quality / "quality.json", paths.reports / "quality.json")
    write_text(paths.reports / "index.html", page.render("index.html", SECTIONS, **content(params, results, worst_of, paths)))


def shows_pixels(params: Params) -> bool:
    """Whether mammograms may be shown: always where all are phantoms, else only where `report.real_pixels` says so."""
    return (params.data.source == "phantom" and params.data.normals is None) or params.report.real_pixels


def sheets(params: Params, quality: Path) -> list[Path]:
    """The contact sheets that may be shown."""
    return sorted(quality.glob("*.png")) if shows_pixels(params) else []


def content(params: Params, results: Results, worst_of: worst.Worst, paths: Paths) -> dict[str, Any]:
    """Everything that page/index.html lays out. paths.reports: with figures/ in it."""
    checked = qc.read(paths.prepared)
    measured, drawn = read_json(paths.quality / "quality.json"), paths.reports / "figures"
    pictures = [(text, drawn / f"{name}.png") for name, text in worst.CAPTIONS.items()] if shows_pixels(params) else []
    return {
        "title": "Synthetic masses for mass detection in mammograms",
        "subtitle": subtitle(params, results),
        "notices": [*([page.PHANTOM] if params.data.source == "phantom" else []), *quality_tables.warnings(measured)],
        "cards": tables.cards(results),
        "points": tables.points_table(results, params),
        "operating_points": ", ".join(f"{at:g}" for at, _ in operating_points(results.metrics)),
        "contrasts": tables.contrasts_table(results, params),
        "strata": tables.strata_table(results),
        "recovered": tables.recovered_table(results),
        "second": tables.second_table(results),
        "table_1": tables.table_1([trained(params, results, measured)], params.evaluate),
        "quality": quality_tables.tables(measured, params.synth.hosts),
        "sheets": [(quality_tables.SHEETS.get(path.stem, path.stem), page.data_uri(path)) for path in sheets(params, paths.quality)],
        "shows_pixels": shows_pixels(params),
        "worst": worst.tables(worst_of),
        "worst_of": f"training {worst_of.seed} of {worst_of.point}",
        "worst_pictures": [(text, page.data_uri(path)) for text, path in pictures if path.is_file()],
        "qc": qc.tables(checked),
        "qc_pictures": qc.pictures(checked, shows_pixels(params), qc.WORST),
        "images": page.images(drawn),
        "definitions": [
            *definitions.general(params.evaluate, definitions.effort(params.detector.model_dump())),
            *definitions.listed(results.metrics, params.evaluate),
            *quality_tables.definitions(measured),
        ],
        "notes": [*results.notes, *(f"{point.name}: {note}" for point in results.points for note in point.notes)],
        "test_set": _pairs("Test set", ("What", "Count"), {key.replace("_", " "): str(value) for key, value in results.test.items()}),
        "weights": _weights(read_json(paths.weights)),
        "versions": _pairs("Software", ("Package", "Version"), versions(measured)),
        "inputs": _pairs("Files behind this page", ("File", "SHA-256"), {path.as_posix(): sha256(path) for path in paths.inputs}, "hash"),
        "params": yaml_text(params),
        "data": charts.data(results, params),
    }  # fmt: skip


def subtitle(params: Params, results: Results) -> str:
    test, gen, seeds = results.test, params.gen, len(params.study.seeds)
    return (
        f"Data: {params.data.source}. Generator: {generator_title(gen.arch, gen.labels)}. "
        f"Detector: {detector_title(params)}, "
        f"{seeds} training{'s' if seeds > 1 else ''} of each point. Test set: {test['n_lesions']} lesions in {test['n_images']} images of "
        f"{test['n_patients']} patients."
    )


def detector_title(params: Params) -> str:
    """Name of the detector and its backbone; the file name where it is a config of MMDetection."""
    detector = params.detector
    if detector.arch not in DETECTORS:
        return Path(detector.arch).name
    backbone = f"ResNet-{detector.depth}" if detector.backbone == "resnet" else "EfficientNet-Lite0"
    return f"{DETECTORS[detector.arch]} with {backbone}"


def trained(params: Params, results: Results, measured: Any) -> tables.Trained:
    """The generator of this experiment, for Table 1. measured: quality.json."""
    return tables.Trained(params.gen.arch, params.gen.labels, quality_tables.lpips_rows(measured), tables.gan_point(results))


def versions(measured: Any) -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on, and the precision of trainings here. measured: quality.json."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **packages, "precision of the trainings": measured["generator"]["precision"]}


def yaml_text(params: Params) -> str:
    """All params as YAML, in the order of params.yaml."""
    import io

    from ruamel.yaml import YAML

    yaml, text = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style, yaml.sort_base_mapping_type_on_output = None, False  # type: ignore[assignment]
    yaml.dump(params.model_dump(), text)
    return text.getvalue()


def _pairs(caption: str, columns: tuple[str, str], values: dict[str, str], kind: str = "") -> Table:
    return Table(caption, [Cell(name) for name in columns], [[Cell(key), Cell(value, kind)] for key, value in values.items()])


def _weights(record: dict[str, dict[str, str]]) -> Table:
    rows = [[Cell(name), Cell(one.get("source", "")), Cell(one["sha256"], "hash")] for name, one in sorted(record.items())]
    return Table("ImageNet weights used by the perceptual loss and by LPIPS", [Cell("Network"), Cell("Source"), Cell("SHA-256")], rows)
