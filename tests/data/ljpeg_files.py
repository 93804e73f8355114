"""A small encoder of lossless JPEG by the rule of the PVRG-JPEG codec, which wrote the DDSM (see pipeline/data/ljpeg.py)."""

from pathlib import Path


def predict(a: int, b: int, c: int, predictor: int) -> int:
    return {1: a, 2: b, 3: c, 4: a + b - c, 5: a + (b - c) // 2, 6: b + (a - c) // 2, 7: (a + b) // 2}[predictor]


def encode(samples, predictor=7, precision=16, size=None) -> bytes:
    """(H, W) samples; neighbouring ones less than 2^15 apart. size: (height, width) in the header, the image's if None."""
    height, width = size or samples.shape
    rows = samples.reshape(height, width).tolist()
    start, bits = 1 << (precision - 1), []
    above = [start] * width
    for y, row in enumerate(rows):
        for x, value in enumerate(row):
            left, corner = (row[x - 1], above[x - 1]) if x else (start, start)
            guess = predict(left, above[x], corner, predictor) if x or not y else above[0]
            bits.append(_code(value - guess))
        above = row
    text = "".join(bits)
    packed = bytes(int(text[i : i + 8].ljust(8, "1"), 2) for i in range(0, len(text), 8)).replace(b"\xff", b"\xff\0")
    frame = (
        b"\xff\xc3" + (11).to_bytes(2, "big") + bytes([precision]) + height.to_bytes(2, "big") + width.to_bytes(2, "big") + b"\1\1\x11\0"
    )
    tables = b"\xff\xc4" + (2 + 17 + 17).to_bytes(2, "big") + b"\0" + bytes([0, 0, 0, 0, 17, *[0] * 11]) + bytes(range(17))
    scan = b"\xff\xda" + (8).to_bytes(2, "big") + bytes([1, 1, 0, predictor, 0, 0])
    return b"\xff\xd8" + frame + tables + scan + packed + b"\xff\xd9"


def _code(difference: int) -> str:
    """Five bits for the number of bits, then the bits; negative ones less 1 (T.81 H.1.2.2)."""
    size = abs(difference).bit_length()
    value = difference if difference >= 0 else difference + (1 << size) - 1
    return f"{size:05b}" + (f"{value:0{size}b}" if size else "")


def write(path: Path, samples, **options) -> None:
    path.write_bytes(encode(samples, **options))
