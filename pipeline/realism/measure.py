"""How real generated masses look: the measures of `quality.measures`, each beside its controls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.similarity import Lpips
from pipeline.gan import infill, masks
from pipeline.gan.sheets import sheet
from pipeline.params import Synth
from pipeline.realism import classifier, copies, distances, lesions, sets
from pipeline.realism.features import Vgg16
from pipeline.realism.sets import Set
from pipeline.rng import generator
from pipeline.synthesis import inserting
from pipeline.synthesis.placement import Placer
from pipeline.synthesis.pool import Method
from pipeline.synthesis.sources import Sources

SHOWN, REPEATS = 12, 10
HELD_OUT = ("val", "test")
BLENDS = {"paste": "paste", "copy_paste": "feather", "poisson": "poisson"}  # of real masses that are copied
DEFINITIONS = {
    "patches": f"padded masses with {sets.CONTEXT} times their width of film, real ones of {{parts}}, inserted ones of the pools",
    "lesions": "quartiles of real and of generated masses; ks: largest difference of their distribution functions",
    "distances": "kid, fid: kernel and Frechet distance on the mean activations of VGG-16's conv4_3 (not Inception: not comparable with "
    "published values); precision, recall, density, coverage on the same features, 5 neighbours. real: two halves of the real patients. "
    "All on sets of equal size",
    "classifier": "AUC of telling real patches from others: frozen VGG-16 features, linear classifier, 5 folds by patient; 0.5 is "
    "perfect. untouched: the places without a mass; a generator that paints hardly any comes near it, so read this beside the contrast of "
    "lesions. real: two halves of the real patients (mean of 10 divisions). paste: real masses cut out hard and pasted, which must be told",
    "seam": "the same between patches that the generator of healthy tissue filled and the same places untouched",
    "copies": "share of masses nearer to a training mass (LPIPS of the masses alone, scaled to their boxes, all turns) than the nearest "
    "5 % of held-out real ones; copy_paste, which copies, shows what the measure sees",
    **{f"lesions.{key}": text for key, text in lesions.DEFINITIONS.items()},
}


@dataclass(frozen=True)
class Given:
    """Where everything lies (as `quality.measure` gets it), how pools are made, and how many patches are compared."""

    prepared: Path
    painted: Path | None
    weights: Path
    models: Path
    pool: Path
    synth: Synth
    n: int
    seed: int
    held_out: tuple[str, ...] = HELD_OUT  # parts that generated masses are compared with; `val` alone for choices

    @cached_property
    def infiller(self) -> infill.Infiller:
        return infill.load(self.models / "infill")

    @cached_property
    def sources(self) -> Sources:
        return Sources(self.prepared / "train", self.prepared / "patches", self.seed, self.painted)

    @cached_property
    def real(self) -> dict[str, Set]:
        """By part: train, and held_out."""
        side = self.infiller.patch_px
        return {"train": sets.real(self.prepared, ["train"], side), "held_out": sets.real(self.prepared, self.held_out, side)}

    @cached_property
    def all_real(self) -> Set:
        return sets.joined(self.real.values())

    @cached_property
    def gan(self) -> Set:
        return sets.pool(self.pool, self.n, self.infiller.patch_px)

    @cached_property
    def placer(self) -> Placer:
        return self.sources.placer(self.synth.hosts, self.synth.sizes, self.synth.position)

    @cached_property
    def others(self) -> dict[str, Set]:
        """Real masses in the same hosts: cut out hard, with soft edges, and Poisson-blended."""
        return {name: self.made(inserting.copy_paste(self.sources, self.placer, blend), name) for name, blend in BLENDS.items()}

    def rivals(self) -> dict[str, Set]:
        """The same without the hard ones, cut at the frame of the insertion, as LPIPS compares patches."""
        names = [name for name in BLENDS if name != "paste"]
        return {name: self.made(inserting.copy_paste(self.sources, self.placer, BLENDS[name]), name, context=1.0) for name in names}

    @cached_property
    def untouched(self) -> Set:
        """The places of the pools without a mass: what a generator that paints nothing would make."""
        return self.made(inserting.hosts(self.placer), "untouched")

    @cached_property
    def healthy(self) -> dict[str, Set] | None:
        """Holes that the generator of healthy tissue filled, and the same places untouched; None where it was not trained."""
        folder = self.models / "sham"
        if not (folder / "model.pth").is_file():
            return None
        draw = (
            inserting.learned_masks(masks.load(self.models / "masks"), self.seed)
            if self.synth.masks == "dcgan"
            else inserting.MASKS[self.synth.masks](self.sources)
        )
        filled = inserting.gan(self.sources, self.placer, infill.load(folder), draw, self.synth.blend, labelled=False)
        return {"sham": self.made(filled, "sham"), "untouched": self.untouched}

    def made(self, method: Method, name: str, context: float = sets.CONTEXT) -> Set:
        return sets.made(method, self.n, self.infiller.patch_px, name, context)

    @cached_property
    def features(self) -> Callable[[Set], tuple[NDArray[np.float32], NDArray[np.float32]]]:
        network, known = Vgg16(self.weights), dict[int, Any]()

        def of(patches: Set) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            if id(patches) not in known:
                known[id(patches)] = patches, network(patches.images)  # the set is kept, so its id stays its own
            found: tuple[NDArray[np.float32], NDArray[np.float32]] = known[id(patches)][1]
            return found

        return of

    @cached_property
    def lpips(self) -> Lpips:
        return Lpips(self.weights)


def measure(given: Given, measures: Sequence[str]) -> tuple[dict[str, Any], dict[str, NDArray[np.uint8]]]:
    """The named measures (keys of MEASURES), and contact sheets by name. Equal arguments give equal results."""
    report: dict[str, Any] = {}
    pictures: dict[str, NDArray[np.uint8]] = {}
    for name in measures:
        found, sheets = MEASURES[name](given)
        report |= found
        pictures |= sheets
    if report:
        shown = {key: text for key, text in DEFINITIONS.items() if key == "patches" or key.split(".")[0] in report}
        parts = "all parts" if given.held_out == HELD_OUT else f"train and {' and '.join(given.held_out)}"
        report["definitions"] = {**shown, "patches": shown["patches"].format(parts=parts)}
    return report, pictures


def _lesions(given: Given) -> tuple[dict[str, Any], dict[str, Any]]:
    real = {part: lesions.statistics(one) for part, one in given.real.items()}
    both = {key: np.concatenate([real["train"][key], real["held_out"][key]]) for key in lesions.DEFINITIONS}
    pairs = {"gan": (both, lesions.statistics(given.gan)), "real": (real["train"], real["held_out"])}
    return {"lesions": {name: lesions.compare(*pair) for name, pair in pairs.items()}}, {}


def halves(patients: Sequence[str], seed: int, repeat: int) -> NDArray[np.bool_]:
    """(N,) bool: a random half of the patients, as evenly as whole patients allow."""
    names, index = np.unique(patients, return_inverse=True)
    return np.asarray(generator(seed, "halves", repeat).permutation(len(names))[index] % 2 == 0)


def _distances(given: Given) -> tuple[dict[str, Any], dict[str, Any]]:
    """The size of the sets is that of the smaller half of the real ones, because most of these numbers depend on it."""
    real, _ = given.features(given.all_real)
    first = halves(given.all_real.patients, given.seed, 0)
    size = min(given.n, int(first.sum()), int((~first).sum()))
    reference, floor = real[first][:size], real[~first][:size]
    rows = {
        "real": floor,
        "gan": given.features(given.gan)[0],
        **{name: given.features(one)[0] for name, one in {**given.others, "untouched": given.untouched}.items()},
    }
    return {
        "distances": {
            name: {"kid": distances.kernel(reference, other[:size]), "fid": distances.frechet(reference, other[:size]),
                   **distances.coverage(reference, other[:size]), "n": [len(reference), len(other[:size])]}
            for name, other in rows.items()
        }
    }, {}  # fmt: skip


def _classifier(given: Given) -> tuple[dict[str, Any], dict[str, Any]]:
    chosen = np.sort(generator(given.seed, "classifier real").permutation(len(given.all_real))[: given.n])
    real, patients = given.features(given.all_real)[1][chosen], [given.all_real.patients[index] for index in chosen]
    rows = {
        name: classifier.separation(real, given.features(one)[1], (patients, one.patients), given.seed)
        for name, one in {"gan": given.gan, **given.others, "untouched": given.untouched}.items()
    }
    floors = []
    every = given.features(given.all_real)[1]
    for repeat in range(REPEATS):
        first = halves(given.all_real.patients, given.seed, repeat)
        split = [[p for p, one in zip(given.all_real.patients, first, strict=True) if one == side] for side in (True, False)]
        floors.append(classifier.separation(every[first], every[~first], split, given.seed + repeat))
    low, high = np.quantile([one["auc"] for one in floors], [0.025, 0.975])
    mean = float(np.mean([one["auc"] for one in floors]))
    rows["real"] = {**floors[0], "auc": mean, "ci_low": float(low), "ci_high": float(high)}
    found: dict[str, Any] = {"classifier": rows}
    if given.healthy:
        sham, untouched = given.healthy["sham"], given.healthy["untouched"]
        plain, filled = (given.features(one)[1] for one in (untouched, sham))
        found["seam"] = {"sham": classifier.separation(plain, filled, (untouched.patients, sham.patients), given.seed)}
    return found, {}


def _copies(given: Given) -> tuple[dict[str, Any], dict[str, Any]]:
    training = given.real["train"]
    bank = copies.alone(training)
    _, held_out = copies.nearest(given.lpips, given.real["held_out"], bank)
    found, where = {}, {}
    for name, one in {"gan": given.gan, "copy_paste": given.others["copy_paste"]}.items():
        where[name], distance = copies.nearest(given.lpips, one, bank)
        found[name] = copies.share(distance, held_out)
    shown = np.array(found["gan"]["flagged"][:SHOWN], np.intp)
    if not len(shown):
        return {"copies": found}, {}
    rows = [given.gan.images[shown], training.images[where["gan"][shown]]]
    return {"copies": found}, {"copies": sheet([list(row) for row in rows], ["generated", "training"])}


MEASURES: dict[str, Callable[[Given], tuple[dict[str, Any], dict[str, Any]]]] = {
    "lesions": _lesions,
    "distances": _distances,
    "classifier": _classifier,
    "copies": _copies,
}
