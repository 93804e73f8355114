import numpy as np
import pytest

from pipeline.data import ljpeg
from pipeline.errors import PipelineError
from tests.data.ljpeg_files import encode

# Written by the PVRG-JPEG program itself (jpeg -iw W -ih H -k predictor -p precision) from these samples.
REFERENCE = [
    (
        [
            [40018, 40015, 40035, 40020],
            [40016, 40017, 65535, 40023],
            [40006, 40029, 40030, 40038],
            [40031, 40011, 40012, 40025],
            [40026, 40027, 40034, 40011],
        ],
        "ffd8ffc3000b100005000401011100ffc4001c00000202020300000000000000000000000405020c000e030d0fffda0008010100070000ef14af135e3cbc47"
        "197b1d2e9c5a2b2d38bcc72b07ce224f5bffd9",
    ),
    (
        [[1020, 1014, 1010, 1003, 1024], [1026, 1020, 4095, 1037, 1008], [1024, 1025, 1009, 1011, 1019], [1029, 1011, 1028, 1026, 1008]],
        "ffd8ffc3000b0c0004000501011100ffc4001b000002020301000000000000000000000003050a0b02060c09ffda0008010100060000afee3ef1f68f8f8146"
        "cfb02aa1bd7b1371f7dbdae0abdd196fffd9",
    ),
    (
        [
            [40026, 40015, 40036, 40019, 40015, 40005],
            [40008, 40027, 65535, 40011, 40025, 40034],
            [40005, 40011, 40020, 40022, 40015, 40015],
        ],
        "ffd8ffc3000b100003000601011100ffc40018000003010100000000000000000000000004050d0f02ffda0008010100020000b8b5713ee325c53b89f71156"
        "99b1cd8e53de17e38a858ab3ffd9",
    ),
]


@pytest.mark.parametrize(("samples", "data"), REFERENCE, ids=["predictor 7", "predictor 6, 12 bit", "predictor 2"])
def test_files_of_the_codec_itself(samples, data):
    assert ljpeg.decode(bytes.fromhex(data)).tolist() == samples


@pytest.mark.parametrize("precision", [12, 16])
@pytest.mark.parametrize("predictor", range(1, 8))
def test_every_predictor(predictor, precision):
    rng = np.random.default_rng(predictor)
    samples = (rng.normal(0, 30, (23, 17)).cumsum(1) + 2000).clip(0, 4095).astype(int)
    assert np.array_equal(ljpeg.decode(encode(samples, predictor, precision)), samples)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1)])
def test_single_lines_and_columns(shape):
    samples = np.arange(shape[0] * shape[1]).reshape(shape) + 32000
    assert np.array_equal(ljpeg.decode(encode(samples)), samples)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"P5 4 4 255", "does not begin as a JPEG"),
        (b"\xff\xd8\xff\xc0\0\x0b", "no lossless JPEG"),
        (encode(np.full((4, 4), 32000))[:20], "holds no scan"),
        (
            encode(np.full((4, 4), 32000), predictor=1)[:-1].replace(b"\xff\xda\0\x08\1\1\0\1", b"\xff\xda\0\x08\1\1\0\x09"),
            "predictor of 1..7",
        ),
        (encode(np.full((40, 40), 32000))[:-20], "truncated or damaged"),
        (b"\xff\xd8\xff\xdd\0\4\0\x10" + encode(np.full((4, 4), 32000))[2:], "restart intervals"),
    ],
)
def test_other_files_are_refused(data, message):
    with pytest.raises(PipelineError, match=message):
        ljpeg.decode(data)
