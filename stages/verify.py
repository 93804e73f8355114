"""Compare every file that DVC keeps with the hash it is named by: what dvc.lock lists, and the objects of the DVC cache.

DVC trusts its cache, so a bit that flipped on the disk would be checked out as a result. Damaged files are listed;
--repair removes them, and the next `dvc repro` makes them again. Exit code 0: all are sound; 2: some are not.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.cli import guarded, parser

CACHE = Path(".dvc/cache/files/md5")


def md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def objects(cache: Path) -> Iterator[tuple[Path, str]]:
    """Every object of a cache with its hash."""
    for path in sorted(cache.glob("??/*")):
        yield path, (path.parent.name + path.name).removesuffix(".dir")


def outputs(lock: Any, cache: Path) -> Iterator[tuple[Path, str]]:
    """Every file of the outputs in dvc.lock with its hash; those of folders by the listing in the cache."""
    for stage in lock["stages"].values():
        for out in stage.get("outs", ()):
            listing = cache / out["md5"][:2] / out["md5"][2:]
            if not out["md5"].endswith(".dir"):
                yield Path(out["path"]), out["md5"]
            elif listing.is_file() and md5(listing) == out["md5"].removesuffix(".dir"):
                for entry in json.loads(listing.read_text()):
                    yield Path(out["path"], entry["relpath"]), entry["md5"]


def damaged(root: Path) -> list[Path]:
    """Files of a repository whose bytes are not those of their hash; files that are absent are not damaged."""
    from pipeline.params import read_yaml

    cache, lock = root / CACHE, root / "dvc.lock"
    listed = [(root / path, known) for path, known in outputs(read_yaml(lock), cache)] if lock.is_file() else []
    return [path for path, known in [*objects(cache), *listed] if path.is_file() and md5(path) != known]


def main() -> None:
    made = parser(__doc__)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.add_argument("--repair", action="store_true", help="remove the damaged files")
    args = made.parse_args()

    def work() -> None:
        from pipeline.errors import raise_all

        found = damaged(Path.cwd())
        if args.repair:
            for path in found:
                path.unlink()
                print(f"removed {path.relative_to(Path.cwd())}")
            if found:
                print("`dvc repro` makes them again")
        else:
            raise_all(
                [str(path.relative_to(Path.cwd())) for path in found], "damaged files; `make repair` removes them, then run `dvc repro`"
            )

    guarded(work, args.debug)


if __name__ == "__main__":
    main()
