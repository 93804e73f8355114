"""Files made to harm: bombs, wild coordinates, codecs that crash, paths that lead out. Each is refused by name, in bounded memory."""

import itertools
import json
import resource
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from pipeline import coco
from pipeline.data import apart, dicom, ljpeg
from pipeline.data.canonical import Rejected
from pipeline.data.coco_source import cases
from pipeline.data.reading import below
from pipeline.errors import PipelineError
from pipeline.io import MAX_PIXELS, read_image, read_json, write_png
from pipeline.params import load
from tests.data.files import film, write_dicom
from tests.data.ljpeg_files import encode

GROWTH_MB = 300  # of this process, at most, while a bomb is refused


@pytest.fixture(autouse=True)
def bounded():
    """No attack may take more than seconds, or more memory than an ordinary mammogram."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < GROWTH_MB
    assert time.monotonic() - began < 60


def png(width: int, height: int) -> bytes:
    """A PNG that announces width x height px and holds a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.attack
@pytest.mark.parametrize(("width", "height"), [(100_000, 100_000), (30_000, 30_000), (2**31 - 1, 1), (12_000, MAX_PIXELS // 12_000 + 1)])
def test_images_too_large_by_their_header_are_not_decoded(tmp_path, width, height):
    (tmp_path / "bomb.png").write_bytes(png(width, height))
    with pytest.raises(PipelineError, match=r"bomb\.png: "):
        read_image(tmp_path / "bomb.png")


@pytest.mark.attack
@pytest.mark.parametrize("name", ["big.png", "big.dcm"])
def test_a_file_of_many_gigabytes_is_not_read(tmp_path, name):
    with open(tmp_path / name, "wb") as file:
        file.truncate(40 << 30)  # takes no space
    with pytest.raises(PipelineError, match=f"{name}: has 42949672960 bytes"):
        (dicom.read if name.endswith("dcm") else read_image)(tmp_path / name)


@pytest.mark.attack
def test_a_compression_bomb_holds_no_more_than_its_header_says(tmp_path):
    coded = png(10, 10)
    bomb = zlib.compress(bytes(400_000_000), 9)
    start = coded.index(b"IDAT")
    data = coded[: start - 4] + struct.pack(">I", len(bomb)) + b"IDAT" + bomb + struct.pack(">I", zlib.crc32(b"IDAT" + bomb)) + coded[-12:]
    (tmp_path / "bomb.png").write_bytes(data)
    assert read_image(tmp_path / "bomb.png").shape == (10, 10)


def announce(data: bytes, syntax, height: int, width: int, tags: bool, stream: bool) -> bytes:
    """A DICOM file that says another size in its tags or in its compressed stream."""
    changed = bytearray(data)
    if tags:
        for tag, side in ((b"\x28\x00\x10\x00US", height), (b"\x28\x00\x11\x00US", width)):
            at = changed.index(tag) + 8
            changed[at : at + 2] = struct.pack("<H", side)
    if stream and syntax == JPEG2000Lossless:
        at = changed.index(b"\xff\x51")
        changed[at + 6 : at + 14] = changed[at + 22 : at + 30] = struct.pack(">II", width, height)
    elif stream:
        at = changed.index(b"\xff\xf7" if syntax == JPEGLSLossless else b"\xff\xc3")
        changed[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(changed)


@pytest.mark.attack
@pytest.mark.parametrize(
    ("syntax", "tags", "stream"),
    [
        *itertools.product((JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless), (True, False), (True,)),
        *itertools.product((JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless), (True,), (False,)),  # RLE streams name no size
    ],
)
def test_dicom_files_that_announce_a_giant_are_refused(tmp_path, syntax, tags, stream):
    path = write_dicom(tmp_path / "bomb.dcm", film(60, 40), syntax=syntax)
    path.write_bytes(announce(path.read_bytes(), syntax, 60_000, 60_000, tags, stream))
    with pytest.raises(PipelineError, match=r"bomb\.dcm: "):
        dicom.read(path)
    assert dicom.read(write_dicom(tmp_path / "next.dcm", film(60, 40), syntax=syntax)).image.shape == (60, 40)  # the next file is read


@pytest.mark.attack
@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        *itertools.product([b"\x28\x00\x10\x00", b"\x28\x00\x11\x00"], [b"PN", b"SQ", b"AE", b"FL", b"UN"]),  # rows, columns
        (b"\x28\x00\x02\x01", b"QS"),  # the high bit, of a kind that does not exist
    ],
)
def test_a_dicom_element_of_another_kind_is_refused(tmp_path, tag, kind):
    path = write_dicom(tmp_path / "a.dcm", film(60, 40))
    assert path.read_bytes().count(tag + b"US") == 1
    path.write_bytes(path.read_bytes().replace(tag + b"US", tag + kind))
    with pytest.raises(PipelineError, match=r"a\.dcm: "):
        dicom.read(path)


@pytest.mark.attack
def test_a_deflated_dicom_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(apart, "MEMORY", 1 << 30)
    monkeypatch.setattr(apart, "_worker", None)
    path = write_dicom(tmp_path / "bomb.dcm", film(60, 40), syntax=DeflatedExplicitVRLittleEndian)
    data = path.read_bytes()
    (length,) = struct.unpack("<I", data[140:144])
    header, inflated = data[: 144 + length], zlib.decompress(data[144 + length :], -15)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = packer.compress(inflated) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(2**25)) + packer.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(header + start + 40 * block + packer.flush())  # 1.3 GB
    assert path.stat().st_size < 2_000_000
    with pytest.raises(PipelineError, match=r"bomb\.dcm: .*(MemoryError|needs more than)"):
        dicom.read(path)


@pytest.mark.attack
def test_a_lossless_jpeg_of_65535_lines_is_refused():
    data = bytearray(encode(film(12, 8, top=4095), 1, 12))
    at = data.index(b"\xff\xc3")
    data[at + 5 : at + 9] = struct.pack(">HH", 65535, 65535)
    with pytest.raises(PipelineError, match=r"65535 x 65535"):
        ljpeg.decode(bytes(data))


def annotated(folder: Path, segmentation) -> Rejected:
    """What the adapter makes of one annotation with this segmentation, which it is to reject."""
    write_png(folder / "a.png", film(20, 12))
    image = {"id": 1, "file_name": "a.png", "patient_id": "p", "laterality": "L", "view": "CC"}
    one = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation}
    (folder / "annotations.json").write_text(
        json.dumps({"images": [image], "annotations": [one], "categories": [{"id": 1, "name": "mass"}]})
    )
    (found,) = cases(folder, "all")
    assert isinstance(found, Rejected)
    return found


@pytest.mark.attack
@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[0, 0, 1e9, 0, 1e9, 1e9]], "leaves the image"),
        ([[0, 0, float("nan"), 5, 5, 5]], "finite numbers"),
        ([[0, 0, float("inf"), 5, 5, 5]], "finite numbers"),
        ([[0, 0, 10**400, 5, 5, 5]], "no list of x, y"),
        ([[0, 0, 11, 19] * 250_000], "times around the image"),
        ([[1, 1, 5, 1, 5, 5]] * 1001, "at most 1000 polygons"),
        ([5, 6], "no list of x, y"),
        ({"size": [20, 12], "counts": [5]}, "do not fill"),
        ({"size": [20, 12], "counts": [-5, 245]}, "do not fill"),
        ({"size": [20, 12], "counts": "0"}, "do not fill"),
        ({"size": [20, 12], "counts": "zzzz"}, "no run-length encoded mask"),
        ({"size": [20, 12], "counts": "P" * 5000 + "0"}, "no run-length encoded mask"),
        ({"size": [100_000, 100_000], "counts": [10_000_000_000]}, "no mammogram has more"),
        ({"size": [20, 12]}, "no run-length encoded mask"),
        ({"size": None, "counts": "0"}, "no run-length encoded mask"),
    ],
)
def test_segmentations_that_would_write_anywhere_or_fill_the_memory_are_refused(tmp_path, segmentation, reason):
    assert reason in annotated(tmp_path, segmentation).reason


def test_masks_of_pycocotools_are_decoded_alike():
    from pycocotools import mask as rle

    rng = np.random.default_rng(0)
    for share in (0, 0.02, 0.5, 0.98, 1) * 20:
        mask = rng.random(rng.integers(1, 60, 2)) < share
        coded = coco.encode(mask)
        assert (coco.decode(coded) == mask).all() and (coco.decode(coded) == rle.decode(coded)).all()


@pytest.mark.attack
@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, '"\\ud800', "\xff", "{}extra", "NaN1"])
def test_json_that_is_too_deep_or_too_long_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text, encoding="latin-1")
    with pytest.raises(PipelineError, match=r"a\.json: not valid JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(PipelineError, match="cannot be read"):
        read_json(tmp_path)


@pytest.mark.attack
@pytest.mark.parametrize("text", ["x: " + "[" * 1500, "{a: " * 3000, "- " * 5000, f"seed: {'9' * 5000}", "a: &a [*a]", "\ud800"])
def test_yaml_that_is_too_deep_or_too_long_is_refused(tmp_path, text):
    (tmp_path / "params.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(PipelineError, match=r"params\.yaml"):
        load(tmp_path / "params.yaml")


@pytest.mark.attack
@pytest.mark.parametrize(
    "name",
    ["", "../out.png", "a/../../out.png", "ABSOLUTE", "link.png", "folder/out.png", "loop", "a\0b", "x" * 256, "\ud800"],
    ids=["empty", "above", "above later", "absolute", "link", "link to a folder", "loop", "nul", "long", "surrogate"],
)
def test_paths_cannot_leave_the_data_folder(tmp_path, name):
    root = tmp_path / "root"
    write_png(root / "in.png", film(4, 4))
    write_png(tmp_path / "out.png", film(4, 4))
    (root / "link.png").symlink_to(tmp_path / "out.png")
    (root / "folder").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    (root / "inner.png").symlink_to(root / "in.png")
    assert below(root, "in.png").is_file() and below(root, "inner.png").is_file()
    with pytest.raises(PipelineError, match="does not lie in"):
        below(root, str(tmp_path / "out.png") if name == "ABSOLUTE" else name)
