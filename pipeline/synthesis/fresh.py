"""The oracle on the phantom: the simulator itself draws a new mass into the host, where the other pools insert theirs."""

import numpy as np

from pipeline.data import phantom
from pipeline.params import Phantom
from pipeline.preprocess.geometry import Geometry
from pipeline.rng import generator
from pipeline.synthesis.placement import Host, Place, Placer, fits
from pipeline.synthesis.pool import Made, Method
from pipeline.synthesis.scene import with_mass

TRIES = 20


def fresh(placer: Placer, params: Phantom, seed: int) -> Method:
    """Masses of the phantom's own distribution in the hosts, at the places of the other inserting pools.

    params: those of the phantom that the hosts come from. The mass's box takes the share of the patch that real masses
    take; the tissue around it is drawn in and spiculated as the simulator does it. What the mass does not touch keeps
    the host's bits.
    """

    def one(item: int) -> Made:
        place = placer(item)
        host = placer.hosts[place.host]
        patient, view = phantom.patient_and_view(host.record["image_id"])
        geometry = geometry_of(host, params)
        image, allowed = host.image(), host.allowed()
        before = geometry.apply(phantom.render(params, seed, patient, view).image).astype(np.int32)
        for attempt in range(TRIES):
            shrink = 0.9 ** max(0, attempt - TRIES // 2)
            mass = _mass(place, placer.sizes.inner * shrink, geometry, generator(seed, "fresh", item, attempt))
            drawn = phantom.render(params, seed, patient, view, extra=[mass])
            mask = geometry.apply_mask(drawn.masks[-1])
            whole = Place(place.host, 0, 0, mask.shape[1], mask.shape[0])
            if mask.any() and fits(mask, whole, allowed):
                break
        change = geometry.apply(drawn.image).astype(np.int32) - before
        top = np.iinfo(image.dtype).max
        made = np.where(host.region() > 0, np.clip(image + change, 0, top), image).astype(image.dtype)
        return with_mass(host, place, made, mask)

    return Method(lambda items: [one(item) for item in items], {"phantom": params.model_dump()})


def geometry_of(host: Host, params: Phantom) -> Geometry:
    """How a prepared phantom mammogram came from its raw image, from its COCO record."""
    record = host.record
    width, scale = record["width"], record["scale"]
    crop_width = min(params.width - record["crop_x"], max(1, round(width / scale)))
    return Geometry(params.width, record["flipped"], record["crop_x"], crop_width, record["height"], width, scale)


def _mass(place: Place, inner: np.ndarray, geometry: Geometry, rng: np.random.Generator) -> phantom.Mass:
    """A mass whose box is the share `inner` of the place's frame, in px of the raw image."""
    x, y = geometry.to_source(np.array(place.centre))
    width, height = np.array([place.width, place.height]) * inner / geometry.scale
    return phantom.new_mass(rng, float(x), float(y), float(width), float(height))
