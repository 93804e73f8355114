"""One line for every error; a traceback with --debug alone."""

import pytest

from pipeline.cli import TRACEBACK, guarded
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
        (KeyError("patient_id"), 1, "error: KeyError: 'patient_id' (test_cli.py, line 11); this is a fault of the program"),
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
