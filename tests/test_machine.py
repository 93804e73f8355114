import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from check_machine import faults


def test_supported_machines_pass():
    assert faults((3, 11), 20.0, "Linux") == faults((3, 12), 9.0, "Linux") == []


def test_each_fault_names_its_remedy():
    old, full, other = faults((3, 10), 2.0, "Darwin")
    assert "Python 3.10 is not supported" in old and "PYTHON=python3.11" in old
    assert "2.0 GB" in full and "9 GB are needed" in full
    assert "Darwin" in other and "Linux" in other
