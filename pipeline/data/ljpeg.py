"""Lossless JPEG as the DDSM was compressed: ITU-T T.81 process 14, with the first line of the PVRG-JPEG codec.

Where the standard predicts the first line from its left neighbour, that codec uses the predictor of the scan, with a line of
2^(P-1) above the image. Decoders that follow the standard therefore spoil whole images with predictors 2, 3, 6 and 7. Here
the library only decodes the differences, told that the predictor is 1 (left) and the precision 16; the samples are put
together again by the codec's rule.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data import apart
from pipeline.errors import PipelineError
from pipeline.io import check_size

Integers = NDArray[np.int32]
# T.81 table H.1: a is the sample to the left, b above, c above to the left.
PREDICTORS: dict[int, Callable[[Integers, Integers, Integers], Integers]] = {
    1: lambda a, b, c: a,
    2: lambda a, b, c: b,
    3: lambda a, b, c: c,
    4: lambda a, b, c: a + b - c,
    5: lambda a, b, c: a + ((b - c) >> 1),
    6: lambda a, b, c: b + ((a - c) >> 1),
    7: lambda a, b, c: (a + b) >> 1,
}
SOF3, SOS, DRI = 0xC3, 0xDA, 0xDD


@dataclass(frozen=True)
class Header:
    """height, width: of the frame as the file says it. precision_at, predictor_at: offsets of these bytes in the file."""

    height: int
    width: int
    precision: int
    predictor: int
    precision_at: int
    predictor_at: int


def decode(data: bytes) -> NDArray[np.uint16]:
    """(H, W) samples of one grey frame, H and W as in its header. Raises PipelineError where it is no such file."""
    header = _header(data)
    return _predict(_differences(data, header), header.predictor, 1 << (header.precision - 1))


def _header(data: bytes) -> Header:
    """Walk the marker segments (T.81 B.1.1) up to the scan."""
    if data[:2] != b"\xff\xd8":
        raise PipelineError("does not begin as a JPEG file")
    at, frame = 2, 0
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == SOF3:
            frame = at + 4
        elif 0xC0 <= marker <= 0xCF and marker != 0xC4:
            raise PipelineError("is no lossless JPEG (Huffman, process 14)")
        elif marker == DRI and any(data[at + 4 : at + 6]):
            raise PipelineError("has restart intervals, which are not supported")
        elif marker == SOS:
            return _checked(data, frame, at + 2 + size - 3)
        at += 2 + size
    raise PipelineError("holds no scan (truncated or no JPEG file)")


def _checked(data: bytes, frame: int, predictor_at: int) -> Header:
    if not frame or predictor_at >= len(data):
        raise PipelineError("holds no frame (truncated or no JPEG file)")
    height, width = (int.from_bytes(data[frame + k : frame + k + 2], "big") for k in (1, 3))
    header = Header(height, width, data[frame], data[predictor_at], frame, predictor_at)
    if (
        len(data) <= frame + 5
        or data[frame + 5] != 1
        or not 2 <= header.precision <= 16
        or header.predictor not in PREDICTORS
        or not height * width
    ):
        raise PipelineError(f"is no grey frame with a predictor of 1..7 ({header})")
    check_size("the frame", height, width)
    return header


def _differences(data: bytes, header: Header) -> Integers:
    """(H, W) differences between samples and their predictions, modulo 2^16."""
    patched = bytearray(data)
    patched[header.precision_at], patched[header.predictor_at] = 16, 1
    frame: dict[str, Any] = {"rows": header.height, "columns": header.width, "number_of_frames": 1, "samples_per_pixel": 1}
    greys = {"bits_allocated": 16, "bits_stored": 16, "pixel_representation": 0, "photometric_interpretation": "MONOCHROME2"}
    try:
        summed = apart.call(_decode, bytes(patched), frame | greys)
    except PipelineError:
        raise PipelineError("cannot be decoded (truncated or damaged)") from None
    left = np.zeros(summed.shape, np.int32)
    left[:, 1:] = summed[:, :-1]
    left[1:, 0] = summed[:-1, 0]
    left[0, 0] = 1 << 15
    return summed.astype(np.int32) - left


def _decode(data: bytes, tags: dict[str, Any]) -> NDArray[Any]:
    """(H, W) samples as a decoder that follows the standard gives them."""
    from pydicom.encaps import encapsulate
    from pydicom.pixels import get_decoder
    from pydicom.uid import JPEGLosslessSV1

    samples: NDArray[Any] = get_decoder(JPEGLosslessSV1).as_array(encapsulate([data]), raw=True, pixel_keyword="PixelData", **tags)[0]
    if samples.shape != (tags["rows"], tags["columns"]):
        raise ValueError(f"decoded to {samples.shape}")
    return samples


def _predict(differences: Integers, predictor: int, start: int) -> NDArray[np.uint16]:
    """(H, W) samples from their differences. start: the sample to the left of the first one, and every one above the first line.

    A sample needs its left and upper neighbours alone, so those of an anti-diagonal y + x = t are computed at once;
    they lie W - 1 apart in the flat image. A diagonal holds sample (y, t - y) at y + 1, and `start` at 0.
    """
    height, width = differences.shape
    rule = PREDICTORS[predictor]
    flat, samples = differences.ravel(), np.empty(height * width, np.uint16)
    now, last, older = (np.full(height + 1, start, np.int32) for _ in range(3))
    for t in range(height + width - 1):
        top, end = max(0, t - width + 1), min(height, t + 1)
        places = slice(t + top * (width - 1), t + (end - 1) * (width - 1) + 1, max(1, width - 1))
        predicted = rule(last[top + 1 : end + 1], last[top:end], older[top:end])
        if 0 < t < height:  # the first sample of a line is predicted from the one above
            predicted = np.append(predicted[:-1], last[end - 1])
        now[top + 1 : end + 1] = (predicted + flat[places]) & 0xFFFF
        samples[places] = now[top + 1 : end + 1]
        now, last, older = older, now, last
    return samples.reshape(height, width)
