"""One line for every error; a traceback with --debug alone."""

from pathlib import Path

import pytest

from pipeline.cli import TIMES, TRACEBACK, guarded, stage_main
from pipeline.errors import PipelineError


def fails(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (PipelineError("x.png: no such file; name another"), 2, "error: x.png: no such file; name another"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 2, "has no package torch; `. .venv/bin/activate` first"),
        (KeyError("patient_id"), 1, "error: KeyError: 'patient_id' (test_cli.py, line 13); this is a fault of the program"),
        (RuntimeError("shapes differ\nin many lines"), 1, "error: RuntimeError: shapes differ (test_cli.py"),
    ],
)
def test_an_error_is_one_line(error, status, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        guarded(fails(error))
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == status and said in line
    assert TRACEBACK.is_file() == (status == 1)
    if status == 1:
        assert "Traceback" in TRACEBACK.read_text() and "raise error" in TRACEBACK.read_text()


def test_debug_shows_the_traceback():
    with pytest.raises(KeyError):
        guarded(fails(KeyError("x")), debug=True)


def test_a_stage_leaves_what_it_took(tmp_path, monkeypatch):
    """A line a run, which the table of the last run counts; lines from before it do not count."""
    from benchmarks.minutes import table
    from tests.code_deps import ROOT

    monkeypatch.chdir(tmp_path)
    for arguments in (["weigh", "a", "1"], ["weigh", "b", "1"], ["count"]):
        monkeypatch.setattr("sys.argv", ["/x/stages/" + arguments[0] + ".py", *arguments[1:], "--params", str(ROOT / "params.yaml")])
        stage_main(lambda args, params: None, "", lambda parser: parser.add_argument("names", nargs="*"))
    lines = TIMES.read_text().splitlines()
    assert lines[0] == "ended,stage,seconds,cpu_seconds,memory_gb" and [line.split(",")[1][:7] for line in lines[1:]] == [
        "weigh a",
        "weigh b",
        "count -",
    ]
    TIMES.write_text("\n".join([*lines, "1000,weigh,99999,99999,9"]) + "\n")
    Path("run.json").write_text('{"started": "2020-01-01T00:00:00+00:00", "seconds": 3.5}')
    made = table(TIMES, Path("run.json"))
    assert {line.split("|")[1].strip(): line.split("|")[2].strip() for line in made[2:]} == {"weigh": "2", "count": "1", "all, in 4 s": "3"}
