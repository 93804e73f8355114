"""Compare requirements.lock with the public list of known vulnerabilities (pip-audit, the advisories of PyPI).

pip-audit asks a service, so this needs a network; it is installed into an environment of its own, .venv.audit. Exit code 0:
nothing is known of any package; 1: vulnerabilities are listed; 3: some or all packages could not be checked. Standard
library only.
"""

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
REQUIREMENT = "pip-audit==2.10.0"
ELSEWHERE = "run `make audit` where the public index is reached"


def verdict(report: dict[str, Any]) -> tuple[int, list[str]]:
    """Exit code and lines to print, from pip-audit's JSON: {dependencies: [{name, version, vulns} or {name, skip_reason}]}."""
    every = report["dependencies"]
    unchecked = [one["name"] for one in every if "skip_reason" in one]
    known = [
        f"{one['name']} {one['version']}: {hole['id']}, fixed in {', '.join(hole.get('fix_versions', [])) or 'no version yet'}"
        for one in every
        for hole in one.get("vulns", ())
    ]
    if len(unchecked) == len(every):
        return 3, [f"nothing was checked: the service that answers here knows none of the {len(every)} packages; {ELSEWHERE}"]
    lines = [*known, f"{len(every) - len(unchecked)} of {len(every)} packages checked, {len(known)} known vulnerabilities"]
    if unchecked:
        lines.append(f"not checked, because the service does not know them: {', '.join(sorted(unchecked))}")
    return (1 if known else 3 if unchecked else 0), lines


def audit() -> tuple[int, list[str]]:
    """Exit code and lines to print of pip-audit, installed where it is not yet."""
    python = ROOT / ".venv.audit" / "bin" / "python"
    if not python.is_file():
        venv.create(python.parents[1], with_pip=True)
    installed = subprocess.run([python, "-m", "pip", "install", "--quiet", REQUIREMENT], capture_output=True, text=True)
    if installed.returncode:
        return 3, [f"nothing was checked: {REQUIREMENT} cannot be installed ({last(installed.stderr)}); {ELSEWHERE}"]
    lock = ("--requirement", ROOT / "requirements.lock", "--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off")
    done = subprocess.run([python, "-m", "pip_audit", *lock], capture_output=True, text=True)
    try:
        return verdict(json.loads(done.stdout))
    except ValueError:
        return 3, [f"nothing was checked: pip-audit gives no report ({last(done.stderr)}); {ELSEWHERE}"]


def last(said: str) -> str:
    return (said.strip().splitlines() or ["no message"])[-1]


def main() -> int:
    code, lines = audit()
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
