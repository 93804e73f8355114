"""Tables of the measures that quality.measures adds: of what was taken, and of nothing else."""

from pipeline.report import realism


def measured():
    statistic = {"real": [0.1, 0.2, 0.3], "other": [0.4, 0.5, 0.6], "ks": 0.75, "n": [40, 30]}
    auc = {"auc": 0.81, "ci_low": 0.7, "ci_high": 0.9, "n": [40, 30], "patients": 25}
    distance = dict.fromkeys(("kid", "fid", "precision", "recall", "density", "coverage"), 0.125) | {"n": [40, 40]}
    return {
        "lesions": {
            "gan": dict.fromkeys(realism.STATISTICS, statistic),
            "real": {key: {**statistic, "ks": 0.0625} for key in realism.STATISTICS},
        },
        "distances": {"gan": distance, "real": distance},
        "classifier": {"real": {**auc, "auc": 0.5}, "gan": auc},
        "seam": {"sham": auc},
        "copies": {
            "gan": {"share": 0.05, "median": 0.11, "median_held_out": 0.13},
            "copy_paste": {"share": 0.9, "median": 0.06, "median_held_out": 0.13},
        },
        "definitions": {"lesions": "what they are", "lesions.contrast": "mean less mean", "other": "not of here"},
    }


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_every_measure_has_its_table_with_its_numbers():
    lesions, distances, classifier, seam, copies = realism.tables(measured())
    assert texts(lesions)[1][0] == "Contrast" and texts(lesions)[1][3] == "0.750" and "40 real and 30 generated" in lesions.caption
    assert [row[0] for row in texts(distances)] == ["Generated", "Floor: real against real"]
    assert texts(classifier)[0][1:] == ["0.810 (0.700 to 0.900)", "40 + 30", "25"]
    assert len(texts(seam)) == 1 and texts(copies)[1][1] == "0.900"


def test_measures_that_were_not_taken_have_no_table_and_no_definition():
    some = {key: value for key, value in measured().items() if key in ("copies", "definitions")}
    assert len(realism.tables(some)) == 1 and realism.tables({"definitions": {}}) == []
    assert realism.definitions(some) == [("Lesion statistics", "what they are."), ("Contrast", "mean less mean.")]
