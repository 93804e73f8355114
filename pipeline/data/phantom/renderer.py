"""Mammograms of simulated patients, with and without masses, and the adapter that yields all of them."""

import collections
import dataclasses
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context, parent_process

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.data.phantom import calibration as cal
from pipeline.data.phantom.anatomy import Anatomy, anatomy_of
from pipeline.data.phantom.fields import Array
from pipeline.data.phantom.film import Frame, clutter, exposed, frame_of
from pipeline.data.phantom.layout import Patient, patient_of
from pipeline.data.phantom.masses import Mass, insert, new_mass, new_size, seen_again
from pipeline.data.phantom.placement import add_distractors, place
from pipeline.data.records import VIEWS, Case, Lesion
from pipeline.errors import PipelineError
from pipeline.io import from_unit
from pipeline.machine import cores
from pipeline.params import Phantom
from pipeline.rng import generator

MALIGNANT, NORMAL = "M", "N"


@dataclass(frozen=True)
class Rendering:
    """A raw mammogram. image: (H, W) uint16. masses: what is in it; masks: (H, W) bool of each, cut off at skin and film edge."""

    image: NDArray[np.uint16]
    masses: tuple[Mass, ...]
    masks: tuple[NDArray[np.bool_], ...]


def image_id(patient: str, view: str) -> str:
    """``M0007_CC``: patient (M: with a mass, N: without), view. `patient_and_view` is the way back."""
    return f"{patient}_{view}"


def patient_and_view(name: str) -> tuple[str, str]:
    """Patient and view of an image_id of the phantom. Raises PipelineError for any other."""
    patient, _, view = name.rpartition("_")
    if patient[:1] not in (MALIGNANT, NORMAL) or not patient[1:].isdigit() or view not in VIEWS:
        raise PipelineError(f"{name!r} is no image_id of the phantom; one is M0007_CC")
    return patient, view


def render(
    params: Phantom, seed: int, patient: str, view: str, masses: Sequence[Mass] | None = None, extra: Sequence[Mass] = ()
) -> Rendering:
    """Draw one mammogram; the same arguments give the same bits.

    masses: None for the patient's own, () to erase them. extra: masses added to those (`new_mass` draws one for a box).
    A pixel farther from a mass than its `reach` is the same with and without it: anatomy, noise and labels do not
    depend on masses.
    """
    shape, spacing = (params.height, params.width), cal.FILM_HEIGHT_MM / params.height
    person, anatomy, frame, tissue = _host(params, seed, patient, view)
    own = _own(params, seed, patient, view, anatomy, frame) if masses is None else tuple(masses)
    every = (*own, *extra)
    visible = np.zeros(shape, bool)
    visible[frame.top : frame.bottom, frame.left : frame.right] = True
    visible &= anatomy.breast
    masks = tuple(insert(tissue, mass, spacing) & visible for mass in every)
    attenuation = anatomy.thickness * (cal.FAT + (cal.GLAND - cal.FAT) * tissue)
    grey = exposed(generator(seed, "phantom", patient, view, "film"), attenuation, spacing)
    grey = clutter(generator(seed, "phantom", patient, view, "clutter"), grey, anatomy.breast, person.laterality, view, frame, spacing)
    return Rendering(from_unit(grey, np.uint16), every, masks)


def own_masses(params: Phantom, seed: int, patient: str, view: str) -> tuple[Mass, ...]:
    """The masses that `render` draws by itself: one or two for patients M..., none for N..."""
    _, anatomy, frame, _ = _host(params, seed, patient, view)
    return _own(params, seed, patient, view, anatomy, frame)


def patients(params: Phantom) -> list[str]:
    """All patients of a phantom: those with a mass, then those without. More patients leave the others as they are."""
    return [f"{MALIGNANT}{i:04d}" for i in range(1, params.n_patients + 1)] + [
        f"{NORMAL}{i:04d}" for i in range(1, params.n_normal_patients + 1)
    ]


def case(params: Phantom, seed: int, patient: str, view: str) -> Case:
    """One mammogram as a record of the canonical data set."""
    drawn, person = render(params, seed, patient, view), patient_of(seed, patient)
    return Case(
        image_id=image_id(patient, view),
        patient_id=patient,
        laterality=person.laterality,
        view=view,
        density=person.density,
        pathology="malignant" if drawn.masses else "normal",
        spacing_mm=cal.FILM_HEIGHT_MM / params.height,
        source="phantom",
        image=drawn.image,
        lesions=tuple(
            Lesion(mask=mask, shape=mass.shape, margins=mass.margins) for mass, mask in zip(drawn.masses, drawn.masks, strict=True)
        ),
    )


def cases(params: Phantom, seed: int, workers: int | None = None) -> Iterator[Case]:
    """All mammograms, two views a patient, in a fixed order; drawn by `workers` processes (None: one a CPU core).

    A few images are drawn ahead, so memory does not grow with their number.
    """
    jobs = [(params, seed, patient, view) for patient in patients(params) for view in VIEWS]
    workers = workers or cores()
    if workers == 1:
        yield from (case(*job) for job in jobs)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin_worker)
    ahead: collections.deque[Future[Case]] = collections.deque()
    try:
        for job in jobs:
            ahead.append(pool.submit(case, *job))
            if len(ahead) > 4 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    """One thread a process; and a process that ends when its parent is killed, which executors do not see to."""
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _host(params: Phantom, seed: int, patient: str, view: str) -> tuple[Patient, Anatomy, Frame, Array]:
    """Patient, anatomy as it lies on the film, the film's frame, and tissue with its benign distractors."""
    shape, spacing = (params.height, params.width), cal.FILM_HEIGHT_MM / params.height
    person, anatomy = patient_of(seed, patient), anatomy_of(seed, patient, view, shape)
    if person.laterality == "R":
        anatomy = anatomy.mirrored()
    frame = frame_of(generator(seed, "phantom", patient, view, "frame"), shape, spacing)
    tissue = anatomy.tissue.copy()
    add_distractors(generator(seed, "phantom", patient, view, "distractors"), tissue, anatomy, view, spacing)
    return person, anatomy, frame, tissue


def _own(params: Phantom, seed: int, patient: str, view: str, anatomy: Anatomy, frame: Frame) -> tuple[Mass, ...]:
    if not patient.startswith(MALIGNANT):
        return ()
    shared = generator(seed, "phantom", patient, "masses")
    here = generator(seed, "phantom", patient, view, "masses")
    masses = []
    for _ in range(1 + int(shared.random() < cal.SECOND_MASS)):
        depth, upper = float(np.clip(shared.normal(0.52, 0.2), 0.12, 0.9)), bool(shared.random() < cal.UPPER)
        one = new_mass(shared, 0, 0, *new_size(shared, params.height))
        x, y = place(here, anatomy, frame, depth, upper)
        masses.append(dataclasses.replace(seen_again(here, one), x=x, y=y))
    return tuple(masses)
