"""Sources of mammograms. An adapter takes all params and yields `Case` and `Rejected`; it is imported when it is used."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.data.canonical import Case, Rejected

if TYPE_CHECKING:
    from pipeline.params import Params

Adapter = Callable[["Params"], Iterator[Case | Rejected]]


def _phantom(params: "Params") -> Iterator[Case | Rejected]:
    from pipeline.data.phantom import cases

    return cases(params.phantom, params.seed)


def _table(params: "Params") -> Iterator[Case | Rejected]:
    from pipeline.data.table import cases

    return cases(Path(str(params.data.root)))


def _cbis_ddsm(params: "Params") -> Iterator[Case | Rejected]:
    from pipeline.data.cbis_ddsm import cases

    return cases(Path(str(params.data.root)), params.data.select, params.data.window)


def _inbreast(params: "Params") -> Iterator[Case | Rejected]:
    from pipeline.data.inbreast import cases

    return cases(Path(str(params.data.root)), params.data.select, params.data.window)


def _coco(params: "Params") -> Iterator[Case | Rejected]:
    from pipeline.data.coco_source import cases

    return cases(Path(str(params.data.root)), params.data.select, params.data.window)


def _mini_mias(params: "Params") -> Iterator[Case | Rejected]:
    from pipeline.data.mini_mias import cases

    return cases(Path(str(params.data.root)), params.data.select)


def _ddsm(params: "Params") -> Iterator[Case | Rejected]:
    from pipeline.data.ddsm import cases

    return cases(Path(str(params.data.root)), params.data.select)


ADAPTERS: dict[str, Adapter] = {
    "phantom": _phantom,
    "table": _table,
    "coco": _coco,
    "cbis_ddsm": _cbis_ddsm,
    "ddsm": _ddsm,
    "inbreast": _inbreast,
    "mini_mias": _mini_mias,
}
