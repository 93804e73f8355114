"""What the check for known vulnerabilities makes of pip-audit's report: a package that was not checked is never called sound."""

from scripts.audit import verdict

SOUND = {"name": "numpy", "version": "2.2.6", "vulns": []}
HOLE = {"name": "pillow", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1", "2.0"]}, {"id": "CVE-2", "fix_versions": []}]}
UNKNOWN = {"name": "x", "skip_reason": "not found"}


def test_verdicts():
    assert verdict({"dependencies": [SOUND]}) == (0, ["1 of 1 packages checked, 0 known vulnerabilities"])
    code, lines = verdict({"dependencies": [SOUND, HOLE, UNKNOWN]})
    assert code == 1 and lines[:3] == [
        "pillow 1.0: CVE-1, fixed in 1.1, 2.0",
        "pillow 1.0: CVE-2, fixed in no version yet",
        "2 of 3 packages checked, 2 known vulnerabilities",
    ]
    assert verdict({"dependencies": [SOUND, UNKNOWN]})[0] == 3
    code, (line,) = verdict({"dependencies": [UNKNOWN, UNKNOWN]})
    assert code == 3 and line.startswith("nothing was checked: ") and "none of the 2 packages" in line
