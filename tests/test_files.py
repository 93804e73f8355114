import numpy as np
import pytest
from pycocotools.coco import COCO

from pipeline import coco, resume
from pipeline.errors import PipelineError
from pipeline.io import atomic, atomic_folder, from_unit, read_image, read_json, synthetic_mark, to_unit, write_json, write_png
from pipeline.rng import generator


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_keeps_every_bit(tmp_path, dtype):
    image = generator(0, "png").integers(0, np.iinfo(dtype).max, (33, 17), dtype, endpoint=True)
    write_png(tmp_path / "a.png", image)
    stored = read_image(tmp_path / "a.png")
    assert stored.dtype == dtype and (stored == image).all() and (from_unit(to_unit(image), dtype) == image).all()


def test_synthetic_images_say_so_and_stay_readable_elsewhere(tmp_path):
    from PIL import Image

    image = generator(0, "mark").integers(0, 65536, (20, 30), np.uint16)
    write_png(tmp_path / "a.png", image, mark="pool gan, image 3, seed 17")
    write_png(tmp_path / "b.png", image)
    assert synthetic_mark(tmp_path / "a.png") == "pool gan, image 3, seed 17" and synthetic_mark(tmp_path / "b.png") is None
    assert Image.open(tmp_path / "a.png").text == {"Synthetic mammogram": "pool gan, image 3, seed 17"}
    assert (read_image(tmp_path / "a.png") == image).all()


def test_unreadable_images_are_named(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((64, 64), np.uint8) + np.arange(64, dtype=np.uint8))
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no image")
    for name in ("absent.png", "empty.png", "text.png"):
        with pytest.raises(PipelineError, match=name):
            read_image(tmp_path / name)


def test_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(RuntimeError), atomic(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_text() == "old"


def test_failed_folder_leaves_the_old_one(tmp_path):
    with atomic_folder(tmp_path / "f") as folder:
        (folder / "old").touch()
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "f") as folder:
        (folder / "new").touch()
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["f"] and [p.name for p in (tmp_path / "f").iterdir()] == ["old"]


def test_json_refuses_nan_and_names_a_broken_file(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(PipelineError, match=r"b\.json: not valid JSON"):
        read_json(tmp_path / "b.json")


def test_assembled_coco_loads_and_counts_ids_by_image_id(tmp_path):
    mask = np.zeros((20, 30), bool)
    mask[5:9, 10:17] = True
    records = [
        ({"image_id": name, "file_name": name, "height": 20, "width": 30}, [coco.annotation(mask)] * k) for k, name in enumerate("cba")
    ]
    coco.write(tmp_path / "a.json", coco.assemble(records))
    loaded = COCO(tmp_path / "a.json")
    assert [loaded.imgs[k]["image_id"] for k in (1, 2, 3)] == ["a", "b", "c"]
    assert [len(loaded.getAnnIds(k)) for k in (1, 2, 3)] == [2, 1, 0]
    one = loaded.anns[1]
    assert one["bbox"] == [10, 5, 7, 4] and one["area"] == 28 and (loaded.annToMask(one) == mask).all()
    assert coco.xyxy(np.array([10, 5, 7, 4])).tolist() == [10, 5, 17, 9]


def test_random_streams_depend_on_their_keys_alone():
    first = generator(1, "a", 3).random(4)
    generator(1, "a", 2).random(100)
    assert (generator(1, "a", 3).random(4) == first).all()
    assert not (generator(1, "b", 3).random(4) == first).any() and not (generator(2, "a", 3).random(4) == first).any()


def test_fingerprint_sees_params_names_and_bytes_and_old_state_goes(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_text("1")
    key = resume.fingerprint({"p": 1}, [tmp_path / "in"])
    assert key == resume.fingerprint({"p": 1}, [tmp_path / "in"])
    assert key != resume.fingerprint({"p": 2}, [tmp_path / "in"])
    (tmp_path / "in/a").rename(tmp_path / "in/b")
    renamed = resume.fingerprint({"p": 1}, [tmp_path / "in"])
    (tmp_path / "in/b").write_text("2")
    assert len({key, renamed, resume.fingerprint({"p": 1}, [tmp_path / "in"])}) == 3
    (resume.folder("s", "old", tmp_path) / "x").touch()
    resume.folder("s", "new", tmp_path)
    assert [p.name for p in (tmp_path / "s").iterdir()] == ["new"]
