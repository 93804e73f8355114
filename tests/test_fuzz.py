"""Changed and hostile files: every reader takes them or refuses them with PipelineError. `benchmarks/fuzz.py` goes on for hours."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import TARGETS, survives

EXAMPLES = 40  # of each reader
ODD = st.sampled_from(
    [
        *(
            "null",
            "true",
            "-1",
            "0",
            "3",
            "1000000",
            "2147483648",
            "-9223372036854775809",
            "1e308",
            "-1e9",
            "0.5",
            "NaN",
            "Infinity",
            "1" * 400,
        ),
        *(json.dumps(text) for text in ("", "\0", "..", "/etc/passwd", "x" * 300, "\u0663", "\ud800")),
        *("[]", "{}", "[[]]", '[null, {"id": []}]', "[1e9, 1e9, 1e9, 1e9, -1e9, 0]"),
    ]
)


@st.composite
def changed(draw, seeds):
    """A valid input with some bytes set, cut out, doubled or put in."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        stop = min(len(data), start + draw(st.sampled_from([1, 2, 4, 16, 10**6])))
        piece = draw(st.one_of(st.binary(max_size=8), st.just(bytes(data[start:stop]) * 2), st.sampled_from(WORDS)))
        data[start : stop if draw(st.booleans()) else start] = piece
    return bytes(data)


WORDS = [b"", b"\xff\xff\xff\xff", b"-1", b"99999999999999999999", b"1e309", b"nan", b"\n", b"\0", b"[" * 2000, b'"', b",", b"../"]


@st.composite
def replaced(draw, seeds):
    """A valid JSON input in which some values are others."""
    whole = json.loads(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 3))):
        _replace(draw, whole)
    return json.dumps(whole).encode()


def _replace(draw, value):
    while True:
        keys = sorted(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        if not isinstance(value[key], dict | list) or draw(st.integers(0, 3)) == 0:
            value[key] = json.loads(draw(ODD))
            return
        value = value[key]


@pytest.mark.parametrize("name", TARGETS)
def test_changed_files_are_read_or_refused(name, tmp_path_factory):
    target = TARGETS[name]
    seeds = target.seeds(tmp_path_factory.mktemp("seeds"))
    folder = tmp_path_factory.mktemp(name)
    assert all(survives(target, seed, folder) for seed in seeds)

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(changed(seeds))
    def attack(data):
        survives(target, data, folder)

    attack()


@pytest.mark.parametrize("part", ["coco", "truth", "found"])
def test_json_of_other_values_is_read_or_refused(part, tmp_path_factory):
    target = TARGETS["coco" if part == "coco" else "detections"]
    folder = tmp_path_factory.mktemp(part)
    seeds = [seed.split(b"\n---\n") for seed in target.seeds(folder)]

    @settings(max_examples=4 * EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(replaced([seed[part == "found"] for seed in seeds]))
    def attack(data):
        survives(
            target, data if part == "coco" else b"\n---\n".join([data, seeds[0][1]] if part == "truth" else [seeds[0][0], data]), folder
        )

    attack()
