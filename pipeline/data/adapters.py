"""Sources of mammograms. An adapter yields `Case`, `Rejected` and `Stored`; it is imported when it is used.

An adapter: (root, select, window, done) -> records. root: its folder; select, window: of the block `data` of the params;
done: image_ids that an interrupted ingest has stored, of which `Stored` is enough.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.data.reading import Select
from pipeline.data.records import Case, Record
from pipeline.errors import PipelineError
from pipeline.resume import fingerprint

if TYPE_CHECKING:
    from pipeline.data.dicom import Window
    from pipeline.params import Params

Adapter = Callable[[Path, Select, "Window", Collection[str]], Iterator[Record]]


def _table(root: Path, select: Select, window: "Window", done: Collection[str]) -> Iterator[Record]:
    from pipeline.data.table import cases

    return cases(root, select, done)


def _cbis_ddsm(root: Path, select: Select, window: "Window", done: Collection[str]) -> Iterator[Record]:
    from pipeline.data.cbis_ddsm import cases

    return cases(root, select, window, done)


def _inbreast(root: Path, select: Select, window: "Window", done: Collection[str]) -> Iterator[Record]:
    from pipeline.data.inbreast import cases

    return cases(root, select, window, done)


def _coco(root: Path, select: Select, window: "Window", done: Collection[str]) -> Iterator[Record]:
    from pipeline.data.coco_source import cases

    return cases(root, select, window, done)


def _mini_mias(root: Path, select: Select, window: "Window", done: Collection[str]) -> Iterator[Record]:
    from pipeline.data.mini_mias import cases

    return cases(root, select, done)


def _ddsm(root: Path, select: Select, window: "Window", done: Collection[str]) -> Iterator[Record]:
    from pipeline.data.ddsm import cases

    return cases(root, select, done)


ADAPTERS: dict[str, Adapter] = {
    "table": _table,
    "coco": _coco,
    "cbis_ddsm": _cbis_ddsm,
    "ddsm": _ddsm,
    "inbreast": _inbreast,
    "mini_mias": _mini_mias,
}


def records(params: "Params", done: Collection[str] = ()) -> Iterator[Record]:
    """Everything that ingest stores: of all folders of the source, then the healthy mammograms of the second source."""
    data = params.data
    if data.source == "phantom":
        from pipeline.data.phantom import cases

        yield from cases(params.phantom, params.seed)
    for root in data.roots:
        yield from ADAPTERS[data.source](Path(root), data.select, data.window, done)
    if data.normals:
        yield from _normals(ADAPTERS[data.normals], Path(str(data.normals_root)), data.window, done)


def _normals(adapter: Adapter, root: Path, window: "Window", done: Collection[str]) -> Iterator[Record]:
    found = False
    for one in adapter(root, "normal", window, done):
        found = True
        yield dataclasses.replace(one, role="normals") if isinstance(one, Case) else one
    if not found:
        raise PipelineError(
            f"{root}: holds no normal mammogram; point data.normals_root at a source that has some, or set data.normals: null"
        )


def state(params: "Params") -> str:
    """Fingerprint of all that ingest depends on: params, code, and name, size and time of every file of the sources."""
    data = params.data
    roots = [Path(root) for root in (*data.roots, *([data.normals_root] if data.normals_root else []))]
    values: dict[str, Any] = {"data": data.model_dump(), "phantom": params.phantom.model_dump(), "seed": params.seed}
    return fingerprint(values | {"files": [_listing(root) for root in roots]}, [Path(__file__).parent])


def _listing(root: Path) -> list[tuple[str, int, int]]:
    files = sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else [root]
    stats = [(path, path.stat()) for path in files if path.is_file()]
    return [(path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns) for path, stat in stats]
