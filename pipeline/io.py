"""Files: written whole or not at all, read with checks. Images are 8- or 16-bit grey PNG."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import struct
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError

PNG_HEADER = 33  # bytes of the signature and the IHDR chunk
SYNTHETIC = b"Synthetic mammogram"  # keyword of the mark
MAX_PIXELS = 1 << 27  # of one image; the largest films of the DDSM have 4 to 5 * 10^7
MAX_BYTES = 8 * MAX_PIXELS  # of one image file
FORMATS = ("PNG", "TIFF", "BMP", "PPM", "JPEG", "JPEG2000")


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; on success it is synced and renamed to `path`, else removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except BaseException as error:
        error.add_note(str(path))  # `errors.of_system` shows it
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path, state: str | None = None) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it is synced and replaces the folder `path`, on error `path` is untouched.

    A kill between the two renames leaves no `path`, never a part of it. state: where it is given, the temporary folder
    outlives an error, and a later call with the same state finds it as it was left. Otherwise the folder is empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.old")
    mark = temporary / ".state"
    shutil.rmtree(old, ignore_errors=True)
    if state is None or not mark.is_file() or mark.read_text(encoding="utf-8") != state:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        if state is not None:
            mark.write_text(state, encoding="utf-8")
    try:
        yield temporary
        mark.unlink(missing_ok=True)
        with ThreadPoolExecutor(8) as threads:  # at once, because the disk then syncs many files in one go
            list(threads.map(sync, temporary.rglob("*")))
        if path.exists():
            path.replace(old)
        temporary.replace(path)
        sync(path.parent)
    except BaseException as error:
        error.add_note(str(path))
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
        if state is None or not mark.is_file():
            shutil.rmtree(temporary, ignore_errors=True)


def sync(path: Path) -> None:
    """Bring a file's bytes, or a folder's entries, to the disk, so that a power cut after a rename finds them there."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Sorted keys, two spaces, no NaN (JSON has none: write null and a reason instead)."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Raises PipelineError for a missing or unreadable file and for anything but JSON in UTF-8 (also too deep, or too long a number)."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{path}: no such file") from None
    except OSError as error:
        raise PipelineError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise PipelineError(f"{path}: not valid JSON ({error})") from None


def read_image(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """(H, W) uint8 or uint16 as stored: never scaled, never converted down.

    Raises PipelineError for a missing, unreadable, colour or other-depth file, and for one of more than `MAX_PIXELS`
    by its header, before they are decoded.
    """
    if not path.is_file():
        raise PipelineError(f"{path}: no such image")
    check_bytes(path)
    coded = np.fromfile(path, np.uint8)
    check_size(path, *_size(path, coded))
    try:
        image = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise PipelineError(f"{path}: cannot be decoded (truncated or no image)")
    if image.ndim == 3 and (image[..., :1] == image[..., :3]).all():
        image = image[..., 0]
    if image.ndim != 2 or image.dtype not in (np.uint8, np.uint16):
        raise PipelineError(f"{path}: is {image.shape} {image.dtype}; a grey image of 8 or 16 bit is needed")
    return np.ascontiguousarray(image)


def _size(path: Path, coded: NDArray[np.uint8]) -> tuple[int, int]:
    """Height and width by the header of an image file."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            width, height = Image.open(io.BytesIO(coded.data), formats=FORMATS).size
    except Image.DecompressionBombError as error:
        raise PipelineError(f"{path}: {error}") from None
    except Exception:  # a damaged header raises a dozen kinds
        raise PipelineError(f"{path}: cannot be decoded (truncated or no image; {', '.join(FORMATS)} are read)") from None
    return height, width


def check_bytes(path: Path) -> None:
    """Refuse a file that no image of `MAX_PIXELS` needs, before it is read. Raises PipelineError."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise PipelineError(f"{path}: has {size} bytes; no mammogram needs more than {MAX_BYTES}")


def check_size(path: Path | str, height: int, width: int) -> None:
    """Refuse an image that would fill the memory. Raises PipelineError."""
    if height * width > MAX_PIXELS:
        raise PipelineError(f"{path}: is {height} x {width} px by its header; no mammogram has more than {MAX_PIXELS} px")


def write_png(path: Path, image: NDArray[Any], mark: str | None = None) -> None:
    """Write (H, W) uint8 or uint16.

    Of repetitions run lengths alone are looked for. Films hold no others: against zlib's default strategy at its quickest
    level it takes 0.65 to 0.95 of the time and a fifth fewer bytes (`python -m benchmarks.images`). mark: says in the file
    itself that the image is synthetic and what made it (a PNG text, which `synthetic_mark` reads).
    """
    if image.ndim != 2 or image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{path}: {image.shape} {image.dtype} is no grey image of 8 or 16 bit")
    how = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    done, data = cv2.imencode(".png", image, how)
    if not done:
        raise PipelineError(f"{path}: cannot be encoded as PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    coded = data.tobytes()
    path.write_bytes(coded if mark is None else coded[:PNG_HEADER] + _text_chunk(SYNTHETIC, mark) + coded[PNG_HEADER:])


def _text_chunk(keyword: bytes, text: str) -> bytes:
    """A tEXt chunk (PNG specification, 11.3.3.2): length, type, keyword, 0, text, CRC-32 of type and data."""
    body = b"tEXt" + keyword + b"\0" + text.encode("latin-1", "replace")
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def synthetic_mark(path: Path) -> str | None:
    """What a PNG says of its synthetic origin, None where it says nothing or is no PNG."""
    with open(path, "rb") as file:
        head = file.read(PNG_HEADER + 4096)
    start = head.find(b"tEXt" + SYNTHETIC + b"\0", PNG_HEADER)
    if not head.startswith(b"\x89PNG") or start < 0:
        return None
    (length,) = struct.unpack(">I", head[start - 4 : start])
    return head[start + 4 + len(SYNTHETIC) + 1 : start + 4 + length].decode("latin-1")


def to_unit(image: NDArray[Any]) -> NDArray[np.float32]:
    """uint8 or uint16 to float32 in [0, 1] by the type's full range."""
    return np.asarray(image, np.float32) / np.float32(np.iinfo(image.dtype).max)


def from_unit(image: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Float in [0, 1] (clipped) to uint8 or uint16 by the type's full range, rounded."""
    top = np.iinfo(dtype).max
    return np.rint(np.clip(image, 0, 1) * top).astype(dtype)


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
