from benchmarks.detectors import rows


def test_ratios_are_taken_within_a_round():
    """The machine is four times slower in the last round; the ratio is 2 in each."""
    found = {"light_head": ([0.1, 0.1, 0.4], [0.01, 0.01, 0.04]), "faster_rcnn_c4": ([0.2, 0.2, 0.8], [0.03, 0.03, 0.12])}
    *_, light, c4 = rows(found, {"light_head": (30.0, 1.0), "faster_rcnn_c4": (50.0, 6.0)})
    assert light == "| light_head | 100 | 1.00 (1.00 to 1.00) | 30.0 | 300 | 10 | 1.00 (1.00 to 1.00) | 1.0 | 100 |"
    assert c4 == "| faster_rcnn_c4 | 200 | 2.00 (2.00 to 2.00) | 50.0 | 250 | 30 | 3.00 (3.00 to 3.00) | 6.0 | 200 |"
