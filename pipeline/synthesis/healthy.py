"""Healthy tissue: what the generator of the pool `sham` learns from, and training mammograms whose masses it has painted over."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import coco, leaks
from pipeline.gan.patches import Patches
from pipeline.io import atomic_folder, write_json, write_png
from pipeline.preprocess.geometry import resize
from pipeline.preprocess.trilabel import margin
from pipeline.progress import track
from pipeline.rng import generator, integer
from pipeline.synthesis.blending import soft_alpha
from pipeline.synthesis.inserting import Infiller, inputs, real_masks
from pipeline.synthesis.placement import Host, Place, Placer, find_hosts
from pipeline.synthesis.pool import CHUNK
from pipeline.synthesis.scene import Scene, open_scene
from pipeline.synthesis.sources import Sources

INPAINTED = "inpainted"


def patches(sources: Sources, hosts: str, sizes: str, position: str, side: int) -> Patches:
    """As many patches of healthy training tissue as there are patches of masses, each with the mask of a real training mass.

    Placed and sized as the inserting pools do it, at places of their own. hosts, sizes, position: the block `synth` of the
    params (for `inpainted`, tissue away from the masses is taken). side: P of the patches.
    """
    own = integer(sources.seed, "healthy")
    placer = Placer(own, find_hosts(sources.train, "lesion_free" if hosts == INPAINTED else hosts), sources.size_law(sizes), position)
    real, n = real_masks(sources), len(sources.patches)
    images, masks, patients = [], [], []
    for start in track(range(0, n, CHUNK), "healthy patches"):
        items = range(start, min(start + CHUNK, n))
        scenes = [open_scene(placer, placer(item), lambda attempt, item=item: real.draw(item, attempt)) for item in items]  # type: ignore[misc]
        tissue, holes, _ = inputs(scenes, [generator(own, "unused", item) for item in items], side)
        images.append(tissue[: len(items)])
        masks.append(holes[: len(items)])
        patients += [scene.host.record["patient_id"] for scene in scenes]
    names = [f"healthy_{item:06d}" for item in range(n)]
    return Patches(np.concatenate(images), np.concatenate(masks), names, patients, real.patients)


def write_hosts(sources: Sources, infiller: Infiller, out: Path) -> None:
    """Write the folder of hosts `inpainted`: the training mammograms with lesions, these painted over with healthy tissue.

    images/, regions/ and annotations.json as in data/prepared/train, without annotations. What is painted over is mask and
    margin of every lesion, benign ones too.
    """
    leaks.require_training({"the generator of healthy tissue": infiller.meta["patients"]}, sources.training)
    inner = sources.size_law("empirical").inner
    with atomic_folder(out) as folder:
        records = []
        for host in track(find_hosts(sources.train, "lesion_free"), "painting masses over"):
            image = host.image()
            for number, one in enumerate(host.annotations):
                image = _painted_over(host, image, coco.decode(one["segmentation"]), inner, infiller, sources.seed, number)
            name = host.record["image_id"]
            write_png(folder / "images" / f"{name}.png", image, mark=f"masses painted over by the generator {infiller.meta['sha256']}")
            write_png(folder / "regions" / f"{name}.png", host.region())
            record = {key: value for key, value in host.record.items() if key != "id"}
            records.append(({**record, "file_name": f"images/{name}.png", "synthetic": True}, list[dict[str, Any]]()))
        coco.write(folder / "annotations.json", coco.assemble(records))
        write_json(folder / "manifest.json", {"hosts": INPAINTED, "generator": infiller.meta})


def _painted_over(
    host: Host, image: NDArray[Any], mask: NDArray[np.bool_], inner: NDArray[np.float64], infiller: Infiller, seed: int, number: int
) -> NDArray[Any]:
    """`image` with one lesion replaced. mask: (H, W) of the lesion; inner: share of a frame that a mass's box takes, (2,)."""
    x, y, w, h = coco.bounding_box(mask)
    width, height = round(w / inner[0]), round(h / inner[1])
    place = Place(0, round(x + w / 2 - width / 2), round(y + h / 2 - height / 2), width, height)
    hole = np.zeros((height, width), bool)
    hole[place.inside(mask.shape)] = mask[place.clip(mask.shape)]
    hole |= margin(hole, infiller.meta["margin"] / 256)
    scene = Scene(host, place, image, host.region(), hole)
    stream = generator(seed, "painted over", host.record["image_id"], number)
    filled = infiller.fill(*inputs([scene], [stream], infiller.patch_px))
    visible = hole[scene.inside].shape
    return scene.made(resize(filled[0], (visible[0], visible[1])), soft_alpha(hole), "mask", labelled=False).image
