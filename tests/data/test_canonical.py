"""The canonical folder: what is written comes back, what is wrong is listed, nothing half-done stays."""

import dataclasses

import numpy as np
import pytest

from pipeline.data.canonical import read_cases, write
from pipeline.data.records import Case, Lesion, Rejected, Stored
from pipeline.errors import PipelineError
from pipeline.io import read_image
from tests.data.files import tree


def blob(rows=slice(3, 5), columns=slice(2, 7)):
    mask = np.zeros((20, 10), bool)
    mask[rows, columns] = True
    return mask


def case(image_id="a", lesions=(), **more):
    image = np.arange(200, dtype=np.uint16).reshape(20, 10) * 300
    return Case(image_id=image_id, patient_id="p", laterality="L", view="CC", image=image, lesions=tuple(lesions), **more)


def test_written_cases_come_back(tmp_path):
    lesions = [Lesion(mask=blob(), shape="round", margins="obscured", subtlety=4), Lesion(mask=blob(slice(9, 20), slice(0, 3)))]
    full = case("b.1", lesions, pathology="malignant", density=3, spacing_mm=0.25, source="made")
    done = write(tmp_path / "raw", [full, Rejected("c", "unreadable"), case("a")], "skip")
    assert (done.cases, done.lesions, done.skipped) == (2, 2, 1)
    first, second = read_cases(tmp_path / "raw")
    assert [first.image_id, second.image_id] == ["b.1", "a"]
    assert (first.density, first.spacing_mm, first.pathology, first.source) == (3, 0.25, "malignant", "made")
    assert (second.density, second.spacing_mm, second.pathology, second.lesions) == (None, None, "", ())
    assert [lesion.number for lesion in first.lesions] == [1, 2]
    assert [lesion.box for lesion in first.lesions] == [(2, 3, 5, 2), (0, 9, 3, 11)]
    assert (first.lesions[0].shape, first.lesions[0].margins, first.lesions[0].subtlety) == ("round", "obscured", 4)
    assert first.lesions[1].mask.name == "b.1_2.png" and first.lesions[1].subtlety is None
    np.testing.assert_array_equal(read_image(first.image), full.image)
    np.testing.assert_array_equal(read_image(first.lesions[1].mask), lesions[1].mask * np.uint8(255))
    assert (tmp_path / "raw/skipped.csv").read_text() == "image_id,reason\nc,unreadable\n"


def test_all_faults_are_listed_and_nothing_is_written(tmp_path):
    good = case()
    wrong = {
        "image_id is used twice": good,
        "'../x' holds more than": case("../x"),
        "'a..b' holds more than": case("a..b"),
        "laterality is 'LEFT'": dataclasses.replace(case("d"), laterality="LEFT"),
        "view is 'ML'": dataclasses.replace(case("e"), view="ML"),
        "density is 5": case("f", density=5),
        "spacing_mm is nan": case("g", spacing_mm=float("nan")),
        "spacing_mm is -0.1": case("h", spacing_mm=-0.1),
        "mask 1 is (2, 2)": case("i", [Lesion(mask=np.ones((2, 2), bool))]),
        "mask 2 is empty": case("j", [Lesion(mask=blob()), Lesion(mask=blob() & False)]),
        "normal, yet it has 1": case("k", [Lesion(mask=blob())], pathology="normal"),
        "not grey of 8 or 16 bit": dataclasses.replace(case("l"), image=np.zeros((20, 10))),
        "patient_id 'p/q'": dataclasses.replace(case("m"), patient_id="p/q"),
        "broken": Rejected("n", "broken"),
    }
    with pytest.raises(PipelineError) as error:
        write(tmp_path / "raw", [good, *wrong.values()])
    for words in wrong:
        assert words in str(error.value)
    assert f"({len(wrong)})" in str(error.value)
    assert list(tmp_path.iterdir()) == []
    assert write(tmp_path / "raw", [good, *wrong.values()], "skip").skipped == len(wrong)


@pytest.mark.parametrize("on_error", ["fail", "skip"])
@pytest.mark.parametrize("source", [[], [Rejected("a", "unreadable")]])
def test_a_source_without_a_usable_mammogram_is_an_error(tmp_path, source, on_error):
    with pytest.raises(PipelineError):
        write(tmp_path / "raw", source, on_error)
    assert not (tmp_path / "raw").exists()


def test_an_interruption_leaves_the_folder_as_it_was(tmp_path):
    write(tmp_path / "raw", [case("old")])

    def interrupted():
        yield case("new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "raw", interrupted())
    assert [one.image_id for one in read_cases(tmp_path / "raw")] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_only_one_case_is_held_at_a_time(tmp_path):
    import gc
    import weakref

    alive = []

    def stream():
        for i in range(5):
            one = case(f"c{i}")
            alive.append(weakref.ref(one))
            yield one
            del one
            gc.collect()
            assert sum(ref() is not None for ref in alive) <= 1

    write(tmp_path / "raw", stream())
    assert len(alive) == 5


def test_a_damaged_folder_is_refused_with_every_fault(tmp_path):
    root = tmp_path / "raw"
    write(root, [case("a", [Lesion(mask=blob())]), case("b"), case("c")])
    (root / "masks/a_1.png").unlink()
    (root / "images/b.png").unlink()
    table = (root / "cases.csv").read_text().splitlines()
    (root / "cases.csv").write_text("\n".join([*table, table[3], table[3].replace("c,", "e,", 1).replace(",CC,", ",XX,")]) + "\n")
    with (root / "lesions.csv").open("a") as file:
        file.write("zz,1,masks/zz_1.png,0,0,1,1,,,\na,two,masks/a_2.png,0,0,1,1,,,\n")
    with pytest.raises(PipelineError) as error:
        read_cases(root)
    for words in ("a_1.png is missing", "b.png is missing", "used twice", "view is 'XX'", "'zz' is not in cases.csv", "'two'"):
        assert words in str(error.value)


def test_missing_columns_are_named(tmp_path):
    (tmp_path / "cases.csv").write_text("image_id,image\n")
    with pytest.raises(PipelineError, match=r"lacks the columns patient_id, laterality"):
        read_cases(tmp_path)
    with pytest.raises(PipelineError, match=r"no such file"):
        read_cases(tmp_path / "absent")


class Archive:
    """Five mammograms of which the one at `fails` interrupts the first ingest; `read` counts what is read."""

    def __init__(self, fails=3):
        self.fails, self.read, self.told = fails, [], []

    def records(self, done):
        self.told.append(sorted(done))
        for number in range(5):
            name = f"c{number}"
            if name in done:
                yield Stored(name)
                continue
            self.read.append(name)
            if number == self.fails:
                self.fails = None
                raise KeyboardInterrupt
            yield case(name, [Lesion(mask=blob(), pathology="benign")], spacing_mm=0.25)


def test_an_interrupted_ingest_goes_on_and_gives_the_same_bytes(tmp_path):
    archive = Archive()
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "raw", archive.records, state="one")
    assert not (tmp_path / "raw").exists()
    write(tmp_path / "raw", archive.records, state="one")
    assert archive.told == [[], ["c0", "c1", "c2"]] and archive.read == ["c0", "c1", "c2", "c3", "c3", "c4"]
    write(tmp_path / "whole", Archive(fails=None).records)
    assert tree(tmp_path / "raw") == tree(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw", "whole"]


def test_another_state_begins_anew_and_a_torn_line_or_file_is_read_again(tmp_path):
    for change, kept in (("other", []), ("one", ["c0"])):
        archive = Archive()
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "raw", archive.records, state="one")
        partial = tmp_path / ".raw.partial"
        lines = (partial / ".journal").read_text().splitlines()
        (partial / ".journal").write_text("\n".join([lines[0], lines[1], lines[2][:20]]))
        (partial / "images/c1.png").write_bytes(b"")
        write(tmp_path / "raw", archive.records, state=change)
        assert archive.told[1] == kept and len(read_cases(tmp_path / "raw")) == 5


def test_mammograms_that_could_not_be_used_are_tried_again(tmp_path):
    records = [case("a"), Rejected("b", "unreadable")]
    with pytest.raises(PipelineError, match="b: unreadable"):
        write(tmp_path / "raw", records, state="one")
    assert write(tmp_path / "raw", lambda done: [Stored("a"), case("b")], state="one").cases == 2
    assert [one.image_id for one in read_cases(tmp_path / "raw")] == ["a", "b"]
