"""Several experiments as one study: folds pooled, points that are the same kept once, the others told apart by a label.

Experiments that differ in `split.fold` alone are one family: their test parts are disjoint, so their detections are
pooled and evaluated as one test set (each fold's scores are taken as comparable). Families with the same test set are
evaluated together, on the same resampled patients, so that their points can be compared in pairs.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipeline import coco
from pipeline.comparison.experiments import Experiment, differing, flat
from pipeline.errors import PipelineError, raise_all
from pipeline.evaluation import study
from pipeline.evaluation.truth import Truth, detections, truth
from pipeline.report.paper import generator_title
from pipeline.report.style import variant

Results = list[dict[str, Any]]


@dataclass(frozen=True)
class Family:
    """One way of making detectors, on one or several folds. label: what sets it apart; test: pooled COCO ground truth."""

    label: str
    folds: list[Experiment]
    test: dict[str, Any]
    predictions: dict[tuple[str, int], Results]

    @property
    def generator(self) -> tuple[str, str]:
        return self.folds[0].generator

    @property
    def name(self) -> str:
        return ", ".join(one.name for one in self.folds)

    def size(self, point: str) -> dict[str, Any]:
        """arm and n_train, n_synthetic of a point, the mean over folds rounded; val: the mean headline on validation images, if known."""
        every = [one.sizes[point] for one in self.folds]
        means = {key: round(float(np.mean([one[key] for one in every]))) for key in ("n_train", "n_synthetic")}
        val = [float(value) for one in every if (value := one.get("val_sens_at_1fp")) is not None]
        return {"arm": every[0]["arm"], **means, "val": float(np.mean(val)) if len(val) == len(every) else None}


@dataclass(frozen=True)
class Member:
    """A point of the joint study. family: label of its family, empty where all share it; mixture: images of each pool or variant."""

    point: study.Point
    family: str
    mixture: dict[str, int]


@dataclass(frozen=True)
class Joint:
    """Families on one test set. members: name in the joint study -> point; gan: label of a family -> its largest GAN point."""

    families: list[Family]
    truth: Truth
    members: dict[str, Member]
    gan: dict[str, str] = field(default_factory=dict)

    def plan(self, points: Sequence[study.Point], blocks: Mapping[str, Any]) -> list[study.Pair]:
        """Largest GAN point of each family against its real one and the best traditional one, and these points among each other.

        None is primary: with several generators, p values are adjusted over all of them.
        """
        by_name, pairs = {point.name: point for point in points}, []
        largest = [by_name[name] for name in self.gan.values()]
        for label, name in self.gan.items():
            own = [one for one in points if self.members[one.name].family in ("", label)]
            plain = [one for one in own if not self.members[one.name].mixture]
            best = study.best_traditional(own, blocks)
            pairs += [study.Pair(by_name[name], one, "real", False) for one in plain[-1:]]
            pairs += [study.Pair(by_name[name], best, "best_traditional", False)] if best else []
        return pairs + [study.Pair(a, b, "generator", False) for i, a in enumerate(largest) for b in largest[:i]]


def join(experiments: Sequence[Experiment]) -> list[Joint]:
    """Groups of families with one test set, in the order of the experiments.

    Raises PipelineError for folds that share patients or lack points, and for two experiments that cannot be told apart.
    """
    keys = differing(experiments)
    groups: dict[str, list[Experiment]] = {}
    for one in experiments:
        groups.setdefault(json.dumps([flat(one.params).get(key) for key in keys], sort_keys=True), []).append(one)
    families = [_family(_once(group), keys, experiments) for group in groups.values()]
    alike: dict[str, list[Family]] = {}
    for family in families:
        alike.setdefault(_digest([family.test["images"], family.test["annotations"]]), []).append(family)
    return [_joint(one) for one in alike.values()]


def _once(group: Sequence[Experiment]) -> list[Experiment]:
    """Experiments of one family, one a fold: those of equal params are joined, where they found the same in what they share."""
    folds: dict[int, Experiment] = {}
    for one in group:
        fold = one.params["split"]["fold"] if one.params["split"]["scheme"] == "kfold" else 0
        first = folds.setdefault(fold, one)
        shared = set(first.predictions) & set(one.predictions)
        if _digest([first.predictions[cell] for cell in sorted(shared)]) != _digest([one.predictions[cell] for cell in sorted(shared)]):
            raise PipelineError(
                f"experiments {first.name} and {one.name} have equal params and other detections: they were run with other code or data; "
                "name the ones to compare, or run them again"
            )
        folds[fold] = _united(first, one)
    return [folds[fold] for fold in sorted(folds)]


def _united(first: Experiment, one: Experiment) -> Experiment:
    """`first` with the points and seeds that only `one` has."""
    if not set(one.predictions) - set(first.predictions):
        return first
    values = {"points": list(dict.fromkeys([*first.points, *one.points])), "seeds": sorted({*first.seeds, *one.seeds})}
    params = {**first.params, "study": {**first.params["study"], **values}, "curve": {**one.params["curve"], **first.params["curve"]}}
    return replace(first, params=params, predictions={**first.predictions, **one.predictions}, sizes={**one.sizes, **first.sizes})


def _family(folds: list[Experiment], keys: Sequence[str], every: Sequence[Experiment]) -> Family:
    lacking = [
        f"{one.name}: {point}, seed {seed}"
        for one in folds
        for point, seed in {cell: None for other in folds for cell in other.predictions}
        if (point, seed) not in one.predictions
    ]
    raise_all(lacking, "folds of one study need the same points and seeds; these lack some")
    test, numbers = pool({one.name: one.test for one in folds})
    predictions = {
        cell: [{**found, "image_id": numbers[one.name][found["image_id"]]} for one in folds for found in one.predictions[cell]]
        for cell in folds[0].predictions
    }
    return Family(_label(folds[0], keys, len({one.generator for one in every}) > 1), folds, test, predictions)


def _label(one: Experiment, keys: Sequence[str], generators: bool) -> str:
    """The generator where they differ, and every other key in which the experiments differ."""
    values = flat(one.params)
    said = [generator_title(*one.generator)] if generators else []
    return ", ".join([*said, *(f"{key} {values.get(key)}" for key in keys if key not in ("gen.arch", "gen.labels"))])


def pool(tests: Mapping[str, dict[str, Any]]) -> tuple[dict[str, Any], dict[str, dict[int, int]]]:
    """One COCO ground truth of disjoint test parts, and for each of them old image id -> new one.

    Raises PipelineError where an image or a patient is in several parts.
    """
    seen: dict[str, str] = {}
    twice = []
    for name, test in tests.items():
        for patient in sorted({str(image.get("patient_id") or image["image_id"]) for image in test["images"]}):
            if seen.setdefault(patient, name) != name:
                twice.append(f"patient {patient}: {seen[patient]} and {name}")
    raise_all(twice, "test parts of folds share patients: these experiments are no folds of one split")
    records = [(image, lesions) for test in tests.values() for image, lesions in _records(test)]
    merged = coco.assemble(records)
    number = {image["image_id"]: image["id"] for image in merged["images"]}
    return merged, {name: {image["id"]: number[image["image_id"]] for image in test["images"]} for name, test in tests.items()}


def _records(test: dict[str, Any]) -> Iterable[tuple[dict[str, Any], list[dict[str, Any]]]]:
    lesions = coco.by_image(test)
    return ((image, lesions[image["id"]]) for image in test["images"])


def _joint(families: list[Family]) -> Joint:
    """Points of all families: those with equal detections once, those that differ with the family's label."""
    digests = {(family.label, point): _cells(family, point) for family in families for point in _points(family)}
    shared = {point for _, point in digests if len({found for (_, other), found in digests.items() if other == point}) == 1}
    known = truth(families[0].test, "pooled test part" if len(families[0].folds) > 1 else "test part")
    members: dict[str, Member] = {}
    gan: dict[str, str] = {}
    for place, family in enumerate(families):
        for point in _points(family):
            alone = family.label if family.label and (point not in shared or (_is_gan(family, point) and len(families) > 1)) else ""
            name = f"{point} [{alone}]" if alone else point
            if name not in members:
                members[name] = _member(family, point, name, alone, place, known)
        largest = max((point for point in _points(family) if _is_gan(family, point)), key=lambda p: family.size(p)["n_train"], default=None)
        if largest:
            named = f"{largest} [{family.label}]"
            gan[family.label] = named if named in members else largest
    return Joint(families, known, members, gan)


def _points(family: Family) -> list[str]:
    return family.folds[0].points


def _is_gan(family: Family, point: str) -> bool:
    return bool(family.size(point)["arm"] == "gan")


def _pool(arm: str) -> str:
    return arm.partition("@")[0]


def _member(family: Family, point: str, name: str, alone: str, place: int, known: Truth) -> Member:
    size = family.size(point)
    mixture = dict(family.folds[0].params["curve"][point])
    if alone:
        size["arm"] = variant(size["arm"], place, alone)
        mixture = {variant(key, place, alone) if _pool(size["arm"]) == key else key: n for key, n in mixture.items()}
    found = {
        seed: detections(boxes, known, f"{family.name}, {point}, seed {seed}")
        for (other, seed), boxes in family.predictions.items()
        if other == point
    }
    return Member(study.Point(name, found=found, **size), alone, mixture)


def _cells(family: Family, point: str) -> str:
    return _digest([(seed, boxes) for (other, seed), boxes in family.predictions.items() if other == point])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
