"""Do the intervals cover? Studies are simulated from a known truth and evaluated with the functions that reports use.

    python -m benchmarks.coverage --studies 1000 > benchmarks/coverage.md

A study has patients with two views and a mass in each, normal patients, and detectors trained S times each. A mass's
score is the arm's mean + the run's effect + the patient's + the lesion's + noise of this run on this lesion; false
positives are sites with scores of their own, their number varies between patients, and runs share most of each site's
score. tau is the standard deviation of the run's effect. So patients cluster, runs vary, and runs agree in part.
"""

import argparse
from collections.abc import Callable, Iterable

import numpy as np
from scipy.special import ndtr, ndtri

from pipeline.evaluation.bootstrap import interval, resample
from pipeline.evaluation.components import Group, difference, mean, run_variance
from pipeline.evaluation.events import Events
from pipeline.evaluation.froc import scalars
from pipeline.evaluation.truth import Floats

SITES, PATIENT, LESION, NOISE, SITE = 6.0, 0.7, 0.5, 0.5, 0.6  # sites an image; spreads; share of a site's variance that runs share
MEANS = (1.5, 1.0, 1.25)  # of the arms
SPREAD = np.sqrt(PATIENT**2 + LESION**2 + NOISE**2)
RESAMPLES = 400


def sensitivity(at: Floats | float, centre: Floats | float, tau: float = 0.0) -> Floats:
    """True sensitivity of a run, or averaged over runs, at `at` false positives per image."""
    return ndtr((centre - ndtri(1 - at / SITES)) / np.hypot(SPREAD, tau))


def truths(centre: float) -> dict[str, float]:
    grid = (np.arange(2000) + 0.5) / 2000
    return {
        "sens_at_1fp": float(sensitivity(1.0, centre)),
        "auc_0_1": float(sensitivity(grid, centre).mean()),
        "recall": float(ndtr((centre - 0.5) / SPREAD)),
    }


def study(rng: np.random.Generator, patients: int, normals: int, runs: int, tau: float) -> tuple[list[list[Events]], Floats]:
    """Events of each arm's runs, and (arms, runs) the centre of each run's scores."""
    clusters = patients + normals
    of_unit, of_image = np.repeat(np.arange(patients), 2), np.repeat(np.arange(clusters), 2)
    lesion = rng.normal(0, PATIENT, patients)[of_unit] + rng.normal(0, LESION, 2 * patients)
    of_fp = np.repeat(of_image, rng.poisson(SITES * rng.gamma(4, 1 / 4, clusters)[of_image]))
    site = rng.normal(0, np.sqrt(SITE), len(of_fp))
    centres = np.array(MEANS)[:, None] + rng.normal(0, tau, (len(MEANS), runs))

    def one(centre: float) -> Events:
        false = site + rng.normal(0, np.sqrt(1 - SITE), len(site))
        order = np.argsort(-false)
        score = centre + lesion + rng.normal(0, NOISE, len(lesion))
        return Events(score, of_unit, false[order], of_fp[order], np.full(clusters, 2), np.empty(0))

    return [[one(centre) for centre in row] for row in centres], centres


def naive(groups: Iterable[tuple[int, Group]], rng: np.random.Generator) -> tuple[float, float]:
    """The usual two-level percentile bootstrap, for comparison: patients and runs both drawn with replacement."""
    draws = 0.0
    for sign, group in groups:
        drawn = rng.integers(0, len(group.values), (len(group.values), RESAMPLES))
        draws = draws + sign * group.draws[drawn, np.arange(RESAMPLES)].mean(0)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def cover(rng: np.random.Generator, studies: int, patients: int, normals: int, runs: int, tau: float) -> dict[str, tuple[float, float]]:
    """For each kind of interval the share of studies in which it holds the truth, and its mean width."""
    seen: dict[str, list[tuple[bool, float]]] = {}

    def note(name: str, span: tuple[float, float], truth: float) -> None:
        seen.setdefault(name, []).append((span[0] <= truth <= span[1], span[1] - span[0]))

    average = sensitivity(1.0, np.array(MEANS), tau)
    for number in range(studies):
        arms, centres = study(rng, patients, normals, runs, tau)
        weights = resample(patients + normals, RESAMPLES, int(rng.integers(2**31)), number)
        drawn = [[scalars(events, weights) for events in arm] for arm in arms]
        for name, truth in truths(float(centres[0, 0])).items():
            values = drawn[0][0][name]
            note(f"one run, {name}", interval(values[0], values[1:], patients), truth)
        table = np.array([[one["sens_at_1fp"] for one in arm] for arm in drawn])
        groups = [Group(arm[:, 0], arm[:, 1:]) for arm in table]
        note("mean over runs", mean([(1, groups[0])], patients, run_variance(groups)).ci95, float(average[0]))
        note("difference", difference([(1, groups[0]), (-1, groups[1])], patients).ci95, float(average[0] - average[1]))
        note("difference, two-level percentile", naive([(1, groups[0]), (-1, groups[1])], rng), float(average[0] - average[1]))
    return {name: (float(np.mean([hit for hit, _ in rows])), float(np.mean([width for _, width in rows]))) for name, rows in seen.items()}


def report(studies: int, say: Callable[[str], None]) -> None:
    say("# Coverage of the 95 % intervals\n")
    error = 100 * np.sqrt(0.05 * 0.95 / studies)
    say(f"Written by `python -m benchmarks.coverage --studies {studies}`. Each entry: per cent of {studies} simulated")
    say(f"studies whose interval holds the truth (standard error {error:.1f}), in brackets the mean width of the interval.")
    say(f"{len(MEANS)} arms, {RESAMPLES} resamples, two images a patient with a mass in each, half as many patients without.")
    say("tau: spread of the runs' effect on scores, whose own spread is 1; at 0.25 the sensitivity of equal trainings")
    say("varies by 0.08 (standard deviation). Sensitivity at 1 false positive per image unless said otherwise. The last column")
    say("is the usual bootstrap that draws patients and runs with replacement; no report uses it. One run says nothing of")
    say("tau, so with one run only tau 0 is shown: intervals from one training cover patients, not trainings.\n")
    header: list[str] = []
    for patients in (40, 120):
        for runs in (1, 2, 3, 5):
            for tau in (0.0,) if runs == 1 else (0.0, 0.1, 0.25):
                rng = np.random.default_rng([patients, runs, int(100 * tau)])
                got = cover(rng, studies, patients, patients // 2, runs, tau)
                if not header:
                    header = list(got)
                    say("| patients | runs | tau | " + " | ".join(header) + " |")
                    say("|---" * (3 + len(header)) + "|")
                say(
                    f"| {patients} | {runs} | {tau} | "
                    + " | ".join(f"{100 * got[name][0]:.1f} ({got[name][1]:.3f})" for name in header)
                    + " |"
                )


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--studies", type=int, default=1000)
    report(made.parse_args().studies, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
