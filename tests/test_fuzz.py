"""Changed and hostile files: every reader takes them or refuses them with PipelineError. `benchmarks/fuzz.py` goes on for hours."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import TARGETS, survives

EXAMPLES = 40  # of each reader
ODD = [
    *(None, True, -1, 0, 2**63, 10**400, -(10**400), 0.5, 1e308, -1e9, float("nan"), float("inf")),
    *("", "\0", "..", "x" * 300, "\u0663", "\ud800", "1" * 5000),
    *([], {}, [[]], [None, {"id": []}], [1e9] * 6, [10**400] * 4),
]


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


def places(value, so_far=()):
    """The way to every value inside of a JSON value."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*so_far, key)
        yield from places(value[key], (*so_far, key))


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("part", ["coco", "truth", "found"])
def test_json_with_any_value_replaced_is_read_or_refused(part, tmp_path):
    target = TARGETS["coco" if part == "coco" else "detections"]
    pieces = target.seeds(tmp_path)[0].split(b"\n---\n")
    at = int(part == "found")
    for place in list(places(json.loads(pieces[at]))):
        for odd in ODD:
            whole = inner = json.loads(pieces[at])
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = odd
            data = b"\n---\n".join([*pieces[:at], json.dumps(whole).encode(), *pieces[at + 1 :]])
            try:
                survives(target, data, tmp_path)
            except Exception as error:
                raise AssertionError(f"{odd!r} at {place}") from error
