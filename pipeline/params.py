"""The schema of params.yaml: types, ranges and combinations, all checked before any work starts."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import PipelineError, raise_all

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
ARCHS = ("light_head", "faster_rcnn_c4", "faster_rcnn_fpn", "retinanet")  # of detectors; pipeline/detection/config.py
Betas = Annotated[list[float], Field(min_length=2, max_length=2)]


class Block(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Runtime(Block):
    threads: Positive
    precision: Literal["auto", "bf16", "fp32"]
    workers: int = Field(ge=0)


class Data(Block):
    source: Literal["phantom", "table", "coco", "cbis_ddsm", "ddsm", "inbreast", "mini_mias"]
    root: str | list[str] | None
    select: Literal["malignant", "benign", "all"]
    window: Literal["none", "voi"]
    on_error: Literal["fail", "skip"]
    normals: Literal["table", "coco", "cbis_ddsm", "ddsm", "inbreast", "mini_mias"] | None
    normals_root: str | None

    @property
    def roots(self) -> list[str]:
        """The folders of the source, in their order; none for the phantom."""
        if self.source == "phantom" or self.root is None:
            return []
        return [self.root] if isinstance(self.root, str) else self.root

    @model_validator(mode="after")
    def _needs_root(self) -> Self:
        if self.source != "phantom" and not self.roots:
            raise ValueError(f"source {self.source} needs data.root, the folder that holds it")
        if (self.normals is None) != (self.normals_root is None):
            raise ValueError(
                f"normals ({self.normals}) and normals_root ({self.normals_root}) belong together: give both or set both to null"
            )
        return self


class Phantom(Block):
    n_patients: Positive
    n_normal_patients: int = Field(ge=0)
    height: int = Field(ge=64, le=4096)
    width: int = Field(ge=40, le=4096)


class Split(Block):
    scheme: Literal["holdout", "kfold", "official"]
    test: Share
    val: Share
    folds: int = Field(ge=2)
    fold: int = Field(ge=0)
    fixed_val: bool
    train_fraction: float = Field(gt=0, le=1)

    @model_validator(mode="after")
    def _leaves_training_patients(self) -> Self:
        if self.scheme == "holdout" and self.test + self.val >= 1:
            raise ValueError(f"test {self.test} + val {self.val} leave no training patients")
        if self.scheme == "official" and self.val >= 1:
            raise ValueError(f"val {self.val} leaves no training patients")
        if self.fixed_val and self.scheme != "kfold":
            raise ValueError(f"fixed_val is for scheme kfold; scheme {self.scheme} has one val part: set it to false")
        if self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} is not below folds {self.folds}")
        return self


class Preprocess(Block):
    height: int | None = Field(ge=64)
    patch_px: Literal[32, 64, 128, 256, 512]
    pad_mm: float | None = Field(gt=0)
    pad_px: float | None = Field(gt=0)
    film_height_mm: float = Field(gt=0)
    min_lesion_px: Positive
    targets: Literal["malignant", "benign", "all"]

    @model_validator(mode="after")
    def _one_padding(self) -> Self:
        if (self.pad_mm is None) == (self.pad_px is None):
            raise ValueError(f"give exactly one of pad_mm ({self.pad_mm}) and pad_px ({self.pad_px}); set the other to null")
        return self


class Weights(Block):
    perceptual: Literal["vgg16", "vgg19", "none"]
    file: str | None

    @model_validator(mode="after")
    def _needs_file(self) -> Self:
        if self.perceptual == "vgg19" and self.file is None:
            raise ValueError("perceptual vgg19 needs weights.file, torchvision's vgg19 state dict")
        return self


class Masks(Block):
    z_dim: Positive
    width: Positive
    iterations: Positive
    batch: Positive
    lr: float = Field(gt=0)
    betas: Betas
    ema: float = Field(ge=0, lt=1)
    edge: float = Field(ge=0, le=0.5)
    min_area: Share
    max_area: Share

    @model_validator(mode="after")
    def _areas_in_order(self) -> Self:
        if self.min_area >= self.max_area:
            raise ValueError(f"min_area {self.min_area} is not below max_area {self.max_area}")
        return self


class Width(Block):
    width: Positive


class GenTrain(Block):
    iterations: Positive
    batch: Positive
    lr: float = Field(gt=0)
    betas: Betas
    discriminator_width: Positive
    perceptual_weight: float = Field(ge=0)
    perceptual_layers: list[Annotated[str, Field(pattern=r"^conv[1-5]_[1-4]$")]]
    ema: float = Field(ge=0, lt=1)


class Gen(Block):
    arch: Literal["unet", "crn", "spade"]
    labels: Literal["tri", "two"]
    margin: int = Field(gt=256)
    noise: Literal["mask", "mask+margin", "none"]
    grain: float = Field(ge=0, le=2)
    loss: Literal["bce", "lsgan", "hinge"]
    unet: Width
    crn: Width
    spade: Width
    train: GenTrain

    @model_validator(mode="after")
    def _margin_is_known(self) -> Self:
        if self.labels == "two" and self.noise == "mask+margin":
            raise ValueError("labels two leaves the margin out, but noise mask+margin would show it; set noise to mask, or labels to tri")
        return self


class Diffusion(Block):
    width: int = Field(ge=8, multiple_of=8)
    prediction: Literal["v", "epsilon"]
    steps: int = Field(ge=1, le=1000)
    iterations: Positive
    batch: Positive
    lr: float = Field(gt=0)
    ema: float = Field(ge=0, lt=1)


class Synth(Block):
    hosts: Literal["normals", "lesion_free", "contralateral", "inpainted"]
    masks: Literal["dcgan", "real", "ellipse"]
    sizes: Literal["paper", "lognormal", "empirical"]
    position: Literal["paper", "breast", "tissue"]
    blend: Literal["paste", "feather", "mask", "poisson"]
    keep: float = Field(ge=0.05, le=1)
    contrast: float = Field(gt=0, le=3)


class Pool(Block):
    n: int = Field(ge=0)


class Pools(Block):
    traditional: Pool
    gan: Pool
    fresh: Pool
    copy_paste: Pool
    poisson: Pool
    blob: Pool
    hosts: Pool
    sham: Pool
    diffusion: Pool


class Study(Block):
    points: list[str] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)
    baselines: list[Literal["fresh", "copy_paste", "poisson", "blob", "hosts"]]
    controls: list[Literal["sham"]]
    rivals: list[Literal["diffusion"]]


class Augment(Block):
    flip: Share
    turn: float = Field(ge=0, le=180)
    scale: Share
    shift: Share
    gain: float = Field(ge=0, lt=1)
    offset: Share


class Synthetic(Block):
    mode: Literal["add", "replace", "pretrain"]
    share: float | None = Field(gt=0, lt=1)
    pretrain: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _share_is_of_add(self) -> Self:
        if self.share is not None and self.mode != "add":
            raise ValueError(f"share {self.share} applies to mode add; mode is {self.mode}: set share to null")
        return self


class Detector(Block):
    arch: str
    backbone: Literal["resnet", "efficientnet_lite0"]
    depth: Literal[18, 50, 101]
    width: Positive
    stride: Literal[8, 16]
    mid: Positive
    pool: Literal["average", "maximum"]
    ohem: bool
    anchors: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] | Literal["auto"]
    ratios: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)
    proposals: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    size: Annotated[list[int], Field(min_length=2, max_length=2)] | None
    init: str
    schedule: Literal["iterations", "epochs"]
    iterations: Positive
    epochs: Positive
    batch: Positive
    lr: float = Field(gt=0)
    augment: Augment
    synthetic: Synthetic

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.arch not in ARCHS and not self.arch.endswith(".py"):
            raise ValueError(f"arch {self.arch} is none of {', '.join(ARCHS)} and no .py file")
        if self.backbone != "resnet" and self.arch != "light_head":
            raise ValueError(f"backbone {self.backbone} works with arch light_head; arch is {self.arch}")
        return self


class Detect(Block):
    score_min: Share
    max_per_image: Positive
    nms: float = Field(gt=0, le=1)
    flip: bool
    scales: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)


class Evaluate(Block):
    hit: str = Field(pattern=r"^(iou:(0?\.\d*[1-9]\d*|1(\.0+)?)|centre|distance:(\d*[1-9]\d*(\.\d+)?|\d+\.\d*[1-9]\d*))$")
    duplicates: Literal["fp", "ignore"]
    images: Literal["all", "lesion", "normal"]
    bootstrap: int = Field(ge=0)
    recall_score: Share


class Quality(Block):
    n: Positive
    measures: list[Literal["rivals", "lesions", "distances", "classifier", "copies"]]


class Report(Block):
    real_pixels: bool


class Params(Block):
    """All of params.yaml; field names are its keys."""

    seed: int = Field(ge=0)
    runtime: Runtime
    data: Data
    phantom: Phantom
    split: Split
    preprocess: Preprocess
    weights: Weights
    masks: Masks
    gen: Gen
    diffusion: Diffusion
    synth: Synth
    pools: Pools
    curve: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")], dict[str, Positive]]
    study: Study
    detector: Detector
    detect: Detect
    evaluate: Evaluate
    quality: Quality
    report: Report

    @model_validator(mode="after")
    def _points_can_be_built(self) -> Self:
        offences = list(self._offences())
        if offences:
            raise ValueError("; ".join(offences))
        return self

    def mixture(self, point: str) -> dict[str, int]:
        """Pool -> n of a point. Raises PipelineError that lists the points where there is none of that name."""
        if point not in self.curve:
            raise PipelineError(f"no point {point}; points are {', '.join(self.curve)}")
        return self.curve[point]

    @property
    def needs_healthy_generator(self) -> bool:
        """Whether a generator of healthy tissue is trained: for the pool sham, or for hosts whose masses are painted over."""
        return "sham" in self.study.controls or self.synth.hosts == "inpainted"

    @property
    def built_pools(self) -> set[str]:
        """Names of the pools that have a stage."""
        return {"traditional", "gan", *self.study.baselines, *self.study.controls, *self.study.rivals}

    def _offences(self) -> Any:
        lists = {"sham": "controls", "diffusion": "rivals"}
        for name in self.study.points:
            if name not in self.curve:
                yield f"study.points names {name}, which curve does not define; curve has {', '.join(self.curve)}"
        if len(set(self.study.points)) < len(self.study.points):
            yield f"study.points names a point twice: {self.study.points}"
        for point in self.study.points:
            for pool, n in self.curve.get(point, {}).items():
                if pool not in type(self.pools).model_fields:
                    yield f"point {point} names pool {pool}; pools are {', '.join(type(self.pools).model_fields)}"
                elif pool not in self.built_pools:
                    yield f"point {point} needs pool {pool}; add {pool} to study.{lists.get(pool, 'baselines')}"
                elif n > getattr(self.pools, pool).n:
                    yield f"point {point} needs {n} images of pool {pool}, which holds {getattr(self.pools, pool).n}; raise pools.{pool}.n"
        if self.synth.hosts == "contralateral" and self.data.source == "cbis_ddsm":
            yield "synth.hosts is contralateral, but CBIS-DDSM holds no mammogram of the other, healthy breast; set it to lesion_free"
        if self.data.select == "benign" and self.preprocess.targets == "malignant" and self.data.source not in ("phantom", "table"):
            yield "data.select takes images of benign masses alone, but preprocess.targets is malignant: set it to benign"
        if "fresh" in self.study.baselines and self.data.normals:
            yield "pool fresh draws its hosts again, which it cannot with films of data.normals: set that to null, or take fresh out"
        if "fresh" in self.study.baselines and self.data.source != "phantom":
            yield f"pool fresh is drawn by the phantom's simulator; data.source is {self.data.source}: take fresh out of study.baselines"


def arm(mixture: dict[str, int]) -> str:
    """The arm of a point: the last pool of its mixture, `real` where there is none."""
    return list(mixture)[-1] if mixture else "real"


def read_yaml(path: Path) -> Any:
    """YAML 1.2 (so that 2e-4 is a number) as plain dicts and lists."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise PipelineError(f"{path}: no such file; run from the repository's root or name it with --params") from None
    except (YAMLError, ValueError, RecursionError) as error:  # also not UTF-8, too long a number, too deep
        raise PipelineError(f"{path}: not valid YAML: {error}") from None


def check(values: Any, name: str = "params.yaml") -> Params:
    """Params from plain values. Raises PipelineError that lists every fault at once."""
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc'])) or 'whole file'}: {_message(e)}" for e in error.errors()]
        raise_all(faults, f"{name} cannot be used")
        raise


def _message(error: Any) -> str:
    text = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return "unknown key"
    if error["type"] == "missing":
        return "key is missing"
    return text if isinstance(error["input"], dict) else f"{text}; got {error['input']!r}"


def load(path: Path = Path("params.yaml")) -> Params:
    return check(read_yaml(path), str(path))
